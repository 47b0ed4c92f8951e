"""Points with a class as a reference: each scores the pixel that holds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from rsseg.errors import GridError
from rsseg.label.reference_layers import ClassField, InMemory, class_field, no_touch, on_crs, split_features
from rsseg.label.split import Halves, Split, halves
from rsseg.scene.grid import Grid, Window


@dataclass(frozen=True)
class Places:
    """Points of a window: rows and columns from its corner and class codes, each (n,)."""

    rows: np.ndarray
    cols: np.ndarray
    codes: np.ndarray


class PointReference(InMemory):
    """Points on a map's grid; ``outside`` counts those that lie beside it.

    The points of a multipoint are points of their own, which stay together in a split. Where several points lie in one
    pixel, ``read`` gives the class of the last one of the file, and ``places`` gives them all.

    Args:
        rows, cols: (n,) int64, the pixel of each point.
        field: the classes of the points.
        units: (n,) which points stay together in a split.

    Raises: GridError if no point lies on the map.
    """

    def __init__(
        self, path: Path, grid: Grid, rows: np.ndarray, cols: np.ndarray, field: ClassField, units: np.ndarray,
        split: Split | None = None,
    ) -> None:  # fmt: skip
        self.path, self.grid, self.classes = path, grid, field.classes
        inside = (rows >= 0) & (rows < grid.height) & (cols >= 0) & (cols < grid.width)
        if not inside.any():
            box = (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)
            corners = [grid.xy(float(row), float(col)) for row in box[1::2] for col in box[::2]]
            xs, ys = zip(*corners, strict=True)
            raise GridError(no_touch(path, "point", (min(xs), min(ys), max(xs), max(ys)), grid))
        self.halves: Halves | None = None
        kept = inside
        if split is not None:
            self.halves, part = _parted(path, field, units, inside, split)
            kept = inside & part
        self.outside = int((~inside).sum())
        order = np.argsort(rows[kept], kind="stable")  # the file's order within a row
        self._rows, self._cols, self._codes = (values[kept][order] for values in (rows, cols, field.codes))

    @classmethod
    def of_layer(cls, path: Path, grid: Grid, frame: Any, field: str, split: Split | None = None) -> Self:
        """Points of a layer, in any CRS.

        Raises: GridError if a CRS is missing, or if no point lies on the map.
        """
        moved = on_crs(frame, grid, path).explode(ignore_index=False)
        units = np.unique(moved.index.to_numpy(), return_inverse=True)[1]
        places = np.array(grid.rowcol(moved.geometry.x.to_numpy(), moved.geometry.y.to_numpy()))
        places[:, ~np.isfinite(places).all(axis=0)] = -1  # a place that the map's projection does not have
        rows, cols = np.floor(places).astype(np.int64)
        return cls(path, grid, rows, cols, class_field(path, field, moved[field]), units, split)

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        notes = self.halves.sentences if self.halves else []
        return notes + ([f"{self.outside} points of {self.path.name} lie outside the map"] if self.outside else [])

    def places(self, window: Window) -> Places:
        """The points in a window, from top to bottom."""
        first, last = np.searchsorted(self._rows, (window.row, window.row + window.height))
        cols = self._cols[first:last] - window.col
        near = (cols >= 0) & (cols < window.width)
        return Places(self._rows[first:last][near] - window.row, cols[near], self._codes[first:last][near])

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no point."""
        found = self.places(window)
        codes = np.zeros((window.height, window.width), np.uint8)
        codes[found.rows, found.cols] = found.codes
        return codes


def _parted(
    path: Path, field: ClassField, units: np.ndarray, inside: np.ndarray, split: Split
) -> tuple[Halves, np.ndarray]:
    """Both sides counted, and which points (n,) belong to the part."""
    first = np.unique(units, return_index=True)[1]
    fit = split_features(path, field.codes[first], split, "point")[units]
    presence = (field.codes[:, None] == np.arange(1, len(field.classes) + 1)) & inside[:, None]
    return halves(split, "points", fit, presence, field.classes), split.keeps(fit)
