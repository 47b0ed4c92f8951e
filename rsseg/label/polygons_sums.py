"""What is summed over the pixels of polygons while they are traced: pixels, a scene's values, a confidence."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rsseg.label.polygons_trace import Band
from rsseg.scene.grid import Window
from rsseg.scene.source import Scene

CHUNK = 128
"""Rows whose values are held as float64 at a time."""


class PixelSums:
    """Sums over regions, for ``polygons``; a context manager that keeps the scenes' files open.

    ``totals`` have the columns: pixels, and for each scene its valid pixels and the sums of its stored values by band.

    Args:
        scenes: scenes on the map's grid.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = tuple(scenes)
        self._readers = [scene.open() for scene in scenes]

    def __call__(self, band: Band) -> NDArray[np.float64]:
        """The sums of a band: (regions + 1, columns) float64."""
        totals = np.zeros((band.count + 1, 1 + sum(1 + len(scene.bands) for scene in self.scenes)))
        for start in range(0, len(band.labels), CHUNK):
            regions = band.regions[start : start + CHUNK]
            window = Window(band.row + start, 0, *regions.shape)
            totals[:, 0] += np.bincount(regions.ravel(), minlength=len(totals))
            column = 1
            for reader in self._readers:
                values, valid = reader.read(window)
                known = regions[valid]
                totals[:, column] += np.bincount(known, minlength=len(totals))
                for position, layer in enumerate(values, column + 1):
                    totals[:, position] += np.bincount(known, layer[valid].astype(np.float64), len(totals))
                column += 1 + len(values)
        return totals

    def means(self, totals: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """The mean of each band of each scene in its units, NaN where no pixel is valid: (n, bands) for each scene."""
        found, column = [], 1
        for scene in self.scenes:
            count = totals[:, column, None]
            values = totals[:, column + 1 : column + 1 + len(scene.bands)]
            with np.errstate(invalid="ignore", divide="ignore"):
                found.append(values / count * scene.scales + scene.offsets)
            column += 1 + len(scene.bands)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        for reader in self._readers:
            reader.close()
