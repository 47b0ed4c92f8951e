import json
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from heard import Heard
from labelmaps import Run, write_map
from scenes import fields, write_scene

from rsseg.errors import InputError
from rsseg.label.legend_file import read_legend
from rsseg.label.maps import LabelMap
from rsseg.pipeline.stages.legend import name_clusters
from rsseg.pipeline.stages.relabel import relabel

SHAPE = (48, 64)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif", *SHAPE)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Water is 2, vegetation 5 and 9 (less of it), town 7; 30 lies where the scene has no data."""
    kinds = fields(*SHAPE)
    values = np.array([2, 5, 7], np.uint8)[kinds]
    values[:12][kinds[:12] == 1] = 9
    values[0, 0] = 30
    return write_map(tmp_path / "map.tif", values)


def rewritten(scene: Path, path: Path, dtype: str, names: tuple[str, ...], factor: float, **tags: str) -> Path:
    """The scene's reflectance times a factor as another raster."""
    with rasterio.open(scene) as opened:
        values, profile = opened.read().astype(float) * 1e-4 - 0.1, opened.profile
        empty = opened.read(1) == 65535
    values = np.where(empty, 0, np.maximum(values * factor, 1)).astype(dtype)
    profile.update(dtype=dtype, nodata=0, count=len(names))
    with rasterio.open(path, "w", **profile) as file:
        file.write(values[: len(names)])
        file.descriptions = names
        file.update_tags(**tags)
    return path


def test_clusters_are_named_by_their_looks(tmp_path: Path, scene: Path, labels: Path, rsseg: Run) -> None:
    out = tmp_path / "l.yaml"
    code, text, err = rsseg("legend", labels, "--scene", scene, "-o", out)
    assert (code, err) == (0, "")
    read = read_legend(out)
    assert {item.value: item.name for item in read.classes} == {
        **{2: "water-like", 5: "dense vegetation-like 1", 9: "dense vegetation-like 2"},
        **{7: "bare or built-up-like", 30: "cluster 30"},
    }
    assert all(item.clusters == (item.value,) for item in read.classes)
    assert len({item.colour for item in read.classes}) == 5
    assert read.made["by"] == "rules" and read.made["rules"] == "reflectance" and "no" in read.made["rule_share"]
    assert read.evidence[30].how == "none" and read.classes[-1].unknown
    with LabelMap(labels) as source:
        sizes = np.bincount(source.read(source.grid.window).ravel())
    assert re.search(rf"\b5  dense vegetation-like 1 +100.0 % +{sizes[5]}\n", text)
    assert "30  cluster 30" in text and "no accuracy" in text and "rsseg relabel" in text


def test_naming_and_relabelling_keep_the_values(tmp_path: Path, scene: Path, labels: Path) -> None:
    made = name_clusters(labels, scene, tmp_path / "l.yaml")
    relabel(labels, tmp_path / "l.yaml", tmp_path / "named.tif")
    with LabelMap(labels) as before, LabelMap(tmp_path / "named.tif") as after:
        assert np.array_equal(before.read(before.grid.window), after.read(after.grid.window))
        assert {value: after.names[value] for value in (2, 5, 7, 9, 30)} == {
            item.value: item.name for item in made.classes
        }
        assert after.colours[2] == made.classes[0].colour


def test_the_same_map_gives_the_same_bytes_as_json_tells(tmp_path: Path, scene: Path, labels: Path, rsseg: Run) -> None:
    for name in "ab":
        code, text, _ = rsseg("legend", labels, "--scene", scene, "-o", tmp_path / f"{name}.yaml", "--json")
        assert code == 0 and json.loads(text)["evidence"]["2"]["how"] == "rules"
    assert (tmp_path / "a.yaml").read_bytes() == (tmp_path / "b.yaml").read_bytes()


def test_numbers_without_calibration_only_have_an_order(tmp_path: Path, scene: Path, labels: Path) -> None:
    plain = rewritten(scene, tmp_path / "dn.tif", "uint8", ("Green", "RED", "nir"), 250)
    heard = Heard()
    read = name_clusters(labels, plain, tmp_path / "l.yaml", reporter=heard)
    names = {item.value: item.name for item in read.classes}
    assert names[2] == "dark, low NDVI" and names[7] == "bright, medium NDVI"
    assert {names[5], names[9]} == {"medium bright, medium NDVI", "medium bright, high NDVI"}
    assert read.made["rules"] == "order" and "uncalibrated" in heard.said[0] and "--scale" in heard.said[0]
    calibrated = name_clusters(labels, plain, tmp_path / "c.yaml", scale=(1 / 250,))
    assert {item.value: item.name for item in calibrated.classes}[2] == "water-like"


def test_without_named_bands_brightness_is_what_is_known(tmp_path: Path, scene: Path, labels: Path) -> None:
    plain = rewritten(scene, tmp_path / "dn.tif", "uint16", ("", "", ""), 10000)
    heard = Heard()
    read = name_clusters(labels, plain, tmp_path / "l.yaml", scale=(1e-4,), reporter=heard)
    names = {item.value: item.name for item in read.classes}
    assert names[2] == "dark" and names[7] == "bright" and names[30] == "cluster 30"
    assert "green or red or nir" in heard.said[0] and read.made["rules"] == "brightness"


def test_floats_that_cannot_be_reflectance_are_not_taken_for_it(tmp_path: Path, scene: Path, labels: Path) -> None:
    plain = rewritten(scene, tmp_path / "dn.tif", "float32", ("green", "red", "nir"), 10000)
    heard = Heard()
    read = name_clusters(labels, plain, tmp_path / "l.yaml", reporter=heard)
    assert read.made["rules"] == "order" and "too large for reflectance" in heard.said[0]
    assert {item.value: item.name for item in read.classes}[2] == "dark, low NDVI"


def test_how_bands_are_ordered_does_not_matter(tmp_path: Path, scene: Path, labels: Path) -> None:
    first = name_clusters(labels, scene, tmp_path / "a.yaml")
    second = name_clusters(labels, scene, tmp_path / "b.yaml", bands=("nir", "green", "red"))
    assert first.classes == second.classes


@pytest.mark.parametrize("factor", [1e-4, 250])
def test_a_map_without_values_is_refused(tmp_path: Path, scene: Path, factor: float) -> None:
    plain = rewritten(scene, tmp_path / "dn.tif", "uint8" if factor > 1 else "float32", ("green", "red", "nir"), factor)
    values = np.zeros(SHAPE, np.uint8)
    values[0, :3] = 4
    path = write_map(tmp_path / "corner.tif", values)
    with pytest.raises(InputError, match=r"labels no pixel that has values in .*dn\.tif"):
        name_clusters(path, plain, tmp_path / "l.yaml")
    assert not (tmp_path / "l.yaml").exists()
