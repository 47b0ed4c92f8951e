"""Normalisation: one line a band, fitted on training patches and stored in the model.

It is never fitted per tile: two tiles of one scene would be stretched differently, and the map would show seams.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from rsseg.errors import TrainingError

Kind = Literal["standardise", "range", "robust"]

QUARTILE_RANGE = 1.349
"""From the 25th to the 75th percentile of a normal distribution, in standard deviations."""


class Normalisation(BaseModel):
    """x = (physical value - centre) / spread, per band or channel; ``mean`` is what invalid pixels are set to before.

    ``standardise``: mean and standard deviation of the training patches (RECAL, eq. 4). ``range``: centre and spread
    such that the 2nd percentile becomes 0 and the 98th 1, which clouds and glint cannot stretch. ``robust``: median
    and quartile range, which is 1.349 standard deviations of a normal distribution: clouds and fill of up to a quarter
    of the pixels move it little.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    mean: tuple[float, ...]


class Moments:
    """Sums over training patches, in physical units and float64, added scene by scene."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self.total = np.zeros(bands)
        self.square = np.zeros(bands)

    def add(self, count: int, total: NDArray, square: NDArray, scale: Sequence[float], offset: Sequence[float]) -> None:
        """Add sums of stored values: ``count`` pixels, ``total`` and ``square`` (bands,)."""
        a, b = np.asarray(scale, np.float64), np.asarray(offset, np.float64)
        total, square = np.asarray(total, np.float64), np.asarray(square, np.float64)
        self.count += count
        self.total += a * total + b * count
        self.square += a * a * square + 2 * a * b * total + b * b * count

    @property
    def mean(self) -> NDArray[np.float64]:
        """(bands,) mean."""
        return self.total / max(self.count, 1)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """(bands,) standard deviation; 1 for a band that is constant."""
        variance = self.square / max(self.count, 1) - self.mean**2
        constant = variance <= 1e-12 * np.maximum(self.mean**2, 1e-300)
        return np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))


def standardise(moments: Moments) -> Normalisation:
    """Zero mean and unit standard deviation over the training patches (RECAL, eq. 4)."""
    if not np.all(np.isfinite(moments.square)):
        raise TrainingError("the scene's values are not finite; mark NaN and infinities as nodata first")
    mean, deviation = moments.mean, moments.deviation
    return Normalisation(kind="standardise", centre=tuple(mean), spread=tuple(deviation), mean=tuple(mean))


def robust_range(moments: Moments, sample: NDArray) -> Normalisation:
    """The 2nd to 98th percentile of ``sample`` (n, bands), physical, becomes 0 to 1."""
    low, high = np.percentile(np.asarray(sample, np.float64), [2, 98], axis=0)
    spread = np.where(high > low, high - low, 1.0)
    return Normalisation(kind="range", centre=tuple(low), spread=tuple(spread), mean=tuple(moments.mean))


def robust(moments: Moments, sample: NDArray) -> Normalisation:
    """The median of ``sample`` (n, bands), physical, becomes 0 and its quartile range 1.349; the median is the fill."""
    low, middle, high = np.percentile(np.asarray(sample, np.float64), [25, 50, 75], axis=0)
    spread = np.where(high > low, (high - low) / QUARTILE_RANGE, 1.0)
    return Normalisation(kind="robust", centre=tuple(middle), spread=tuple(spread), mean=tuple(middle))


OF_SAMPLE: dict[Kind, Callable[[Moments, NDArray], Normalisation]] = {"range": robust_range, "robust": robust}
"""The kinds that are fitted on a sample of pixels, beside the moments of all."""


def folded(
    normalisation: Normalisation, scale: Sequence[float], offset: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain and bias (bands,) that take stored values straight to normalised ones."""
    centre, spread = np.array(normalisation.centre), np.array(normalisation.spread)
    return np.array(scale) / spread, (np.array(offset) - centre) / spread
