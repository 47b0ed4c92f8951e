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
    # powers of two: the products are exact in float32
    high = (probabilities * STEPS).round_().to(torch.int64)
    return high.bitwise_left_shift_(SHIFT).add_((ties * TIE_STEPS).round_().to(torch.int64))


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
        self.same = self.single and bool(np.all(np.diff(self.left) == 1))
        self.kept: dict[int, NDArray[np.int64]] = {}
        self.next_cell = 0
        self.first, self.last = rows.cover[0][0], rows.cover[0][0]
        self.sum: NDArray[np.int64] | None = None

    def add(self, row: int, votes: NDArray[np.int64]) -> Iterator[CellRow]:
        """Take the votes (patches across, classes + 1) of one row of patches; yield the rows of cells it completes.

        The last column counts the patches that voted (1, or 0 for a patch without a valid pixel). The fastest are
        votes whose classes lie in memory one after another, each with all its patches.
        """
        self.kept[row] = votes.T
        while self.next_cell < len(self.rows.cover) and self.rows.cover[self.next_cell][1] <= row + 1:
            yield self._cell_row(*self.rows.cover[self.next_cell])
            self.next_cell += 1

    def _cell_row(self, first: int, last: int) -> CellRow:
        total = self._moved_to(first, last)
        if self.same:
            cells = total[:, self.left[0] : self.right[-1]]
        elif self.single:
            cells = total.take(self.left, axis=1)
        else:
            running = np.zeros((len(total), total.shape[1] + 1), np.int64)
            np.cumsum(total, axis=1, out=running[:, 1:])
            cells = running.take(self.right, axis=1)
            cells -= running.take(self.left, axis=1)
        return CellRow(self.next_cell, *decided(cells.T))

    def _moved_to(self, first: int, last: int) -> NDArray[np.int64]:
        """The sum of the vote rows [first, last), from the previous one by what entered and what left."""
        if last - first < 2:
            self.sum = None
        elif self.sum is None:
            self.sum = np.sum([self.kept[row] for row in range(first, last)], axis=0)
        else:
            for row in range(max(self.last, first), last):
                self.sum += self.kept[row]
            for row in range(self.first, min(first, self.last)):
                self.sum -= self.kept[row]
        unseen = np.zeros_like(next(iter(self.kept.values()))) if first == last else None
        for row in [row for row in self.kept if row < first]:
            del self.kept[row]
        self.first, self.last = first, last
        if unseen is not None:
            return unseen
        return self.kept[first] if self.sum is None else self.sum


def decided(cells: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels 1..K and the winner's mean vote in 1/254 of summed votes (cells, classes + 1)."""
    votes, count = cells[:, :-1].T, cells[:, -1]
    best, winner = votes[0].copy(), np.ones(votes.shape[1], np.uint8)
    for number, other in enumerate(votes[1:], 2):
        better = other > best
        np.maximum(best, other, out=best)
        np.maximum(winner, better * np.uint8(number), out=winner)  # a later class has a higher number
    share = (best >> SHIFT) / (np.maximum(count, 1) * STEPS)
    confidence = np.rint(np.minimum(share, 1.0) * SHARE_STEPS).astype(np.uint8)
    unseen = count == 0
    winner[unseen], confidence[unseen] = 0, NO_SHARE
    return winner, confidence
