"""What training and labelling read: arrays by windows, with the line that turns them into physical values."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg.prefetch import prefetch
from rsseg.scene.grid import Axis, PatchGrid, Window

VALID_SHARE = 0.99
"""Training patches have at least this share of valid pixels; labelling takes every patch with one."""

TILE_VALID_SHARE = 0.5
"""Training tiles of dense methods, whose losses take a mask of valid pixels, have at least this share of them."""


class PixelSource(Protocol):
    """Pixels by windows; ``scene.source.SceneReader`` is one, ``ArraySource`` another."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""

    @property
    def dtype(self) -> np.dtype:
        """The stored type of the values."""

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        """Stored values (bands, h, w) and valid pixels (h, w) of a window."""


@dataclass(frozen=True)
class ArraySource:
    """A scene that lies in memory: values (bands, H, W) and, optionally, valid pixels (H, W)."""

    values: NDArray
    valid: NDArray[np.bool_] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        bands, height, width = self.values.shape
        return bands, height, width

    @property
    def dtype(self) -> np.dtype:
        """The stored type of the values."""
        return self.values.dtype

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        """A view of the values and the valid pixels of a window."""
        rows, cols = window.slices
        valid = np.ones((window.height, window.width), bool) if self.valid is None else self.valid[rows, cols]
        return self.values[:, rows, cols], valid


@dataclass(frozen=True)
class SceneInput:
    """A scene as training and labelling see it: physical value = ``scale`` x stored value + ``offset``, per band."""

    name: str
    source: PixelSource
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @classmethod
    def of_array(cls, name: str, values: NDArray, valid: NDArray[np.bool_] | None = None) -> "SceneInput":
        """An array (bands, H, W) whose values are already physical."""
        ones = (1.0,) * values.shape[0]
        return cls(name, ArraySource(values, valid), ones, (0.0,) * len(ones))


@dataclass(frozen=True)
class PatchRow:
    """Statistics of one row of patches, in stored units.

    ``count``: (across,) valid pixels; ``total`` and ``square``: (across, bands) sums of values and of their squares
    over the valid pixels, exact int64 for integers up to 16 bit, float64 otherwise.
    """

    row: int
    count: NDArray[np.int64]
    total: NDArray
    square: NDArray


def patch_rows(source: PixelSource, patches: PatchGrid, strip_rows: int = 256) -> Iterator[PatchRow]:
    """Stream the statistics of every patch, a row of patches at a time, reading each pixel once.

    Memory grows with the width, not with the height: a strip, and the cell sums of one patch's height.
    """
    sums = _cell_rows(source, patches, strip_rows)
    across = _cell_ranges(patches.cols)
    waiting: list[NDArray] = []
    first = 0
    for row, (start, end) in enumerate(_cell_ranges(patches.rows)):
        while first + len(waiting) < end:
            waiting.append(next(sums))
        del waiting[: start - first]  # cells of earlier patches, and of the gap where the stride exceeds the patch
        first = start
        column = sum(waiting[1 : end - first], waiting[0].copy())
        yield _patch_row(row, column, across)


def _cell_ranges(axis: Axis) -> NDArray[np.int64]:
    """For each patch, the half-open range of the cells it is made of: (patches, 2)."""
    starts = np.array(axis.starts)
    return np.searchsorted(axis.breaks, np.stack([starts, starts + axis.patch], axis=1))


def _patch_row(row: int, cells: NDArray, ranges: NDArray[np.int64]) -> PatchRow:
    """Sum the cells (1 + 2 bands, cells across) of one row of patches to its patches."""
    running = np.concatenate([np.zeros_like(cells[:, :1]), np.cumsum(cells, axis=1)], axis=1)
    sums = running[:, ranges[:, 1]] - running[:, ranges[:, 0]]
    bands = (len(sums) - 1) // 2
    return PatchRow(row, sums[0].astype(np.int64), sums[1 : 1 + bands].T, sums[1 + bands :].T)


def _cell_rows(source: PixelSource, patches: PatchGrid, strip_rows: int) -> Iterator[NDArray]:
    """For each row of cells: (1 + 2 bands, cells across) sums of valid pixels, values and squares."""
    edges = np.array(patches.cols.breaks[:-1])
    for strip, values, valid in prefetch(_read_strips(source, patches, strip_rows)):
        for start, end in pairwise(strip):
            rows = slice(start - strip[0], end - strip[0])
            yield np.add.reduceat(_column_sums(values[:, rows], valid[rows]), edges, axis=1)


def _read_strips(
    source: PixelSource, patches: PatchGrid, strip_rows: int
) -> Iterator[tuple[list[int], NDArray, NDArray[np.bool_]]]:
    """The cell borders of each strip, and its values and valid pixels."""
    for strip in _strips(patches.rows.breaks, strip_rows):
        yield strip, *source.read(Window(strip[0], 0, strip[-1] - strip[0], patches.cols.size))


def _column_sums(values: NDArray, valid: NDArray[np.bool_]) -> NDArray:
    """Sums down the columns of a row of cells: (1 + 2 bands, w) of valid pixels, values and squares.

    Squares of 16 bits fit in 32, which halves what moves through memory.
    """
    bands, height, width = values.shape
    exact = values.dtype.kind in "ui" and values.dtype.itemsize <= 2
    if exact:
        clean = values.astype(np.uint32 if values.dtype.kind == "u" else np.int32)
        clean *= valid
    else:
        clean = np.where(valid, values, 0).astype(np.float64)
    sums = np.empty((1 + 2 * bands, width), np.int64 if exact else np.float64)
    sums[0] = np.add.reduce(valid, axis=0, dtype=np.int32)
    # 2^15 rows of 16 bits are the most that sum to 31
    sums[1 : 1 + bands] = np.add.reduce(clean, axis=1, dtype=clean.dtype if height < 1 << 15 else sums.dtype)
    np.multiply(clean, clean, out=clean)
    sums[1 + bands :] = np.add.reduce(clean.astype(sums.dtype, copy=False), axis=1)
    return sums


def _strips(breaks: Iterable[int], rows: int) -> Iterator[list[int]]:
    """Cut cell borders into runs of at least ``rows`` pixels; neighbouring runs share their border."""
    run: list[int] = []
    for edge in breaks:
        run.append(edge)
        if run[-1] - run[0] >= rows:
            yield run
            run = [edge]
    if len(run) > 1:
        yield run
