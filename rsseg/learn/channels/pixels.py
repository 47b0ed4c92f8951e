"""Pixels of scenes in physical units, read beyond the scene's border too, and held for several channels."""

import numpy as np
from numpy.typing import NDArray

from rsseg.learn.channels.base import Pixels
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window


def grown(window: Window, margin: int) -> Window:
    """A window with ``margin`` pixels more on each side; it may begin before the scene."""
    return Window(window.row - margin, window.col - margin, window.height + 2 * margin, window.width + 2 * margin)


def within(inner: Window, outer: Window) -> bool:
    """Whether all of ``inner`` lies in ``outer``."""
    starts = inner.row >= outer.row and inner.col >= outer.col
    return starts and inner.end[0] <= outer.end[0] and inner.end[1] <= outer.end[1]


def relative(inner: Window, outer: Window) -> tuple[slice, slice]:
    """The slices of ``inner`` in an array of ``outer``."""
    return Window(inner.row - outer.row, inner.col - outer.col, inner.height, inner.width).slices


class ScenePixels:
    """The pixels of a scene; its scale and offset are applied in float64."""

    def __init__(self, scene: SceneInput) -> None:
        self.scene = scene
        self.scale = np.array(scene.scale, np.float64)[:, None, None]
        self.offset = np.array(scene.offset, np.float64)[:, None, None]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.scene.source.shape

    def read(self, window: Window, margin: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values and valid pixels, as ``Pixels`` has them."""
        asked = grown(window, margin)
        bands, height, width = self.shape
        values = np.zeros((bands, asked.height, asked.width), np.float32)
        valid = np.zeros((asked.height, asked.width), bool)
        top, left = max(0, asked.row), max(0, asked.col)
        bottom, right = min(height, asked.end[0]), min(width, asked.end[1])
        if top < bottom and left < right:
            inside = Window(top, left, bottom - top, right - left)
            stored, known = self.scene.source.read(inside)
            place = relative(inside, asked)
            # fill values that no float32 holds are set to 0 a line below
            with np.errstate(over="ignore", invalid="ignore"):
                values[:, *place] = stored * self.scale + self.offset
            valid[place] = known
            if not known.all():
                values[:, ~valid] = 0
        return values, valid


class HeldPixels:
    """Pixels of which those in one window were read once; others are read when asked for."""

    def __init__(self, pixels: Pixels, window: Window) -> None:
        self.pixels, self.window = pixels, window
        self.values, self.valid = pixels.read(window)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.pixels.shape

    def read(self, window: Window, margin: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values and valid pixels, as ``Pixels`` has them; views where they are held."""
        asked = grown(window, margin)
        if not within(asked, self.window):
            return self.pixels.read(window, margin)
        rows, cols = relative(asked, self.window)
        return self.values[:, rows, cols], self.valid[rows, cols]
