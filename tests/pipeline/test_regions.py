"""Regions for training: superpixels of an algorithm, or the pieces of a label raster on the scene's grid."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from labelmaps import grid_for
from numpy.typing import NDArray
from rasterio.crs import CRS
from scenes import fields, write_scene

from rsseg.errors import GridError, InputError, UsageError
from rsseg.learn.methods import MethodSettings, settings_of
from rsseg.learn.model import load_model
from rsseg.pipeline.inputs import open_scenes
from rsseg.pipeline.regions import raster_regions, region_maker
from rsseg.pipeline.stages.train import train
from rsseg.scene.grid import Window
from rsseg.scene.superpixels import superpixels

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")

SMALL: dict[str, Any] = {"patch": 24, "stride": 12, "classes": 6, "width": 4, "epochs": 2, "batch": 4}


def settings(**options: Any) -> MethodSettings:
    return settings_of("wce", **{**SMALL, **options})


def from_raster(path: Path) -> MethodSettings:
    return settings(superpixels="raster", region_raster=str(path))


def write_labels(path: Path, labels: NDArray, nodata: int | None = 0, east: float = 0.0) -> Path:
    """A label raster on the grid of ``write_scene``'s scenes, moved by ``east`` pixels."""
    grid = grid_for(labels.shape)
    profile = {"driver": "GTiff", "height": grid.height, "width": grid.width, "count": 1, "nodata": nodata}
    place = rasterio.Affine(*grid.transform) @ rasterio.Affine.translation(east, 0)
    with rasterio.open(path, "w", **profile, dtype=labels.dtype, crs=CRS.from_wkt(grid.crs), transform=place) as file:
        file.write(labels, 1)
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def regions_of(path: Path, window: Window) -> NDArray[np.int32]:
    with rasterio.open(path) as raster:
        return raster_regions(raster, window)


def test_pieces_of_one_value_are_regions_of_their_own(tmp_path: Path) -> None:
    labels = np.array([[7, 7, 2, 7], [9, 9, 2, 7], [9, 7, 2, 2]], np.uint16)
    found = regions_of(write_labels(tmp_path / "labels.tif", labels), Window(0, 0, 3, 4))
    assert found.dtype == np.int32 and sorted(np.unique(found)) == [0, 1, 2, 3, 4]
    groups = {frozenset(zip(*np.nonzero(found == number), strict=True)) for number in range(5)}
    assert frozenset({(0, 0), (0, 1)}) in groups and frozenset({(2, 1)}) in groups
    assert frozenset({(0, 3), (1, 3)}) in groups and len(groups) == 5


def test_pixels_without_data_are_one_region_wherever_they_lie(tmp_path: Path) -> None:
    labels = np.array([[0, 5, 0], [5, 5, 5]], np.uint8)
    path = write_labels(tmp_path / "labels.tif", labels)
    assert regions_of(path, Window(0, 0, 2, 3)).tolist() == [[0, 1, 0], [1, 1, 1]]
    bare = write_labels(tmp_path / "bare.tif", labels, nodata=None)  # then 0 is a label like any other
    assert len(np.unique(regions_of(bare, Window(0, 0, 2, 3)))) == 3


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int32"])
def test_any_integers_are_labels(tmp_path: Path, dtype: str) -> None:
    values = np.array([[1, 1, 100], [1, 100, 100]]).astype(dtype)
    if dtype != "uint8":
        values[values == 100] = np.iinfo(dtype).max
    found = regions_of(write_labels(tmp_path / "labels.tif", values), Window(0, 0, 2, 3))
    assert found.tolist() == [[0, 0, 1], [0, 1, 1]]


def test_a_window_has_the_raster_s_regions_at_its_place(tmp_path: Path, scene: Path) -> None:
    """Regions must follow the tile: shifted by one pixel, they would tie pixels of different land."""
    kinds = fields(48, 64)
    path = write_labels(tmp_path / "labels.tif", (kinds + 1).astype(np.uint8))
    window = Window(5, 11, 30, 40)
    rows, cols = window.slices
    with region_maker(from_raster(path), open_scenes([scene])) as make:
        assert make is not None
        found = make(np.zeros((3, 30, 40)), np.ones((30, 40), bool), None, window)
    assert all(len(np.unique(kinds[rows, cols][found == number])) == 1 for number in np.unique(found))
    edges = np.diff(kinds[rows, cols], axis=1) != 0
    assert np.array_equal(np.diff(found, axis=1) != 0, edges)


