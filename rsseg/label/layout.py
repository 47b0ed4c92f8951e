"""What part of a scene is labelled, by which patches, in what batches: numbers that follow from a few choices."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rsseg.label.stitch import Resolution
from rsseg.scene.grid import Axis, PatchGrid, Window

BLOCK_PIXELS = 1 << 22
BLOCK_PATCHES = 1 << 17


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

    @property
    def block_rows(self) -> int:
        """Rows of patches read at a time."""
        by_patches = BLOCK_PATCHES // (self.across[1] - self.across[0])
        by_pixels = BLOCK_PIXELS // (self.grid.stride * max(self.window.width, self.grid.patch))
        return self.rows_at_a_time or max(1, min(by_patches, by_pixels))


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
