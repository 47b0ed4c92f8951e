import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import grid_for, write_map

from rsseg.errors import UsageError
from rsseg.publish import labels as module
from rsseg.publish.labels import ConfidenceWriter, LabelClass, LabelMapWriter, default_classes, sidecars
from rsseg.scene.grid import Grid, Window

CLASSES = (
    LabelClass(1, "water", "#0000ff"),
    LabelClass(2, 'a "b" <c>\n&', "#00ff00"),
    LabelClass(5, "never", "#ff0000"),
)


@pytest.fixture
def blobs() -> np.ndarray:
    """Labels 0 to 2, 1100 x 700, in blocks that overviews can hold."""
    rows, cols = np.indices((1100, 700))
    return ((rows // 90 + cols // 70) % 3).astype(np.uint8)


def write(target: Path, values: np.ndarray, rows: int = 100, **options: bool) -> None:
    grid = grid_for(values.shape)
    with LabelMapWriter(target, grid, CLASSES, tags={"model": "abc"}, **options) as writer:
        for row in range(0, grid.height, rows):
            strip = values[row : row + rows]
            writer.write(strip, Window(row, 0, len(strip), grid.width))


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("rows", [1, 100, 512, 700, 1100])
def test_any_strips_make_the_same_pixels(tmp_path: Path, blobs: np.ndarray, rows: int) -> None:
    part = blobs[:, :64]
    write(tmp_path / "m.tif", part, rows)
    with rasterio.open(tmp_path / "m.tif") as opened:
        assert np.array_equal(opened.read(1), part)


def test_what_a_gis_needs_is_in_the_file(tmp_path: Path, blobs: np.ndarray) -> None:
    write(tmp_path / "m.tif", blobs)
    with rasterio.open(tmp_path / "m.tif") as opened:
        assert opened.profile["dtype"] == "uint8" and opened.nodata == 0
        assert opened.block_shapes == [(512, 512)] and opened.overviews(1) == [2, 4]
        assert opened.descriptions == ("labels",)
        assert opened.tags()["AREA_OR_POINT"] == "Area" and opened.tags()["model"] == "abc"
        assert opened.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert opened.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
        assert opened.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1") == "1"
        palette = opened.colormap(1)
        assert palette[0] == (0, 0, 0, 0) and palette[1] == (0, 0, 255, 255) and palette[5] == (255, 0, 0, 255)
        assert opened.bounds == rasterio.coords.BoundingBox(*grid_for(blobs.shape).bounds)
    with rasterio.open(tmp_path / "m.tif", overview_level=0) as small:
        reduced = small.read(1)
    # the mode of labels is a label of the pixels below, and of nearly all blocks the middle one
    assert (reduced == blobs[::2, ::2]).mean() > 0.97


def test_sidecars_list_names_counts_and_present_classes(tmp_path: Path, blobs: np.ndarray) -> None:
    write(tmp_path / "m.tif", blobs)
    table, style = sidecars(tmp_path / "m.tif")
    assert (table.name, style.name) == ("m.tif.aux.xml", "m.qml")
    assert f"<F>{(blobs == 1).sum()}</F>" in table.read_text("utf-8")
    assert "never" in table.read_text("utf-8")
    assert "water" in style.read_text("utf-8") and "never" not in style.read_text("utf-8")


def test_the_file_is_a_valid_cog(tmp_path: Path, blobs: np.ndarray) -> None:
    cogeo = pytest.importorskip("rio_cogeo", reason="rio-cogeo validates COGs; it is not installed")
    write(tmp_path / "m.tif", blobs)
    with ConfidenceWriter(tmp_path / "c.tif", grid_for(blobs.shape), tags={}) as writer:
        writer.write(blobs, Window(0, 0, *blobs.shape))
    for name in ("m.tif", "c.tif"):
        assert cogeo.cog_validate(tmp_path / name, strict=True) == (True, [], [])


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="gdalinfo (gdal-bin) is not installed")
def test_gdal_lists_names_and_attribute_table(tmp_path: Path, blobs: np.ndarray) -> None:
    write(tmp_path / "m.tif", blobs)
    shown = subprocess.run(["gdalinfo", tmp_path / "m.tif"], capture_output=True, text=True, check=True).stdout
    assert "0: no data" in shown and "1: water" in shown and '2: a "b" <c>\n&' in shown
    assert "<GDALRasterAttributeTable" in shown and "<Usage>5</Usage>" in shown
    assert f"<F>{(blobs == 2).sum()}</F>" in shown


QGIS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "map")
print(json.dumps([[int(entry.value), entry.color.name(), entry.label] for entry in layer.renderer().classes()]))
"""


@pytest.mark.qgis
def test_qgis_opens_the_map_with_its_named_legend(tmp_path: Path, blobs: np.ndarray) -> None:
    python = shutil.which("python3", path="/usr/bin") or "python3"
    if subprocess.run([python, "-c", "import qgis.core"], capture_output=True).returncode:
        pytest.skip("QGIS's Python modules are not installed")
    write(tmp_path / "m.tif", blobs)
    command = [python, "-c", QGIS, str(tmp_path / "m.tif")]
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    )
    assert json.loads(shown.stdout) == [[1, "#0000ff", "water"], [2, "#00ff00", 'a "b" <c>\n&']]


def test_confidence_is_scaled_and_has_its_own_nodata(tmp_path: Path) -> None:
    stored = np.array([[0, 127, 254, 255]], np.uint8)
    with ConfidenceWriter(tmp_path / "c.tif", grid_for((1, 4)), tags={"model": "abc"}) as writer:
        writer.write(stored, Window(0, 0, 1, 4))
    with rasterio.open(tmp_path / "c.tif") as opened:
        values = opened.read(1, masked=True) * opened.scales[0] + opened.offsets[0]
        assert values.compressed() == pytest.approx([0, 0.5, 1])
        assert opened.descriptions == ("mean vote of the winner",) and opened.nodata == 255
    assert left_behind(tmp_path) == ["c.tif"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_map_without_georeference_has_none(tmp_path: Path) -> None:
    write_map(tmp_path / "m.tif", np.ones((3, 4), np.uint8), grid=Grid(3, 4))
    with rasterio.open(tmp_path / "m.tif") as opened:
        assert opened.crs is None and opened.transform.is_identity


def test_failing_inside_leaves_nothing_behind(tmp_path: Path, blobs: np.ndarray) -> None:
    with (
        pytest.raises(RuntimeError),
        LabelMapWriter(tmp_path / "m.tif", grid_for(blobs.shape), CLASSES, tags={}) as writer,
    ):
        writer.write(blobs[:600], Window(0, 0, 600, 700))
        raise RuntimeError("stopped")
    assert left_behind(tmp_path) == []


def test_failing_while_replacing_keeps_the_earlier_map(tmp_path: Path, blobs: np.ndarray) -> None:
    write(tmp_path / "m.tif", blobs)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    grid = grid_for(blobs.shape)
    with pytest.raises(RuntimeError), LabelMapWriter(tmp_path / "m.tif", grid, CLASSES, tags={}, overwrite=True):
        raise RuntimeError("stopped")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("existing", [True, False])
def test_a_raster_that_cannot_be_published_takes_its_sidecars_back(
    tmp_path: Path, blobs: np.ndarray, existing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if existing:
        write(tmp_path / "m.tif", blobs)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = Path.replace

    def refuse(self: Path, target: Path) -> Path:
        if Path(target).name == "m.tif":
            raise PermissionError("held open by a GIS")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write(tmp_path / "m.tif", np.ones_like(blobs), overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_sidecars_are_published_before_the_raster(
    tmp_path: Path, blobs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: moved.append(Path(target).name) or replace(self, target))
    write(tmp_path / "m.tif", blobs)
    assert moved == ["m.tif.aux.xml", "m.qml", "m.tif"]


@pytest.mark.parametrize("name", ["m.tif", "m.tif.aux.xml", "m.qml"])
def test_existing_outputs_are_refused_without_overwrite(tmp_path: Path, blobs: np.ndarray, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        write(tmp_path / "m.tif", blobs)
    assert (tmp_path / name).read_text() == "mine"


def test_overwriting_forgets_what_gdal_kept_beside_the_earlier_raster(tmp_path: Path) -> None:
    for name in ("c.tif", "c.tif.aux.xml", "c.tif.ovr"):
        (tmp_path / name).write_text("old")
    with ConfidenceWriter(tmp_path / "c.tif", grid_for((1, 1)), tags={}, overwrite=True) as writer:
        writer.write(np.ones((1, 1), np.uint8), Window(0, 0, 1, 1))
    assert left_behind(tmp_path) == ["c.tif"]


def test_equal_input_gives_equal_bytes(tmp_path: Path, blobs: np.ndarray) -> None:
    write(tmp_path / "a.tif", blobs, rows=100)
    write(tmp_path / "b.tif", blobs, rows=512)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    grid = grid_for((4, 4))
    strip = np.ones((2, 4), np.uint8)
    with pytest.raises(UsageError, match=r"\.tif"):
        LabelMapWriter(tmp_path / "m.png", grid, CLASSES, tags={})
    with pytest.raises(UsageError, match="share one value"):
        LabelMapWriter(tmp_path / "m.tif", grid, (*CLASSES, CLASSES[0]), tags={})
    with pytest.raises(UsageError, match=r"value 7 .* has no class"):
        write_map(tmp_path / "m.tif", np.full((4, 4), 7), classes=CLASSES)
    for window in (Window(2, 0, 2, 4), Window(0, 1, 2, 4), Window(0, 0, 3, 4)):
        with (
            pytest.raises(ValueError, match="strips"),
            LabelMapWriter(tmp_path / "m.tif", grid, CLASSES, tags={}) as writer,
        ):
            writer.write(strip, window)
    with (
        pytest.raises(ValueError, match="2 of 4 rows"),
        LabelMapWriter(tmp_path / "m.tif", grid, CLASSES, tags={}) as writer,
    ):
        writer.write(strip, Window(0, 0, 2, 4))
    assert left_behind(tmp_path) == []


def test_the_public_names_are_here() -> None:
    assert module.default_classes is default_classes and module.LabelClass is LabelClass
