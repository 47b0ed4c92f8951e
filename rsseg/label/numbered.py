"""Label maps with values to 65535, read as the numbers of the values that occur."""

from pathlib import Path

import numpy as np

from rsseg.errors import InputError
from rsseg.label.contingency import contingency
from rsseg.label.maps import IntegerRaster, Resample, title_of
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import label_windows

LARGEST = 65535
"""The largest value of a label map that can be evaluated."""

_CHUNK = 1 << 20


class NumberedMap(IntegerRaster):
    """A label map whose values are read as codes: ``values[code]`` is the value, code 0 is no data.

    A map of bytes keeps its values as codes. Any other is read through once, to number the values that occur from 1.

    Raises: as ``IntegerRaster``; InputError for values below 0 or above 65535.
    """

    def __init__(
        self, path: Path, name: str | None = None, like: Grid | None = None, resample: Resample | None = None
    ) -> None:
        super().__init__(path, like, resample)
        self.name = name or path.stem
        self._code: np.ndarray | None = None
        self.values = np.arange(256)
        if self._dataset.dtypes[0] != "uint8":
            try:
                self.values = self._all_values()
            except BaseException:
                self._stack.close()
                raise
            self._code = np.zeros(LARGEST + 1, np.uint8 if len(self.values) <= 256 else np.uint16)
            self._code[self.values] = np.arange(len(self.values))

    def _all_values(self) -> np.ndarray:
        found = np.zeros(LARGEST + 1, bool)
        found[0] = True
        for window in label_windows(self.grid):
            values = self.read_integers(window)
            lowest, highest = int(values.min()), int(values.max())
            if lowest < 0 or highest > LARGEST:
                wrong = lowest if lowest < 0 else highest
                raise InputError(f"{self.path} holds the value {wrong}; clusters are 1 to {LARGEST}, and 0 is no data")
            found[values] = True
        return np.flatnonzero(found)

    def read(self, window: Window) -> np.ndarray:
        """Codes of a window: (h, w) uint8, or uint16 where more than 255 values occur; 0 for no data."""
        values = self.read_integers(window)
        return values if self._code is None else self._code[values]

    def title(self, code: int) -> str:
        """What the cluster of a code is called: its name, with the value where several share it."""
        return title_of(self.names, int(self.values[code]))

    def given_name(self, code: int) -> str:
        """The name that the file gives to the cluster of a code, or an empty text."""
        return self.names.get(int(self.values[code]), "")


def pair_counts(labels: np.ndarray, codes: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Count the pixels of each pair of label and class code, as ``contingency`` does, for labels of more than a byte.

    Args:
        labels: (h, w) uint8 or uint16, at most ``rows``.
        codes: (h, w) uint8, at most ``cols``.

    Returns: (rows + 1, cols + 1) int64; row and column 0 count no data.
    """
    if labels.dtype == np.uint8 and rows <= 255:
        return contingency(labels, codes, rows, cols)
    first, second = labels.ravel(), codes.ravel()
    size = (rows + 1) * (cols + 1)
    table = np.zeros(size, np.int64)
    for start in range(0, first.size, _CHUNK):
        index = first[start : start + _CHUNK].astype(np.int64) * (cols + 1) + second[start : start + _CHUNK]
        table += np.bincount(index, minlength=size)
    return table.reshape(rows + 1, cols + 1)
