"""Tiles of pretrained networks: where their cells lie, and the way back to pixels."""

import numpy as np
import pytest

from rsseg.learn.channels.backbone_tiles import Tiling, enlarged, tiling

TILINGS = [
    tiling(4, 0.0, 1, 32, 9),
    tiling(2, 0.5, 1, 32, 5),
    tiling(14, 6.5, 2, 60, 20),
    tiling(8, 3.5, 3, 40, 20),
    tiling(1, 0.0, 2, 16, 3),
]


@pytest.mark.parametrize("where", TILINGS, ids=str)
def test_lengths_are_whole_in_cells_and_in_pixels(where: Tiling) -> None:
    for length in (where.core, where.halo):
        assert length % where.stride == 0 and length % where.zoom == 0


def test_lengths_are_at_least_what_was_asked_for() -> None:
    assert tiling(14, 6.5, 4, 350, 84) == Tiling(14, 6.5, 4, 364, 84)


def places(where: Tiling) -> np.ndarray:
    """Input coordinates of the ringed cells, counted from the core's first pixel."""
    return where.centre + where.stride * np.arange(-1, where.core // where.stride + 1)


@pytest.mark.parametrize("where", TILINGS, ids=str)
def test_pixels_lie_between_the_cells_around_them(where: Tiling) -> None:
    """The oracle is numpy's linear interpolation between the cells' places, along one axis and the other."""
    at = places(where)
    cells = np.random.default_rng(0).normal(size=(2, len(at), len(at))).astype(np.float32)
    pixels = (np.arange(where.side) + 0.5) * where.zoom - 0.5
    lines = np.stack([[np.interp(pixels, at, cells[k, :, col]) for col in range(len(at))] for k in range(2)])
    wanted = np.stack([[np.interp(pixels, at, lines[k, :, row]) for row in range(where.side)] for k in range(2)])
    whole = slice(0, where.side)
    np.testing.assert_allclose(enlarged(cells, where, whole, whole), wanted, atol=1e-5)


@pytest.mark.parametrize("where", TILINGS, ids=str)
def test_a_part_has_the_bits_of_the_whole(where: Tiling) -> None:
    cells = np.random.default_rng(1).normal(size=(3, len(places(where)), len(places(where)))).astype(np.float32)
    whole = enlarged(cells, where, slice(0, where.side), slice(0, where.side))
    rows, cols = slice(3, 10), slice(5, 6)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(enlarged(cells, where, rows, cols), whole[:, rows, cols])


@pytest.mark.parametrize("where", TILINGS, ids=str)
def test_a_cell_lies_in_the_pixel_nearest_to_it(where: Tiling) -> None:
    pixels = (np.arange(where.side) + 0.5) * where.zoom - 0.5
    for cell, pixel in zip(places(where)[1:-1], where.middles, strict=True):
        assert abs(pixels[pixel] - cell) == pytest.approx(np.abs(pixels - cell).min(), abs=1e-9)
