"""Batches cut by patch number: each patch is computed at the same place of the same batch, whatever was read."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.layout import Layout, starts
from rsseg.label.reading import Block


class BatchRunner:
    """Fills batches by patch number and keeps the votes of each row of patches until the row is complete."""

    def __init__(self, layout: Layout, classes: int, vote: Callable[[Tensor], NDArray[np.int64]]) -> None:
        """``vote``: patches (batch, bands, size, size) to their votes (batch, classes)."""
        self.layout, self.grid, self.classes, self.vote = layout, layout.grid, classes, vote
        self.current: int | None = None
        self.inputs = torch.empty(0)
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
        patches = self._gather(numbers, block)
        if len(numbers) == self.layout.batch:
            self.inputs = patches
            return
        if len(self.filled) == 1:
            empty = torch.zeros(self.layout.batch, *patches.shape[1:], device=patches.device)
            self.inputs = empty.contiguous(memory_format=torch.channels_last)
        self.inputs[torch.from_numpy(numbers - batch * self.layout.batch).to(patches.device)] = patches

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
        votes = self.vote(self.inputs)[numbers - self.current * self.layout.batch]
        rows, cols = np.divmod(numbers, self.grid.cols.count)
        first, last = self.layout.across
        cuts = [0, *(np.flatnonzero(np.diff(rows)) + 1), len(rows)]
        for start, end in pairwise(cuts):
            row, columns = int(rows[start]), cols[start:end] - first
            if row not in self.votes:
                self.votes[row] = np.zeros((last - first, votes.shape[1] + 1), np.int64)
            self.votes[row][columns, :-1] = votes[start:end]
            self.votes[row][columns, -1] = 1
        self.current, self.filled = None, []

    def complete(self, last_row: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The rows of patches below ``last_row`` of which no patch is still waiting, in order, each once."""
        if self.current is not None:
            last_row = min(last_row, self.current * self.layout.batch // self.grid.cols.count)
        first, last = self.layout.across
        empty = np.zeros((last - first, self.classes + 1), np.int64)
        while self.next_row < last_row:
            yield self.next_row, self.votes.pop(self.next_row, empty)
            self.next_row += 1
