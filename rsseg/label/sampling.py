"""A stratified random sample of a map's pixels: how many points, in which stratum, and which pixels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from rsseg.errors import InputError, UsageError
from rsseg.label.maps import strips
from rsseg.label.numbered import NumberedMap
from rsseg.progress import SILENT, Reporter
from rsseg.scene.area import pixel_areas

Allocation = Literal["proportional", "equal", "neyman"]
"""Points by the strata's areas, as many in each, or by area times the expected standard deviation of being right."""

LARGEST_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Census:
    """What one pass over a map counts.

    ``values``, ``titles``, ``pixels`` and ``areas`` (square metres, None without CRS) are of the values that occur.
    ``sha256`` is of the values row by row as two bytes each, so that the same map in another file is the same.
    """

    values: tuple[int, ...]
    titles: tuple[str, ...]
    pixels: np.ndarray
    areas: np.ndarray | None
    sha256: str

    @property
    def shares(self) -> np.ndarray:
        """Each value's share of the labelled area; of the pixels without CRS: (values,)."""
        sizes = self.pixels if self.areas is None else self.areas
        return np.asarray(sizes / sizes.sum())


def take_census(source: NumberedMap, reporter: Reporter = SILENT) -> Census:
    """Count a map's pixels and area by value, in strips of 512 rows.

    Raises: InputError if the map labels no pixel; GridError as ``pixel_areas``.
    """
    rows = None if source.grid.crs is None else pixel_areas(source.grid)
    pixels = np.zeros(len(source.values), np.int64)
    areas = np.zeros(len(source.values))
    checksum = hashlib.sha256(f"{source.grid.height} x {source.grid.width}".encode())
    with reporter.task("count", source.grid.height) as task:
        for window, (codes,) in strips((source,), source.grid):
            checksum.update(source.values[codes].astype("<u2").tobytes())
            for row, line in enumerate(codes, window.row):
                counts = np.bincount(line, minlength=len(pixels))
                pixels += counts
                areas += counts * (0 if rows is None else rows[row])
            task.advance(window.height)
    found = np.flatnonzero(pixels[1:]) + 1
    if not found.size:
        raise InputError(f"{source.path} labels no pixel: all are no data; there is nothing to sample")
    return Census(
        tuple(int(source.values[code]) for code in found),
        tuple(source.title(int(code)) for code in found),
        pixels[found],
        None if rows is None else areas[found],
        checksum.hexdigest(),
    )


def cochran_size(shares: np.ndarray, accuracies: np.ndarray, error: float) -> int:
    """Points for a standard error of the overall accuracy: (sum of W_h S_h / error)^2.

    Cochran (1977), equation 5.25, as equation 13 of Olofsson et al. (2014): S_h = sqrt(U_h (1 - U_h)).

    Args:
        shares: (strata,) of the area.
        accuracies: (strata,) the user's accuracy expected of each.
        error: the standard error wanted, such as 0.01.
    """
    return ceil(float((shares * _deviations(accuracies)).sum() / error) ** 2 - 1e-9)


def allocate(
    size: int, pixels: np.ndarray, shares: np.ndarray, accuracies: np.ndarray, allocation: Allocation, minimum: int
) -> np.ndarray:
    """Points of each stratum: (strata,) int64, summing to ``size`` unless the map has fewer pixels.

    No stratum has fewer than ``minimum`` points, or than all its pixels; the others share what is left.

    Raises: UsageError if the minima alone are more than ``size``.
    """
    if not 1 <= size <= LARGEST_SAMPLE:
        raise UsageError(f"a sample of {size} points cannot be drawn; choose 1 to {LARGEST_SAMPLE}")
    floors = np.minimum(minimum, pixels)
    if floors.sum() > size:
        raise UsageError(
            f"--size {size} is too few for {len(pixels)} classes with at least {minimum} points each; "
            f"choose --size {floors.sum()} or more, or a smaller --minimum"
        )
    wanted = {"proportional": shares, "equal": np.ones(len(pixels)), "neyman": shares * _deviations(accuracies)}
    weights = wanted[allocation]
    if not weights.any():
        raise UsageError("an expected accuracy of 0 or 1 everywhere leaves nothing to estimate; choose others")
    return _shared(min(size, int(pixels.sum())), weights, floors, pixels)


def _deviations(accuracies: np.ndarray) -> np.ndarray:
    return np.sqrt(accuracies * (1 - accuracies))


def _shared(size: int, weights: np.ndarray, floors: np.ndarray, ceilings: np.ndarray) -> np.ndarray:
    """Whole numbers near ``weights`` times a factor, within floors and ceilings, that sum to ``size``."""
    low, high = 0.0, float(size + ceilings.max()) / weights[weights > 0].min()
    for _ in range(200):  # the factor is found by halving
        middle = (low + high) / 2
        if np.clip(weights * middle, floors, ceilings).sum() < size:
            low = middle
        else:
            high = middle
    exact = np.clip(weights * high, floors, ceilings)
    found = np.floor(exact + 1e-9).astype(np.int64)
    # strata without weight fill up last, and only if all others are full
    order = np.lexsort((np.arange(len(exact)), -np.round(exact - found, 9)))
    while found.sum() < size:
        for stratum in order:
            if found.sum() < size and found[stratum] < ceilings[stratum]:
                found[stratum] += 1
    return found


@dataclass(frozen=True)
class Drawn:
    """Points in the order of their rows and columns, each (n,) int64; ``strata`` are positions in the census."""

    rows: np.ndarray
    cols: np.ndarray
    strata: np.ndarray


def draw(source: NumberedMap, census: Census, sizes: Sequence[int], seed: int, reporter: Reporter = SILENT) -> Drawn:
    """Draw pixels of each stratum at random, each as likely as any other and none twice.

    A pixel is chosen by its number among those of its stratum, counted row by row, so that the sample depends on the
    map and the seed alone. Memory is a strip of 512 rows.
    """
    streams = np.random.SeedSequence(seed).spawn(len(sizes))
    chosen = [
        np.sort(np.random.default_rng(stream).choice(int(pixels), size, replace=False))
        for stream, pixels, size in zip(streams, census.pixels, sizes, strict=True)
    ]
    codes = np.searchsorted(source.values, census.values)
    passed, parts = np.zeros(len(sizes), np.int64), []
    with reporter.task("draw", source.grid.height) as task:
        for window, (labels,) in strips((source,), source.grid):
            counts = np.bincount(labels.ravel(), minlength=len(source.values))[codes]
            for stratum, numbers in enumerate(chosen):
                first, last = np.searchsorted(numbers, (passed[stratum], passed[stratum] + counts[stratum]))
                if last > first:
                    places = np.flatnonzero(labels == codes[stratum])[numbers[first:last] - passed[stratum]]
                    rows, cols = np.divmod(places, window.width)
                    parts.append(np.stack([rows + window.row, cols, np.full(len(rows), stratum)]))
            passed += counts
            task.advance(window.height)
    found = np.concatenate(parts, axis=1)
    return Drawn(*found[:, np.lexsort((found[1], found[0]))])
