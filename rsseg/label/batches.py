"""Batches cut by patch number: each patch is computed at the same place of the same batch, whatever was read.

Patches without a valid pixel are left out of their batch, which is then padded to a multiple of ``PADDING``: a fifth of
a LISS-IV raster is fill, and shapes stay few. Since a batch is always computed whole, its make-up follows from the
scene alone.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.layout import Layout, starts
from rsseg.label.reading import Block

PADDING = 64


def padded(parts: Sequence[Tensor]) -> Tensor:
    """The patches of a batch in one tensor, channels last, with zeros up to a multiple of ``PADDING``.

    Always a new tensor: layouts that are equal but for their strides would let convolutions choose another way.
    """
    count = sum(len(part) for part in parts)
    shape = (-(-count // PADDING) * PADDING, *parts[0].shape[1:])
    batch = torch.zeros(shape, device=parts[0].device).contiguous(memory_format=torch.channels_last)
    first = 0
    for part in parts:
        batch[first : first + len(part)] = part
        first += len(part)
    return batch


class BatchRunner:
    """Fills batches by patch number and keeps the votes of each row of patches until the row is complete."""

    def __init__(self, layout: Layout, classes: int, vote: Callable[[Tensor], NDArray[np.int64]]) -> None:
        """``vote``: patches (batch, bands, size, size) to their votes (batch, classes)."""
        self.layout, self.grid, self.classes, self.vote = layout, layout.grid, classes, vote
        self.current: int | None = None
        self.inputs: list[Tensor] = []
        self.filled: list[NDArray[np.int64]] = []
        self.votes: dict[int, NDArray[np.int64]] = {}
        self.next_row = layout.down[0]

    def feed(self, block: Block) -> None:
        """Compute all batches that the block completes; the last one may wait for the next block."""
        size = self.layout.batch
        cuts = np.flatnonzero(np.diff(block.numbers // size)) + 1
        for numbers in np.split(block.numbers, cuts):
            if len(numbers):
                self._fill(int(numbers[0]) // size, numbers, block)
        end = block.last_row * self.grid.cols.count
        if self.current is not None and (self.current + 1) * size <= end:
            self.flush()

    def _fill(self, batch: int, numbers: NDArray[np.int64], block: Block) -> None:
        if batch != self.current:
            self.flush()
            self.current = batch
        self.filled.append(numbers)
        self.inputs.append(self._gather(numbers, block))

    def _gather(self, numbers: NDArray[np.int64], block: Block) -> Tensor:
        rows, cols = np.divmod(numbers, self.grid.cols.count)
        top = torch.from_numpy(starts(self.grid.rows, rows) - block.pixels.row).to(block.arena.flat.device)
        left = torch.from_numpy(starts(self.grid.cols, cols) - block.pixels.col).to(block.arena.flat.device)
        return block.arena.gather(torch.zeros_like(top), top, left, self.grid.patch)

    def flush(self) -> None:
        """Run the network on the batch in hand and file its votes by row."""
        if self.current is None:
            return
        numbers = np.concatenate(self.filled)
        votes = self.vote(padded(self.inputs))[: len(numbers)]
        rows, cols = np.divmod(numbers, self.grid.cols.count)
        first, last = self.layout.across
        inside = (rows >= self.layout.down[0]) & (rows < self.layout.down[1]) & (cols >= first) & (cols < last)
        self._file(votes[inside], rows[inside], cols[inside] - first, last - first)
        self.current, self.filled, self.inputs = None, [], []

    def _file(self, votes: NDArray[np.int64], rows: NDArray, cols: NDArray, width: int) -> None:
        """Keep votes by their row; the last column counts the patches that voted."""
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(rows)) + 1), len(rows)]) if len(rows) else ():
            row, columns = int(rows[start]), cols[start:end]
            if row not in self.votes:
                self.votes[row] = np.zeros((width, self.classes + 1), np.int64)
            self.votes[row][columns, :-1] = votes[start:end]
            self.votes[row][columns, -1] = 1

    def complete(self, last_row: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The rows of patches below ``last_row`` of which no patch is still waiting, in order, each once."""
        last_row = min(last_row, self.layout.down[1])
        if self.current is not None:
            last_row = min(last_row, self.current * self.layout.batch // self.grid.cols.count)
        first, last = self.layout.across
        empty = np.zeros((last - first, self.classes + 1), np.int64)
        while self.next_row < last_row:
            yield self.next_row, self.votes.pop(self.next_row, empty)
            self.next_row += 1
