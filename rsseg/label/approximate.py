"""Fewer patches at some cost: every second patch first, the others only where those around them disagree.

Overlapping patches cannot share work within the network: zeros around each patch make its borders differ from the same
pixels inside another patch, so only whole patches can be left out. Where the coarse patches around a patch have one
winner, that patch is taken to agree and votes with their mean. (Left without a vote, it would leave its pixels to the
patches nearby that are computed because they are in doubt.) Which patches these are follows from the scene alone, so
that the map depends neither on the rows read at a time nor on the window.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rsseg.errors import UsageError
from rsseg.label.layout import Layout
from rsseg.label.reading import Block
from rsseg.label.stitch import decided
from rsseg.scene.grid import Axis, PatchGrid, Window

STEP = 2
"""The coarse lattice takes every second patch along each axis, and the last."""

Rows = Iterator[tuple[int, NDArray[np.int64]]]
"""Rows of patches from top to bottom, each by its number with its votes (classes + 1, patches across)."""


def check_stride(grid: PatchGrid) -> None:
    """Raise UsageError where the coarse patches alone would leave pixels without a vote."""
    if STEP * grid.stride > grid.patch:
        raise UsageError(
            f"--approximate leaves out patches that overlap: it needs a stride of at most {grid.patch // STEP} "
            f"for patches of {grid.patch} pixels, not {grid.stride}"
        )


def coarse_layout(fine: Layout, batch: int) -> Layout:
    """Every second patch in rows and columns, and the last: those that the patches of ``fine`` lie between."""
    rows = Axis(fine.grid.rows.size, fine.grid.patch, STEP * fine.grid.stride)
    cols = Axis(fine.grid.cols.size, fine.grid.patch, STEP * fine.grid.stride)
    around = _neighbours(np.array([fine.read[0], fine.read[1] - 1]), fine.grid.rows.count)
    top, bottom = rows.start(int(around.min())), rows.start(int(around.max())) + 1
    window = Window(top, 0, bottom - top, cols.size)
    return replace(fine, grid=PatchGrid(rows, cols), window=window, batch=batch)


def _neighbours(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The coarse patches (2, n) before and after patches of an axis of ``count``; equal for those that are coarse."""
    around = np.stack([indices // STEP, -(-indices // STEP)])
    around[:, indices == count - 1] = -(-(count - 1) // STEP)
    return around


class CoarseVotes:
    """The votes of coarse patches, as far down as they are needed, and which other patches they leave to compute."""

    def __init__(self, layout: Layout, coarse: Layout, rows: Rows) -> None:
        """``rows``: the rows of ``coarse``, computed when they are asked for."""
        self.layout, self.coarse, self.rows = layout, coarse, rows
        self.votes: dict[int, NDArray[np.int64]] = {}
        self.winners: dict[int, NDArray[np.uint8]] = {}
        self.columns = _neighbours(np.arange(layout.grid.cols.count), layout.grid.cols.count)
        self.own_columns = self.columns[0] == self.columns[1]
        self.taken: dict[int, NDArray[np.bool_]] = {}

    def thinned(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks, each with the patches only that are no coarse ones and lie between others that disagree."""
        count = self.layout.grid.cols.count
        for block in blocks:
            keep = self._disputed(np.arange(block.first_row, block.last_row)).reshape(-1)
            yield replace(block, numbers=block.numbers[keep[block.numbers - block.first_row * count]])

    def _disputed(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which patches (rows, patches across) are to be computed."""
        around = _neighbours(rows, self.layout.grid.rows.count)
        self._compute(int(around.max()))
        above, below = (np.stack([self.winners[int(row)] for row in side]) for side in around)
        first = above[:, self.columns[0]]
        others = [above[:, self.columns[1]], below[:, self.columns[0]], below[:, self.columns[1]]]
        agree = (first > 0) & np.logical_and.reduce([other == first for other in others])
        for row in [row for row in self.winners if row < around.min()]:
            del self.winners[row]
        taken: NDArray[np.bool_] = agree | ((around[0] == around[1])[:, None] & self.own_columns)
        self.taken |= dict(zip(rows.tolist(), taken, strict=True))
        return ~taken

    def _compute(self, last: int) -> None:
        while last not in self.winners:
            row, votes = next(self.rows)
            self.votes[row], self.winners[row] = votes, decided(votes.T)[0]

    def joined(self, rows: Rows) -> Rows:
        """Rows of all patches: the coarse ones have their votes, those that were left out the mean of those around."""
        (left, right), count = self.layout.across, self.layout.grid.rows.count
        before, after = self.columns[:, left:right]
        for row, votes in rows:
            above, below = _neighbours(np.array([row]), count)[:, 0].tolist()
            places = np.flatnonzero(self.taken.pop(row)[left:right])
            total = self.votes[above] if above == below else self.votes[above] + self.votes[below]
            mean = total[:, before[places]] + total[:, after[places]]
            votes[:, places] = mean >> (1 if above == below else 2)
            for done in [other for other in self.votes if other < above]:
                del self.votes[done]
            yield row, votes
