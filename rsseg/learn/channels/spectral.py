"""Channels made of a pixel's own bands."""

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import UsageError
from rsseg.learn.channels.base import Channel, Pixels, Sample
from rsseg.scene.grid import Window

INDICES = {"ndvi": ("nir", "red"), "ndwi": ("green", "nir")}
"""Normalised differences (a - b) / (a + b): of vegetation, and of open water (McFeeters, 1996)."""

NO_VARIANCE = 1e-9
"""Components of a smaller part of the largest one's variance are rounding, and become 0."""


class Bands(Channel):
    """The bands themselves."""

    kind: Literal["bands"]
    bands: tuple[str, ...]

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """The names are all there is."""
        return cls(kind="bands", bands=sample.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """The bands' own."""
        return self.bands

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(bands, h, w), physical."""
        return pixels.read(window)[0]


class Components(Channel):
    """Principal components of the standardised bands, each scaled to unit variance: no two of them correlate.

    ``mean``: (bands,); ``matrix``: (bands, bands), from bands less their mean to components, the largest first.
    """

    kind: Literal["components"]
    mean: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """From the eigenvectors of the bands' correlations; the largest part of each counts as positive."""
        mean, spread, sizes, rows = principal_axes(sample.values)
        largest = np.abs(rows).argmax(axis=1)
        rows = rows * np.sign(rows[np.arange(len(rows)), largest])[:, None]
        kept = sizes > NO_VARIANCE * sizes[0]
        rows = np.where(kept[:, None], rows / np.sqrt(np.where(kept, sizes, 1.0))[:, None] / spread, 0.0)
        return cls(kind="components", mean=tuple(mean.tolist()), matrix=tuple(tuple(row) for row in rows.tolist()))

    @property
    def names(self) -> tuple[str, ...]:
        """component1, component2 ..."""
        return tuple(f"component{number}" for number in range(1, len(self.mean) + 1))

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(bands, h, w), of unit variance; summed band by band, since a matrix product may round by its size."""
        centred = pixels.read(window)[0] - np.array(self.mean, np.float32)[:, None, None]
        found = np.zeros_like(centred)
        for row, weights in zip(found, np.array(self.matrix, np.float32), strict=True):
            for band, weight in zip(centred, weights, strict=True):
                row += weight * band
        return found


def principal_axes(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean and spread (bands,) of values (n, bands), and of the standardised values the variances (bands,) along the
    principal axes, largest first, and the axes themselves, one a row; a band without spread counts as it is."""
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    standard = (values - mean) / spread
    sizes, vectors = np.linalg.eigh(standard.T @ standard / max(1, len(standard)))
    return mean, spread, sizes[::-1], vectors.T[::-1]


class Indices(Channel):
    """NDVI and NDWI, or the one whose bands the scene has.

    ``pairs``: for each index its name and the places of its two bands.
    """

    kind: Literal["indices"]
    pairs: tuple[tuple[str, int, int], ...]

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """Find the bands by their names.

        Raises: UsageError if neither index can be made.
        """
        names = [name.casefold() for name in sample.bands]
        found = [
            (index, names.index(first), names.index(second))
            for index, (first, second) in INDICES.items()
            if first in names and second in names
        ]
        if not found:
            raise UsageError(
                "indices need bands that are named nir and red (NDVI), or green and nir (NDWI); the scene's are "
                f"{', '.join(sample.bands)}: name them in its band descriptions, or leave indices out of --channels"
            )
        return cls(kind="indices", pairs=tuple(found))

    @property
    def names(self) -> tuple[str, ...]:
        """The indices' own."""
        return tuple(name for name, _, _ in self.pairs)

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(indices, h, w), in [-1, 1]; 0 where the sum of both bands is not positive."""
        values = pixels.read(window)[0]
        return np.stack([normalised_difference(values[first], values[second]) for _, first, second in self.pairs])


def normalised_difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """(a - b) / (a + b), cut to [-1, 1] (reflectance may be slightly negative); 0 where a + b is not positive."""
    total = first + second
    found = np.zeros_like(total)
    np.divide(first - second, total, out=found, where=total > 0)
    return np.clip(found, -1.0, 1.0, out=found)


class Brightness(Channel):
    """The mean of all bands."""

    kind: Literal["brightness"]

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """Nothing is fitted."""
        return cls(kind="brightness")

    @property
    def names(self) -> tuple[str, ...]:
        """``brightness``."""
        return (self.kind,)

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(1, h, w), physical."""
        return brightness(pixels.read(window)[0])[None]


def brightness(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean (h, w) of bands (bands, h, w), added in their order."""
    total = values[0].copy()
    for band in values[1:]:
        total += band
    total /= np.float32(len(values))
    return total
