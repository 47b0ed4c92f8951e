"""The simulated world: land cover and reflectance of any window, always the same."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from rsseg.scene.grid import Window
from rsseg.scene.simulate.landcover import cover
from rsseg.scene.simulate.noise import Floats, hashes, salt
from rsseg.scene.simulate.spectra import Light, reflectance

_MARGIN = 3
"""Pixels around a block that its shadows and its blur look at."""
_BLOCK = (128, 768)
"""Height and width of the blocks that are computed at once: about what a processor's cache holds."""
_BLUR = (np.float32(0.14), np.float32(0.72))
"""Share of a neighbour and of the pixel itself along each axis: the sensor's modulation transfer."""


@dataclass(frozen=True)
class World:
    """An endless landscape; pixels are named by absolute row and column, in steps of 5 m.

    Everything is a pure function of ``seed``, the absolute position, and (for the reflectance) ``day`` and ``light``.
    """

    seed: int
    day: date
    light: Light

    def render(self, window: Window) -> tuple[NDArray[np.uint8], Floats]:
        """Classes 1 to 6 (height, width) uint8, and reflectance (3, height, width) float32, of a window.

        The memory needed grows with the result alone; the work goes by blocks.
        """
        classes = np.empty((window.height, window.width), np.uint8)
        bands = np.empty((3, window.height, window.width), np.float32)
        for part in _blocks(window):
            inside = part.row - window.row, part.col - window.col
            rows, cols = slice(inside[0], inside[0] + part.height), slice(inside[1], inside[1] + part.width)
            classes[rows, cols], bands[:, rows, cols] = self._block(part)
        return classes, bands

    def _block(self, part: Window) -> tuple[NDArray[np.uint8], Floats]:
        wider = Window(part.row - _MARGIN, part.col - _MARGIN, part.height + 2 * _MARGIN, part.width + 2 * _MARGIN)
        land = cover(self.seed, wider)
        bands = _blur(reflectance(self.seed, land, self.day, self.light))
        inside = (slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
        return land.classes[inside], bands[:, _MARGIN - 1 : 1 - _MARGIN, _MARGIN - 1 : 1 - _MARGIN]

    def noise(self, window: Window) -> Floats:
        """The sensor's noise: (3, height, width) float32 of mean 0 and standard deviation 1, new for each day."""
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        draws = hashes(rows, cols, salt(self.seed, f"sensor/{self.day.isoformat()}"))
        table = _normal_table()
        return np.stack([table[((draws >> np.uint32(10 * band)) & np.uint32(1023))] for band in range(3)])


def _blocks(window: Window) -> Iterator[Window]:
    height, width = _BLOCK
    for row in range(window.row, window.row + window.height, height):
        for col in range(window.col, window.col + window.width, width):
            bottom, right = window.end
            yield Window(row, col, min(height, bottom - row), min(width, right - col))


def _blur(bands: Floats) -> Floats:
    """Each pixel with a share of its neighbours; one pixel less on every side."""
    side, middle = _BLUR
    across = middle * bands[:, :, 1:-1]
    across += side * (bands[:, :, :-2] + bands[:, :, 2:])
    down = middle * across[:, 1:-1]
    down += side * (across[:, :-2] + across[:, 2:])
    return down


def _normal_table() -> Floats:
    """1024 quantiles of the normal distribution."""
    from scipy.special import ndtri

    return ndtri((np.arange(1024) + 0.5) / 1024).astype(np.float32)
