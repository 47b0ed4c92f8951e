"""Parts of rasters know where they lie in the full one."""

import numpy as np
import pytest
from tiny import scene_of

from rsseg.scene.grid import Grid, Window
from rsseg.scene.place import TAG, FullRaster, Place, in_window

GRID = Grid(20, 30)


def test_windows_of_windows_add_up() -> None:
    outer, inner = Window(5, 7, 20, 30), Window(2, 3, 4, 6)
    array = np.arange(40 * 50).reshape(40, 50)
    np.testing.assert_array_equal(array[outer.slices][inner.slices], array[in_window(outer, inner).slices])


def test_tags_bring_the_place_back() -> None:
    place = Place.whole(Grid(1000, 2000)).part(Window(100, 200, 40, 50)).part(Window(3, 4, 20, 30))
    assert place.tags == {TAG: "20 x 30 pixels at row 103, column 204 of 1000 x 2000"}
    assert Place.of_tags(place.tags, GRID) == place
    assert Place.whole(GRID).tags == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "somewhere",
        "20 x 31 pixels at row 0, column 0 of 1000 x 2000",  # cut again, by a program that keeps tags
        "20 x 30 pixels at row 990, column 0 of 1000 x 2000",
        "20 x 30 pixels at row -3, column 0 of 1000 x 2000",
    ],
)
def test_tags_that_do_not_fit_say_nothing(text: str) -> None:
    assert Place.of_tags({TAG: text}, GRID) == Place.whole(GRID)


@pytest.mark.parametrize("window", [(0, 0, 40, 50), (0, 0, 5, 50), (8, 9, 4, 4), (3, 2, 10, 10), (30, 45, 6, 5)])
def test_a_part_in_the_rows_of_its_full_raster(window: tuple[int, int, int, int]) -> None:
    values = np.random.default_rng(0).integers(1, 200, (3, 40, 50)).astype(np.uint8)
    at = Window(6, 8, 21, 30)
    part = scene_of(values[:, *at.slices]).source
    source = FullRaster(part, Place.whole(Grid(40, 50)).part(at))
    assert source.shape == (3, 40, 50)
    held = np.zeros((40, 50), bool)
    held[at.slices] = True
    found, valid = source.read(Window(*window))
    expected = np.where(held, values, 0)[:, *Window(*window).slices]
    np.testing.assert_array_equal(valid, held[Window(*window).slices])
    np.testing.assert_array_equal(found, expected)
