"""Accuracy and area from a stratified random sample of a map's pixels.

Olofsson et al. (2014), "Good practices for estimating area and assessing accuracy of land change", Remote Sensing of
Environment 148, equations 1 to 11. They are written here for any strata (Stehman 2014, International Journal of Remote
Sensing 35), so that several strata may have one class, as clusters do; where each class is one stratum both agree.
"""

from dataclasses import dataclass
from math import nan, sqrt
from typing import Any

import numpy as np

from rsseg.errors import InputError

Z = 1.96
"""Standard errors in half a 95 % confidence interval."""


@dataclass(frozen=True)
class Estimate:
    """A share from 0 to 1 with its standard error; None where the sample says nothing of it."""

    value: float | None
    error: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval, within 0 to 1."""
        if self.value is None or self.error is None:
            return None
        return max(0.0, self.value - self.margin), min(1.0, self.value + self.margin)

    @property
    def margin(self) -> float:
        """Half a 95 % confidence interval, as if shares had no ends; NaN where nothing is known."""
        return nan if self.error is None else Z * self.error

    def record(self, name: str, scale: float = 1.0) -> dict[str, float | None]:
        """The columns ``name``, ``name_se``, ``name_low`` and ``name_high`` (95 %), times ``scale``."""
        low, high = self.interval or (None, None)
        columns = {name: self.value, f"{name}_se": self.error, f"{name}_low": low, f"{name}_high": high}
        return {key: None if value is None else value * scale for key, value in columns.items()}


@dataclass(frozen=True)
class ClassEstimate:
    """What the sample says of one class: its share of the map's area, and the map's accuracy.

    ``mapped`` is the share that the map gives it; None for a class that no stratum has.
    """

    name: str
    points: int
    mapped: float | None
    area: Estimate
    users_accuracy: Estimate
    producers_accuracy: Estimate


@dataclass(frozen=True)
class SampleEstimates:
    """Estimates for the whole map, from ``counts`` (strata, classes) of answered points."""

    counts: np.ndarray
    shares: np.ndarray
    overall_accuracy: Estimate
    classes: tuple[ClassEstimate, ...]

    def records(self, total_m2: float | None) -> list[dict[str, Any]]:
        """One line a class; areas in hectares where the map's area in square metres is known."""
        lines = []
        for found in self.classes:
            line: dict[str, Any] = {"class": found.name, "points": found.points, "mapped_share": found.mapped}
            line |= found.area.record("share")
            if total_m2 is not None:
                hectares = total_m2 / 1e4
                line["mapped_ha"] = None if found.mapped is None else found.mapped * hectares
                line |= found.area.record("area_ha", hectares)
            line |= found.users_accuracy.record("users_accuracy")
            line |= found.producers_accuracy.record("producers_accuracy")
            lines.append(line)
        return lines


def estimate(
    counts: np.ndarray, shares: np.ndarray, assigned: np.ndarray, classes: tuple[str, ...], strata: tuple[str, ...]
) -> SampleEstimates:
    """Estimate accuracy and area.

    Args:
        counts: (strata, classes) points by the stratum they were drawn in and the class seen there.
        shares: (strata,) each stratum's share of the map's area, summing to 1.
        assigned: (strata,) the class index that the map gives each stratum, -1 for none.
        classes: the classes seen.
        strata: names for messages.

    Standard errors leave out the finite population correction, as the paper does; of a stratum with a single point
    nothing is known.

    Raises: InputError if a stratum has fewer than two points.
    """
    few = np.flatnonzero(counts.sum(axis=1) < 2)
    if few.size:
        named = ", ".join(f"{strata[i]} ({counts[i].sum()})" for i in few)
        raise InputError(f"every stratum needs two points with a class, but too few have one: {named}")
    survey = _Survey(counts, shares)
    seen = np.eye(len(classes), dtype=bool)[None].repeat(len(shares), axis=0)  # [stratum, seen class, class]
    mapped = (assigned[:, None] == np.arange(len(classes)))[:, None, :] & np.ones_like(seen)
    found = tuple(
        ClassEstimate(
            name,
            int(counts[:, i].sum()),
            float(shares[assigned == i].sum()) if (assigned == i).any() else None,
            survey.mean(seen[..., i]),
            survey.ratio(seen[..., i] & mapped[..., i], mapped[..., i]),
            survey.ratio(seen[..., i] & mapped[..., i], seen[..., i]),
        )
        for i, name in enumerate(classes)
    )
    return SampleEstimates(counts, shares, survey.mean((seen & mapped).any(axis=2)), found)


class _Survey:
    """Stratified means and ratios of indicators (strata, classes) of points."""

    def __init__(self, counts: np.ndarray, shares: np.ndarray) -> None:
        self._sizes = counts.sum(axis=1).astype(float)
        self._weights = counts / self._sizes[:, None]
        self._shares = shares

    def mean(self, of: np.ndarray) -> Estimate:
        """Equations 1, 5, 9 and 10: the share of the area that has a property."""
        return self.ratio(of, np.ones_like(of))

    def ratio(self, of: np.ndarray, among: np.ndarray) -> Estimate:
        """Equations 2, 3, 6 and 7: the share that has ``of`` of the area that has ``among``."""
        means = [(self._weights * part).sum(axis=1) for part in (of, among)]
        above, below = (float((self._shares * mean).sum()) for mean in means)
        if below == 0:
            return Estimate(None, None)
        share = above / below
        residual = of - share * among.astype(float)
        mean = (self._weights * residual).sum(axis=1)
        spread = (self._weights * residual**2).sum(axis=1) - mean**2
        variance = (self._shares**2 * np.maximum(spread, 0) / (self._sizes - 1)).sum() / below**2
        return Estimate(share, sqrt(float(variance)))
