"""Batches cut by patch number: each patch is computed at the same place of the same batch, whatever was read.

Patches without a valid pixel are left out of their batch, which is then padded to one of a few sizes: a fifth of
a LISS-IV raster is fill, and shapes stay few. Since a batch is always computed whole, its make-up follows from the
scene alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.layout import Layout, starts
from rsseg.label.reading import Block

PADDING, PART = 64, 8
"""A batch is padded to a multiple of 64 patches, or of its eighth part: what is padded is computed in vain."""


@dataclass(frozen=True)
class Batch:
    """A batch by its number, and its patches, each part with the block that holds its pixels; none marks its place."""

    number: int
    parts: tuple[tuple[Block, NDArray[np.int64]], ...]

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """The patches' numbers in the scene, rising."""
        return np.concatenate([numbers for _, numbers in self.parts]) if self.parts else np.empty(0, np.int64)


def cut(blocks: Iterable[Block], layout: Layout) -> Iterator[Batch]:
    """The batches of consecutive blocks in order; a batch that is not complete waits for the next block."""
    size, waiting = layout.batch, Batch(-1, ())
    for block in blocks:
        borders = np.flatnonzero(np.diff(block.numbers // size)) + 1
        for numbers in np.split(block.numbers, borders):
            number = int(numbers[0]) // size if len(numbers) else waiting.number
            if number != waiting.number and waiting.parts:
                yield waiting
                waiting = Batch(-1, ())
            if len(numbers):
                waiting = Batch(number, (*waiting.parts, (block, numbers)))
        end = block.last_row * layout.grid.cols.count
        if not waiting.parts:
            yield Batch(end // size, ())
        elif (waiting.number + 1) * size <= end:
            yield waiting
            waiting = Batch(-1, ())
    if waiting.parts:
        yield waiting


def gathered(batch: Batch, device: torch.device, layout: Layout) -> Tensor | None:
    """The patches (n, bands, size, size) of a batch, channels last, with zeros up to a size that is one of few.

    Always a new tensor: layouts that are equal but for their strides would let convolutions choose another way.
    """
    if not batch.parts:
        return None
    patch, bands = layout.grid.patch, batch.parts[0][0].bands
    step = max(1, min(PADDING, layout.batch // PART))
    shape = (-(-len(batch.numbers) // step) * step, bands, patch, patch)
    inputs = torch.zeros(shape, device=device).contiguous(memory_format=torch.channels_last)
    lines, first = inputs.permute(0, 2, 3, 1).view(-1, patch * bands), 0
    for block, numbers in batch.parts:
        found = _lines(block, numbers, layout)
        block.lines(patch, device, found, lines[first : first + len(found)])
        first += len(found)
    return inputs


def _lines(block: Block, numbers: NDArray[np.int64], layout: Layout) -> NDArray[np.int64]:
    """Where each line of pixels of patches begins in their block: (n size,)."""
    rows, cols = np.divmod(numbers, layout.grid.cols.count)
    top = starts(layout.grid.rows, rows) - block.pixels.row
    left = starts(layout.grid.cols, cols) - block.pixels.col
    width = block.pixels.width
    lines: NDArray[np.int64] = (top * width + left)[:, None] + np.arange(layout.grid.patch) * width
    return lines.reshape(-1)


class VoteRows:
    """Keeps the votes of each row of patches until no patch of it is still waiting."""

    def __init__(self, layout: Layout, classes: int) -> None:
        self.layout, self.classes = layout, classes
        self.votes: dict[int, NDArray[np.int64]] = {}
        self.next_row = layout.down[0]

    def file(self, batch: Batch, votes: NDArray[np.int64] | None) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Take the votes (classes, n) of the next batch; yield the rows of patches above it, in order, each once."""
        count, (left, right) = self.layout.grid.cols.count, self.layout.across
        rows, cols = np.divmod(batch.numbers, count)
        inside = (rows >= self.layout.down[0]) & (rows < self.layout.down[1]) & (cols >= left) & (cols < right)
        if votes is not None and inside.any():
            taken = slice(None, len(rows)) if inside.all() else np.flatnonzero(inside)
            self._file(votes[:, taken], rows[inside], cols[inside] - left)
        # what follows has higher numbers: the batch's own end, or for a mark its place
        end = (batch.number + bool(batch.parts)) * self.layout.batch
        yield from self.complete(end // count)

    def _file(self, votes: NDArray[np.int64], rows: NDArray[np.int64], cols: NDArray[np.int64]) -> None:
        """Keep votes by their row; the last entry counts the patches that voted."""
        for start, end in pairwise([0, *(np.flatnonzero(np.diff(rows)) + 1), len(rows)]):
            row, columns = int(rows[start]), cols[start:end]
            if row not in self.votes:
                self.votes[row] = self._empty()
            # a run of neighbours, as nearly always, is copied without an index
            neighbours = columns[-1] - columns[0] + 1 == len(columns)
            place = slice(columns[0], columns[-1] + 1) if neighbours else columns
            self.votes[row][:-1, place] = votes[:, start:end]
            self.votes[row][-1, place] = 1

    def _empty(self) -> NDArray[np.int64]:
        left, right = self.layout.across
        return np.zeros((self.classes + 1, right - left), np.int64)

    def complete(self, last_row: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The rows of patches below ``last_row`` that were not given yet: (classes + 1, patches across)."""
        while self.next_row < min(last_row, self.layout.down[1]):
            votes = self.votes.pop(self.next_row, None)
            yield self.next_row, self._empty() if votes is None else votes
            self.next_row += 1
