"""The scene of a run is found from what the run made, or from where the run read it."""

import json
import os
from pathlib import Path
from typing import Any

import geopandas
import pytest
import shapely
from scenes import write_scene

from rsseg.errors import RssegError
from rsseg.publish.run_files import open_run_scene, read_json
from rsseg.scene.sensors import open_scene


def told(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), **more}


def test_reflectance_has_the_chosen_bands_already(tmp_path: Path) -> None:
    """Codes and numbers of bands are those of the product, which the reflectance no longer knows."""
    made = write_scene(tmp_path / "run" / "p" / "toa.tif")
    for bands in (["B2", "B3", "B4"], ["2", "3", "4"]):
        scene = open_run_scene(tmp_path / "run", "p", told(tmp_path / "gone"), {"bands": bands})
        assert scene is not None and scene.path == made and scene.band_names == ("green", "red", "nir")


def test_bands_are_chosen_from_what_the_run_read(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "s.tif")
    scene = open_run_scene(tmp_path / "run", "s", told(path), {"bands": ["nir", "red"], "scale": None})
    assert scene is not None and scene.band_names == ("nir", "red")


def test_polygons_are_found_around_the_run_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_scene(tmp_path / "s.tif")
    left, bottom, right, top = open_scene(path).grid.bounds
    part = shapely.box(left, bottom, (left + right) / 2, top)
    geopandas.GeoDataFrame(geometry=[part], crs=open_scene(path).grid.crs).to_file(tmp_path / "a.gpkg")
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    scene = open_run_scene(Path(os.pardir) / "run", "s", told(Path("s.tif"), aoi="a.gpkg"), {})
    assert scene is not None and scene.grid.width == open_scene(path).grid.width // 2


def test_a_scene_that_is_gone_is_none_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    assert open_run_scene(tmp_path, "s", told(tmp_path / "gone.tif"), {}) is None
    assert open_run_scene(tmp_path, "s", {}, {}) is None
    (tmp_path / "damaged.tif").write_text("no raster")
    with pytest.raises(RssegError, match=r"damaged\.tif"):
        open_run_scene(tmp_path, "s", told(tmp_path / "damaged.tif"), {})


@pytest.mark.parametrize("text", [None, "{", "[1]", '"word"'])
def test_what_is_no_object_is_empty(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "f.json").write_text(text)
    assert read_json(tmp_path / "f.json") == {}


def test_a_scene_is_found_from_where_the_run_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("work", "data", "far/away/from/all/run"):
        (tmp_path / name).mkdir(parents=True)
    write_scene(tmp_path / "data" / "s.tif")
    run, relative = tmp_path / "far" / "away" / "from" / "all" / "run", Path(os.pardir) / "data" / "s.tif"
    monkeypatch.chdir(run)
    assert open_run_scene(run, "s", told(relative), {}) is None
    (run / "run.json").write_text(json.dumps({"started_in": str(tmp_path / "work")}))
    assert open_run_scene(run, "s", told(relative), {}) is not None
