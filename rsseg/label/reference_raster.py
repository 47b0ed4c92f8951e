"""A raster of classes as a reference."""

from pathlib import Path

import numpy as np

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import IntegerRaster, Resample
from rsseg.label.split import BLOCK, Halves, Split, fit_blocks, halves
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import label_windows


class RasterReference(IntegerRaster):
    """A raster of classes, of any whole numbers; 0 and nodata are no reference.

    Its values are read through once, to number the classes, and once more to split it; names come from its category
    names.
    """

    def __init__(self, path: Path, grid: Grid, resample: Resample | None = None, split: Split | None = None) -> None:
        super().__init__(path, grid, resample)
        self.halves: Halves | None = None
        self._part: np.ndarray | None = None
        try:
            self.values = self._all_values()
            self.classes = tuple(self.names.get(int(value), f"class {value}") for value in self.values)
            if split is not None:
                self.halves, self._part = self._parted(split)
        except BaseException:
            self._stack.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        return self.halves.sentences if self.halves else []

    def _all_values(self) -> np.ndarray:
        found = np.empty(0, np.int64)
        for window in label_windows(self.grid):
            found = np.union1d(found, _distinct(self.read_integers(window)))
            if found.size > 256:
                raise InputError(f"{self.path} has more than 255 values; a reference raster holds classes")
        found = found[found != 0]
        if found.size == 0:
            raise GridError(f"{self.path} has no reference pixel on the map: all are 0 or no data")
        return found

    def _parted(self, split: Split) -> tuple[Halves, np.ndarray]:
        """Both sides counted, and which blocks (down, across) belong to the part."""
        across, classes = -(-self.grid.width // BLOCK), len(self.classes)
        strips = [_presence(self.read(window), classes) for window in label_windows(self.grid)]
        presence = np.concatenate(strips)
        if presence.any(axis=1).sum() < 2:
            raise UsageError(f"{self.path} has its classes in a single block of {BLOCK} x {BLOCK} pixels: no two parts")
        fit = fit_blocks(presence, split.share, split.seed)
        counted = halves(split, f"blocks of {BLOCK} x {BLOCK} pixels", fit, presence, self.classes)
        return counted, split.keeps(fit).reshape(-1, across)

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no reference."""
        codes = self._codes(self.read_integers(window))
        if self._part is not None:
            rows, cols = (np.arange(first, last) // BLOCK for first, last in zip(*_ends(window), strict=True))
            codes[~self._part[np.ix_(rows, cols)]] = 0
        return codes

    def _codes(self, values: np.ndarray) -> np.ndarray:
        if values.dtype == np.uint8:
            codes = np.zeros(256, np.uint8)
            codes[self.values] = np.arange(1, len(self.values) + 1)
            return codes[values]
        position = np.searchsorted(self.values, values)
        return np.where(values == 0, 0, position + 1).astype(np.uint8)


def _ends(window: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    return (window.row, window.col), window.end


def _presence(codes: np.ndarray, classes: int) -> np.ndarray:
    """Which blocks of a strip (h, w) of class codes hold which class: (blocks, classes) bool."""
    height, width = codes.shape
    down, across = -(-height // BLOCK), -(-width // BLOCK)
    found = np.zeros((down, across, classes + 1), bool)
    for block in np.ndindex(down, across):
        row, col = block[0] * BLOCK, block[1] * BLOCK
        found[block][np.unique(codes[row : row + BLOCK, col : col + BLOCK])] = True
    return found[..., 1:].reshape(-1, classes)


def _distinct(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:  # ten times faster than sorting
        return np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    return np.unique(values)
