"""The part of a product's raster that the sensor saw: a quadrilateral that leans with the satellite's track."""

from dataclasses import dataclass
from math import radians, tan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg.scene.grid import Window

LEAN = 12.0
"""Angle between the track and the raster's columns in degrees."""


@dataclass(frozen=True)
class Footprint:
    """The quadrilateral in a raster of ``height`` x ``width`` pixels; about 21 % of a scene's raster lies outside."""

    height: int
    width: int

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """Upper left, upper right, lower right, lower left: fractional (row, column) of pixel corners."""
        lean = min(tan(radians(LEAN)) * self.height, 0.45 * self.width)
        drop = 0.015 * self.height
        height, width = float(self.height), float(self.width)
        return (drop, lean), (0.0, width), (height - drop, width - lean), (height, 0.0)

    def mask(self, window: Window) -> NDArray[np.bool_]:
        """Which pixels of a window lie inside, by their centres: (height, width)."""
        rows = np.arange(window.row, window.row + window.height, dtype=np.float64) + 0.5
        cols = np.arange(window.col, window.col + window.width, dtype=np.float64) + 0.5
        first, last = self._columns(rows)
        top, bottom = self._rows(cols)
        inside = (cols[None, :] > first[:, None]) & (cols[None, :] < last[:, None])
        return inside & (rows[:, None] > top[None, :]) & (rows[:, None] < bottom[None, :])

    def columns(self, window: Window) -> tuple[int, int]:
        """The half-open range of columns of the raster outside of which a strip of rows has no valid pixel."""
        first, last = self._columns(np.array([window.row, window.row + window.height], float))
        return max(window.col, int(first.min())), min(window.col + window.width, int(last.max()) + 1)

    def _columns(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        (r1, c1), (r2, c2), (r3, c3), (r4, c4) = self.corners
        left = c1 + (rows - r1) * (c4 - c1) / (r4 - r1)
        right = c2 + (rows - r2) * (c3 - c2) / (r3 - r2)
        return left, right

    def _rows(self, cols: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        (r1, c1), (r2, c2), (r3, c3), (r4, c4) = self.corners
        top = r1 + (cols - c1) * (r2 - r1) / (c2 - c1)
        bottom = r4 + (cols - c4) * (r3 - r4) / (c3 - c4)
        return top, bottom