def test_superpixels_are_made_as_the_settings_say(scene: Path) -> None:
    used = settings(superpixels="felzenszwalb", superpixel_size=5)
    pixels, valid = np.random.default_rng(0).normal(size=(3, 16, 16)), np.ones((16, 16), bool)
    with region_maker(used, open_scenes([scene])) as make:
        assert make is not None
        found = make(pixels, valid, None, Window(0, 0, 16, 16))
    assert np.array_equal(found, superpixels(pixels, valid, kind="felzenszwalb", size=5))


def test_other_methods_ask_for_no_regions(scene: Path) -> None:
    with region_maker(settings_of("kmeans"), open_scenes([scene])) as make:
        assert make is None


def refused(path: Path, *scenes: Path) -> None:
    with region_maker(from_raster(path), open_scenes(scenes)):
        pass


def test_a_raster_of_another_grid_is_refused_with_both_names(tmp_path: Path, scene: Path) -> None:
    labels = fields(48, 64).astype(np.uint8)
    small = write_labels(tmp_path / "small.tif", labels[:40])
    with pytest.raises(GridError, match=r"small\.tif \(40 x 64\) .*scene\.tif \(48 x 64\)"):
        refused(small, scene)
    moved = write_labels(tmp_path / "moved.tif", labels, east=0.5)
    with pytest.raises(GridError, match=r"moved\.tif .*scene\.tif"):
        refused(moved, scene)


def test_every_scene_must_lie_on_the_raster_s_grid(tmp_path: Path, scene: Path) -> None:
    fitting = write_labels(tmp_path / "fitting.tif", fields(48, 64).astype(np.uint8))
    refused(fitting, scene, write_scene(tmp_path / "later.tif", seed=5))  # another date on the same grid is fine
    other = write_scene(tmp_path / "other.tif", 40, 64)
    with pytest.raises(GridError, match=r"fitting\.tif .*other\.tif"):
        refused(fitting, scene, other)


def test_reflectance_is_no_label_raster(scene: Path) -> None:
    with pytest.raises(InputError, match=r"no label raster: it has 3 bands of uint16"):
        refused(scene, scene)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"superpixels": "raster"}, UsageError, "--region-raster"),
        ({"region_raster": "labels.tif"}, UsageError, "--superpixels raster"),
        ({"superpixels": "raster", "region_raster": "nowhere.tif"}, InputError, r"nowhere\.tif does not exist"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_before_training(
    tmp_path: Path, scene: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        train([scene], tmp_path / "model.safetensors", settings(**options))
    assert not list(tmp_path.glob("model*"))


def trained(scene: Path, output: Path, used: MethodSettings) -> dict[str, Any]:
    train([scene], output, used, device="cpu")
    model = load_model(output)
    return {"weights": model.network.state_dict(), "settings": model.provenance["settings"]}


def same_weights(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(bool((tensor == other["weights"][name]).all()) for name, tensor in one["weights"].items())


def test_training_learns_from_the_raster_s_regions(tmp_path: Path, scene: Path) -> None:
    """Equal rasters give equal weights, whatever their numbers; others, and superpixels, give others."""
    kinds = fields(48, 64).astype(np.uint8)
    rasters = [
        write_labels(tmp_path / "a.tif", kinds + 1),
        write_labels(tmp_path / "b.tif", (200 - kinds).astype(np.uint8)),
        write_labels(tmp_path / "whole.tif", np.ones_like(kinds)),
    ]
    a, b, whole = (trained(scene, tmp_path / f"{path.stem}.safetensors", from_raster(path)) for path in rasters)
    slic = trained(scene, tmp_path / "slic.safetensors", settings(superpixel_size=4))
    assert same_weights(a, b) and not same_weights(a, whole) and not same_weights(a, slic)
    assert a["settings"]["superpixels"] == "raster"
