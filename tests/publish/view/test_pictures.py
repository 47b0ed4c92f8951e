"""Tiles: together they are the raster, level by level; their PNG files are read by others as they were meant."""

import io

import numpy as np
import pytest
from PIL import Image

from rsseg.publish.view.pictures import TILE, levels, palette_png, rgba_png, tile_at


@pytest.mark.parametrize("shape", [(1, 1), (256, 256), (257, 3), (1000, 700), (16600, 18000)])
def test_the_last_level_is_one_tile_and_the_one_before_is_not(shape: tuple[int, int]) -> None:
    last = levels(shape) - 1
    assert tile_at(shape, last, 0, 0) is not None
    assert tile_at(shape, last, 0, 1) is None and tile_at(shape, last, 1, 0) is None
    assert tile_at(shape, last + 1, 0, 0) is None
    if last:
        assert tile_at(shape, last - 1, 0, 1) is not None or tile_at(shape, last - 1, 1, 0) is not None


@pytest.mark.parametrize("level", range(3))
def test_tiles_cover_every_pixel_once(level: int) -> None:
    shape = (777, 1030)
    covered = np.zeros(shape, int)
    rows = columns = 0
    while tile_at(shape, level, rows, 0):
        rows += 1
    while tile_at(shape, level, 0, columns):
        columns += 1
    for row in range(rows):
        for col in range(columns):
            tile = tile_at(shape, level, row, col)
            assert tile is not None
            covered[tile.window.slices] += 1
            assert max(tile.size) <= TILE
            assert tile.size == (-(-tile.window.height // 2**level), -(-tile.window.width // 2**level))
    assert (covered == 1).all()


@pytest.mark.parametrize("place", [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (9, 0, 0), (0, 4, 0), (0, 0, 99999)])
def test_there_are_no_other_tiles(place: tuple[int, int, int]) -> None:
    assert tile_at((777, 1030), *place) is None


def test_a_png_holds_the_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    with Image.open(io.BytesIO(rgba_png(pixels))) as picture:
        assert picture.mode == "RGBA" and np.array_equal(np.asarray(picture), pixels)


def test_a_palette_png_holds_colours_and_one_transparent_value() -> None:
    rng = np.random.default_rng(1)
    values, colours = rng.integers(0, 256, (9, 3), np.uint8), rng.integers(0, 256, (256, 3), np.uint8)
    with Image.open(io.BytesIO(palette_png(values, colours, transparent=7))) as picture:
        shown = np.asarray(picture.convert("RGBA"))
    assert np.array_equal(shown[..., :3], colours[values])
    assert np.array_equal(shown[..., 3], np.where(values == 7, 0, 255))
