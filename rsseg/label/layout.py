"""What part of a scene is labelled, by which patches, in what batches: numbers that follow from a few choices."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rsseg.label.stitch import Resolution
from rsseg.scene.grid import Axis, PatchGrid, Window

BLOCK_PIXELS = 1 << 22
"""Pixels of the scene in a block, which bounds memory."""

BLOCK_INPUTS = 1 << 19
"""Pixels given to the network for a block: about a second on a CPU, so that reading and writing run beside it."""


@dataclass(frozen=True)
class Layout:
    """The patches of the whole scene, the window of it that is labelled, and how much is done at a time.

    ``batch``: patches in a batch, which are cut by the patches' numbers in the whole scene. ``rows_at_a_time``: rows of
    patches read at a time; None takes what a few MiB hold.
    """

    grid: PatchGrid
    window: Window
    resolution: Resolution
    batch: int
    rows_at_a_time: int | None = None

    @cached_property
    def down(self) -> tuple[int, int]:
        """The half-open range of rows of patches that touch the window."""
        return self.grid.rows.touching(self.window.row, self.window.end[0])

    @cached_property
    def across(self) -> tuple[int, int]:
        """The half-open range of columns of patches that touch the window."""
        return self.grid.cols.touching(self.window.col, self.window.end[1])

    @cached_property
    def touched(self) -> NDArray[np.bool_]:
        """For each batch, whether a patch of it touches the window; such a batch is computed whole."""
        count, (left, right) = self.grid.cols.count, self.across
        rows = np.arange(*self.down, dtype=np.int64) * count
        steps = np.zeros(-(-len(self.grid) // self.batch) + 1, np.int64)
        np.add.at(steps, (rows + left) // self.batch, 1)
        np.add.at(steps, (rows + right - 1) // self.batch + 1, -1)
        return steps.cumsum()[:-1] > 0

    @cached_property
    def read(self) -> tuple[int, int]:
        """The half-open range of rows of patches that the touched batches take."""
        batches = np.flatnonzero(self.touched)
        last = min((int(batches[-1]) + 1) * self.batch, len(self.grid)) - 1
        return int(batches[0]) * self.batch // self.grid.cols.count, last // self.grid.cols.count + 1

    @property
    def block_rows(self) -> int:
        """Rows of patches read at a time."""
        by_inputs = BLOCK_INPUTS // (self.grid.cols.count * self.grid.patch**2)
        by_pixels = BLOCK_PIXELS // (self.grid.stride * self.grid.cols.size)
        return self.rows_at_a_time or max(1, min(by_inputs, by_pixels))


def output_window(window: Window, stride: int, resolution: Resolution) -> Window:
    """The part of the label map's grid that a window of the scene makes: itself, or the cells that it touches."""
    if resolution == "pixel":
        return window
    bottom, right = (-(-end // stride) for end in window.end)
    top, left = window.row // stride, window.col // stride
    return Window(top, left, bottom - top, right - left)


def snapped(window: Window, grid: PatchGrid, resolution: Resolution) -> Window:
    """At patch resolution, the window grown to whole cells."""
    if resolution == "pixel":
        return window
    stride, cells = grid.stride, output_window(window, grid.stride, "patch")
    bottom = min(cells.end[0] * stride, grid.rows.size)
    right = min(cells.end[1] * stride, grid.cols.size)
    return Window(cells.row * stride, cells.col * stride, bottom - cells.row * stride, right - cells.col * stride)


def starts(axis: Axis, indices: NDArray) -> NDArray[np.int64]:
    """The first pixels of patches."""
    return np.minimum(indices * axis.stride, axis.size - axis.patch)
