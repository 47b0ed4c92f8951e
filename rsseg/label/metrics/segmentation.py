"""How well two segmentations of the same pixels agree, from one table of how their regions overlap.

The metrics of Ferreira et al. ("Ablation Studies for a Novel Unsupervised Approach for Training Convolutional DSSNs on
Remote Sensing", section I-B, equations 9 to 14), with two slips of the print put right: the pairs of equation 11 are
C(n, 2), and equation 14 sums over the regions. Regions are numbered in any way; no metric depends on the numbers.
"""

from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Literal

import numpy as np

from rsseg.errors import InputError

Covered = Literal["map", "reference"]
"""Whose regions a covering sums over: each is compared with its best partner on the other side."""


@dataclass(frozen=True)
class Overlap:
    """The contingency table of two segmentations, kept as its nonzero entries, so that thousands of regions fit.

    ``counts`` (pairs,) int64 are the pixels that region ``rows[k]`` of the map shares with region ``cols[k]`` of the
    reference; rows and columns are positions from 0.
    """

    rows: np.ndarray
    cols: np.ndarray
    counts: np.ndarray

    def __post_init__(self) -> None:
        if not self.counts.size:
            raise InputError("two segmentations without a common pixel cannot be compared")

    @cached_property
    def total(self) -> int:
        """The pixels compared."""
        return int(self.counts.sum())

    @cached_property
    def row_sizes(self) -> np.ndarray:
        """Pixels of each region of the map, int64."""
        return _sums(self.rows, self.counts)

    @cached_property
    def col_sizes(self) -> np.ndarray:
        """Pixels of each region of the reference, int64."""
        return _sums(self.cols, self.counts)

    @property
    def flipped(self) -> "Overlap":
        """The same with map and reference exchanged."""
        return Overlap(self.cols, self.rows, self.counts)


def overlap_of_table(table: np.ndarray) -> Overlap:
    """The overlap behind a contingency table (regions of the map, regions of the reference) of counts."""
    rows, cols = np.nonzero(table)
    return Overlap(rows, cols, table[rows, cols].astype(np.int64))


def overlap_of_labels(labels: np.ndarray, reference: np.ndarray) -> Overlap:
    """The overlap of two label arrays of whole numbers from 0 and of one shape, every pixel counted.

    Memory is about 25 bytes a pixel.
    """
    cols = int(reference.max(initial=0)) + 1
    index = labels.ravel().astype(np.int64) * cols + reference.ravel()
    pairs, counts = np.unique(index, return_counts=True)
    return Overlap(pairs // cols, pairs % cols, counts.astype(np.int64))


def variation_of_information(overlap: Overlap, base: float = 2.0) -> float:
    """What map and reference do not tell of each other, H(map | reference) + H(reference | map) (equation 10).

    The paper does not say the base of its logarithm; 2, for bits, is what the toolbox of Yang and Wright (2007) and
    scikit-image use. 0 for equal partitions, at most log(pixels).

    Args:
        overlap: map against reference.
        base: of the logarithm; ``math.e`` for nats.
    """
    shares = overlap.counts / overlap.total
    surprise = np.log(overlap.counts / overlap.row_sizes[overlap.rows])
    surprise += np.log(overlap.counts / overlap.col_sizes[overlap.cols])
    return abs(float((shares * surprise).sum())) / log(base)


def rand_index(overlap: Overlap) -> float:
    """The share of the C(n, 2) pixel pairs that both put together or both put apart (equation 11), 0 to 1.

    The paper's probabilistic Rand index is its mean over images. A single pixel has no pair and scores 1. The squares
    of 3e9 pixels exceed 64 bits: they are counted in Python's integers.
    """
    pairs = overlap.total * (overlap.total - 1)
    if pairs == 0:
        return 1.0
    # pairs together on one side only; the linear terms of n (n - 1) cancel
    apart = _squares(overlap.row_sizes) + _squares(overlap.col_sizes) - 2 * _squares(overlap.counts)
    return (pairs - apart) / pairs


def global_consistency_error(overlap: Overlap) -> float:
    """How far both are from being refinements of one another (equations 12 and 13), 0 to 1.

    0 if one refines the other everywhere; so also for a map of one region, or of one region a pixel.
    """
    return min(_refinement_error(overlap), _refinement_error(overlap.flipped)) / overlap.total


def segmentation_covering(overlap: Overlap, covered: Covered = "map") -> float:
    """The mean, over pixels, of the best IoU that a region finds on the other side (equation 14), 0 to 1.

    Args:
        overlap: map against reference.
        covered: "map" sums over the map's regions, as the paper writes it; "reference" over the reference's, as the
            Berkeley benchmark does (Arbelaez et al. 2011).
    """
    if covered == "reference":
        overlap = overlap.flipped
    unions = overlap.row_sizes[overlap.rows] + overlap.col_sizes[overlap.cols] - overlap.counts
    best = np.zeros(len(overlap.row_sizes))
    np.maximum.at(best, overlap.rows, overlap.counts / unions)
    return float((overlap.row_sizes * best).sum() / overlap.total)


def _refinement_error(overlap: Overlap) -> float:
    """The sum of equation 12 over the pixels, for the map's regions."""
    sizes = overlap.row_sizes[overlap.rows]
    return float((overlap.counts * ((sizes - overlap.counts) / sizes)).sum())


def _sums(positions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    # bincount with weights would sum in floating point
    sums = np.zeros(int(positions.max()) + 1, np.int64)
    np.add.at(sums, positions, counts)
    return sums


def _squares(counts: np.ndarray) -> int:
    """The exact sum of squares; equal counts are taken together, so that the loop stays short."""
    values, times = np.unique(counts, return_counts=True)
    return sum(many * value * value for value, many in zip(values.tolist(), times.tolist(), strict=True))
