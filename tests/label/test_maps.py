from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import UTM45, grid_for, write_map, write_plain
from rasterio.crs import CRS

from rsseg.errors import GridError, InputError
from rsseg.label.maps import LabelMap, strips
from rsseg.publish.labels import LabelClass
from rsseg.scene.grid import Grid, Window


def test_names_and_colours_come_back(tmp_path: Path) -> None:
    classes = [
        LabelClass(1, "water & <sea>", "#0000ff"),
        LabelClass(2, "town", "#ff0000"),
        LabelClass(3, "town", "#00ff00"),
    ]
    path = write_map(tmp_path / "a.tif", np.array([[1, 2, 3]], np.uint8), classes=classes)
    with LabelMap(path) as opened:
        assert opened.name == "a"
        assert opened.names == {1: "water & <sea>", 2: "town", 3: "town"}
        assert opened.colours == {1: "#0000ff", 2: "#ff0000", 3: "#00ff00"}
        assert [opened.title(value) for value in (1, 2, 3, 4)] == ["water & <sea>", "town (2)", "town (3)", "cluster 4"]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_nodata_reads_as_zero(tmp_path: Path, dtype: str) -> None:
    values = np.array([[1, 2], [99, 0]], dtype)
    with LabelMap(write_plain(tmp_path / "a.tif", values, grid_for((2, 2)), nodata=99)) as opened:
        assert opened.read(opened.grid.window).tolist() == [[1, 2], [0, 0]]


def test_a_mask_reads_as_zero(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "a.tif", np.array([[1, 2]], np.uint8), grid_for((1, 2)))
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.array([[True, False]]))
    with LabelMap(path) as opened:
        assert opened.read(opened.grid.window).tolist() == [[1, 0]]


def test_values_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "a.tif", np.array([[1, 300]], np.int16), grid_for((1, 2)))
    with LabelMap(path) as opened, pytest.raises(InputError, match="300"):
        opened.read(opened.grid.window)


def test_measured_values_are_no_label_map(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "a.tif", np.zeros((2, 2), np.float32), grid_for((2, 2)))
    with pytest.raises(InputError, match="float32"):
        LabelMap(path)


def test_strips_of_several_sources_stay_aligned(tmp_path: Path, rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 5, (2, 1200, 30)).astype(np.uint8)
    paths = [write_map(tmp_path / f"{name}.tif", values) for name, values in (("a", first), ("b", second))]
    with LabelMap(paths[0]) as a, LabelMap(paths[1]) as b:
        found = list(strips((a, b), a.grid))
    assert [window for window, _ in found] == [Window(0, 0, 512, 30), Window(512, 0, 512, 30), Window(1024, 0, 176, 30)]
    assert np.array_equal(np.vstack([values[0] for _, values in found]), first)
    assert np.array_equal(np.vstack([values[1] for _, values in found]), second)


def test_another_grid_is_refused_with_both_grids_and_the_way_out(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    with pytest.raises(GridError, match=r"4 x 4 pixels.*EPSG:32645.*5 x 4 pixels.*--resample nearest"):
        LabelMap(path, like=grid_for((5, 4)))


def test_a_crs_against_none_cannot_be_resampled(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", np.ones((4, 4), np.uint8))
    with pytest.raises(GridError, match="no CRS"):
        LabelMap(path, like=grid_for((5, 4), crs=None), resample="nearest")


@pytest.mark.parametrize("crs", [UTM45, None])
def test_resampling_takes_the_nearest_pixel(tmp_path: Path, crs: str | None, rng: np.random.Generator) -> None:
    values = rng.integers(1, 9, (30, 40)).astype(np.uint8)
    own = Grid(30, 40, (5.0, 0.0, 1000.0, 0.0, -5.0, 2000.0), crs)
    path = write_map(tmp_path / "a.tif", values, grid=own)
    wanted = Grid(70, 90, (3.0, 0.0, 985.7, 0.0, -3.0, 2013.2), crs)
    expected = np.zeros(wanted.shape, np.uint8)
    for row in range(wanted.height):
        for col in range(wanted.width):
            r, c = (int(np.floor(part)) for part in own.rowcol(*wanted.xy(row + 0.5, col + 0.5)))
            if 0 <= r < 30 and 0 <= c < 40:
                expected[row, col] = values[r, c]
    with LabelMap(path, like=wanted, resample="nearest") as opened:
        assert np.array_equal(opened.read(wanted.window), expected)
        assert np.array_equal(opened.read(Window(7, 0, 50, 90)), expected[7:57])


def test_resampling_keeps_a_foreign_nodata_out(tmp_path: Path) -> None:
    path = write_plain(tmp_path / "a.tif", np.array([[255, 3]], np.uint8), grid_for((1, 2)), nodata=255)
    with LabelMap(path, like=grid_for((2, 3)), resample="nearest") as opened:
        assert opened.read(opened.grid.window).tolist() == [[0, 3, 0], [0, 0, 0]]


def test_resampling_reprojects(tmp_path: Path) -> None:
    geographic = CRS.from_epsg(4326).to_wkt()
    degrees = Grid(40, 40, (0.001, 0.0, 87.96, 0.0, -0.001, 22.62), geographic)
    path = write_map(tmp_path / "a.tif", np.full((40, 40), 4, np.uint8), grid=degrees)
    with LabelMap(path, like=grid_for((20, 20)), resample="nearest") as opened:
        assert (opened.read(opened.grid.window) == 4).all()


def test_fewer_pixels_can_be_asked_for(tmp_path: Path) -> None:
    path = write_map(tmp_path / "a.tif", np.repeat(np.arange(1, 5, dtype=np.uint8), 300)[None].repeat(900, 0))
    with LabelMap(path) as opened:
        small = opened.read(opened.grid.window, (3, 4))
    assert small.tolist() == [[1, 2, 3, 4]] * 3
