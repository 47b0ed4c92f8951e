"""Parts of rasters: where they lie in the full one, so that what is laid on the full one need not move.

Labelling lays its patches and tiles from the full raster's first pixel on. A part remembers where it lies, in
memory and in the tags of a raster that was cut out, so that its labels are the crop of the whole scene's labels.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg.scene.grid import Grid, Window

TAG = "part_of_full_raster"
"""The tag of a raster that was cut out of a larger one."""

_FORM = re.compile(r"(\d+) x (\d+) pixels at row (\d+), column (\d+) of (\d+) x (\d+)")


def in_window(outer: Window, inner: Window) -> Window:
    """Where a window of a window lies in what the outer one is of."""
    return Window(outer.row + inner.row, outer.col + inner.col, inner.height, inner.width)


@dataclass(frozen=True)
class Place:
    """A window of a full raster of ``height`` x ``width`` pixels."""

    window: Window
    height: int
    width: int

    @classmethod
    def whole(cls, grid: Grid) -> "Place":
        """The place of a raster that is no part of another."""
        return cls(grid.window, grid.height, grid.width)

    def part(self, window: Window) -> "Place":
        """The place of a window of this part."""
        return Place(in_window(self.window, window), self.height, self.width)

    @property
    def is_whole(self) -> bool:
        """Whether the part is all there is."""
        return self.window == Window(0, 0, self.height, self.width)

    @property
    def tags(self) -> dict[str, str]:
        """What a raster of this part says of itself; nothing where it is the whole."""
        at, size = self.window, f"{self.height} x {self.width}"
        text = f"{at.height} x {at.width} pixels at row {at.row}, column {at.col} of {size}"
        return {} if self.is_whole else {TAG: text}

    @classmethod
    def of_tags(cls, tags: Mapping[str, str], grid: Grid) -> "Place":
        """What the tags of a raster say; one that was cut or scaled since then is a raster of its own."""
        found = _FORM.fullmatch(tags.get(TAG, ""))
        if found is None:
            return cls.whole(grid)
        height, width, row, col, full_height, full_width = (int(number) for number in found.groups())
        fits = row + height <= full_height and col + width <= full_width
        if (height, width) != grid.shape or not fits:
            return cls.whole(grid)
        return cls(Window(row, col, height, width), full_height, full_width)


class Pixels(Protocol):
    """Pixels by windows, such as a ``SceneReader``."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""

    @property
    def dtype(self) -> np.dtype:
        """The stored type of the values."""

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        """Stored values (bands, h, w) and valid pixels (h, w) of a window."""


class FullRaster:
    """A part's pixels in the rows and columns of its full raster; what lies outside the part is invalid."""

    def __init__(self, part: Pixels, place: Place) -> None:
        self.part, self.place = part, place
        self.shape = (part.shape[0], place.height, place.width)
        self.dtype = part.dtype

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        """Stored values (bands, h, w) and valid pixels (h, w) of a window of the full raster."""
        at = self.place.window
        top, left = max(window.row, at.row), max(window.col, at.col)
        bottom, right = min(window.end[0], at.end[0]), min(window.end[1], at.end[1])
        values = np.zeros((self.shape[0], window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        if top < bottom and left < right:
            held = Window(top - at.row, left - at.col, bottom - top, right - left)
            rows, cols = Window(top - window.row, left - window.col, bottom - top, right - left).slices
            values[:, rows, cols], valid[rows, cols] = self.part.read(held)
        return values, valid
