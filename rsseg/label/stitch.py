"""From the votes of overlapping patches to one label a cell, as a stream of rows.

A patch's vote is an integer: its probability in 2^-16 steps in the high bits, and below them what decides between
equal probabilities. Integer sums do not depend on their order, so the result does not depend on how a scene was cut.
No array of the scene's pixels times the classes ever exists: votes are summed as ranges of patches, at the
resolution of the cells between patch borders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.scene.grid import Axis

Resolution = Literal["pixel", "patch"]

STEPS = 1 << 16
"""Steps of a vote between 0 and 1."""

TIE_STEPS = 1 << 14
SHIFT = 28
"""Room for the tie part of 2^14 patches over one cell; the high part then needs 30 bits, 58 in all."""


def quantised(probabilities: Tensor, ties: Tensor) -> Tensor:
    """Votes (n, classes) int64 of probabilities and tie values, both (n, classes) in [0, 1]."""
    high = (probabilities.double() * STEPS).round().to(torch.int64)
    low = (ties.double() * TIE_STEPS).round().to(torch.int64)
    return (high << SHIFT) + low


@dataclass(frozen=True)
class Cells:
    """Cells along one axis: their borders in pixels, and the half-open range of patches that vote on each."""

    edges: tuple[int, ...]
    cover: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, axis: Axis, first: int, last: int, resolution: Resolution) -> "Cells":
        """The cells of pixels [first, last).

        ``pixel``: the pieces between patch borders. ``patch``: steps of the stride, each by every patch over it.
        """
        if resolution == "pixel":
            inner = [edge for edge in axis.breaks if first < edge < last]
        else:
            inner = list(range(-(-(first + 1) // axis.stride) * axis.stride, last, axis.stride))
        edges = (first, *inner, last)
        return cls(edges, tuple(axis.touching(a, b) for a, b in pairwise(edges)))

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The cells' lengths in pixels."""
        return np.diff(np.array(self.edges))


@dataclass(frozen=True)
class CellRow:
    """Labels (cells,) uint8, 0 where no patch voted, and confidence (cells,) uint8 of one row of cells."""

    index: int
    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


class Stitcher:
    """Sums rows of patch votes to rows of cells, in order, keeping only the rows that later cells need."""

    def __init__(self, rows: Cells, cols: Cells, first_col: int) -> None:
        """``first_col``: the patch column that the first entry of each vote row belongs to."""
        self.rows, self.cols = rows, cols
        ranges = np.array(cols.cover) - first_col
        self.left, self.right = ranges[:, 0], ranges[:, 1]
        self.single = bool(np.all(self.right - self.left == 1))
        self.kept: dict[int, NDArray[np.int64]] = {}
        self.next_cell = 0
        self.first, self.last = rows.cover[0][0], rows.cover[0][0]
        self.sum: NDArray[np.int64] | None = None

    def add(self, row: int, votes: NDArray[np.int64]) -> Iterator[CellRow]:
        """Take the votes (patches across, classes + 1) of one row of patches; yield the rows of cells it completes.

        The last column counts the patches that voted (1, or 0 for a patch without a valid pixel).
        """
        self.kept[row] = votes
        while self.next_cell < len(self.rows.cover) and self.rows.cover[self.next_cell][1] <= row + 1:
            yield self._cell_row(*self.rows.cover[self.next_cell])
            self.next_cell += 1

    def _cell_row(self, first: int, last: int) -> CellRow:
        total = self._moved_to(first, last)
        if self.single:
            cells = total[self.left]
        else:
            running = np.concatenate([np.zeros_like(total[:1]), np.cumsum(total, axis=0)])
            cells = running[self.right] - running[self.left]
        return CellRow(self.next_cell, *decided(cells))

    def _moved_to(self, first: int, last: int) -> NDArray[np.int64]:
        """The sum of the vote rows [first, last), from the previous one by what entered and what left."""
        if self.sum is None:
            self.sum = np.zeros_like(next(iter(self.kept.values())))
        for row in range(max(self.last, first), last):
            self.sum = self.sum + self.kept[row]
        for row in range(self.first, min(first, self.last)):
            self.sum = self.sum - self.kept.pop(row)
        for row in [row for row in self.kept if row < first]:
            del self.kept[row]
        self.first, self.last = first, max(last, first)
        return self.sum


def decided(cells: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels 1..K and the winner's mean vote in 1/254 of summed votes (cells, classes + 1)."""
    votes, count = cells[:, :-1], cells[:, -1]
    winner = votes.argmax(axis=1)
    voted = count > 0
    share = (votes[np.arange(len(votes)), winner] >> SHIFT) / (np.maximum(count, 1) * STEPS)
    confidence = np.rint(np.minimum(share, 1.0) * SHARE_STEPS).astype(np.uint8)
    labels = np.where(voted, winner + 1, 0).astype(np.uint8)
    return labels, np.where(voted, confidence, NO_SHARE).astype(np.uint8)
