"""Polygons with a class as a reference."""

from pathlib import Path
from typing import Any

import numpy as np

from rsseg.errors import GridError
from rsseg.label.reference_layers import InMemory, class_field, no_touch, on_crs, single_parts, split_features
from rsseg.label.split import Halves, Split, halves
from rsseg.scene.grid import Grid, Window
from rsseg.scene.polygons import burnt, near


class PolygonReference(InMemory):
    """Polygons, burnt window by window into the map's grid; a pixel belongs to a polygon that holds its centre.

    Where polygons of two classes overlap, the later one in the file counts. Polygons without a value in the field are
    left out. The two parts of a split share no pixel: each belongs to the part of the polygon that counts there.

    Args:
        frame: the table of polygons, in any CRS.
        field: its column of classes.
        split: the part to read; the parts of a class's only polygon are then polygons of their own.
    """

    def __init__(self, path: Path, grid: Grid, frame: Any, field: str, split: Split | None = None) -> None:
        self.path, self.grid = path, grid
        frame = frame if split is None else single_parts(frame, field)
        found = class_field(path, field, frame[field])
        self.classes, self._codes = found.classes, found.codes
        self._shapes = on_crs(frame, grid, path).geometry
        met = near(self._shapes.bounds.to_numpy(), grid)
        if not met.size:
            raise GridError(no_touch(path, "polygon", self._shapes.total_bounds, grid))
        self._kept = np.ones(len(self._codes), bool)
        self.halves: Halves | None = None
        if split is not None:
            fit = split_features(path, self._codes, split, "polygon")
            presence = self._codes[met, None] == np.arange(1, len(self.classes) + 1)
            self.halves = halves(split, "polygons", fit[met], presence, self.classes)
            self._kept = split.keeps(fit)

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        return self.halves.sentences if self.halves else []

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no polygon."""
        return self._burnt(window, self._codes * self._kept, "uint8")

    def polygons(self, window: Window) -> np.ndarray:
        """Which polygon holds a pixel, numbered from 1 in the order of the file: (h, w) int32, 0 for none."""
        return self._burnt(window, np.arange(1, len(self._codes) + 1) * self._kept, "int32")

    def _burnt(self, window: Window, values: np.ndarray, dtype: str) -> np.ndarray:
        """Each polygon's value on the pixels that it holds, 0 elsewhere."""
        part = self.grid.crop(window)
        found = near(self._shapes.bounds.to_numpy(), part)
        return burnt(list(zip(self._shapes.iloc[found], values[found], strict=True)), part, dtype)
