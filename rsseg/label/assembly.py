"""From rows of cells to strips of the label map."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.label.layout import Layout
from rsseg.label.reading import Block
from rsseg.label.shares import NO_SHARE
from rsseg.label.stitch import CellRow, Cells, Stitcher
from rsseg.scene.grid import Window

STRIP_PIXELS = 1 << 20
"""Pixels of a strip, about: enough that what a strip costs beside its pixels does not count."""


@dataclass(frozen=True)
class LabelBlock:
    """Labels (0 = no data) and confidence (255 = no data), both (h, w) uint8, of a window of the label map."""

    window: Window
    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


class Assembler:
    """Spreads rows of cells over pixels (or keeps them as cells) and sets invalid places to no data."""

    def __init__(self, layout: Layout) -> None:
        self.resolution, self.window = layout.resolution, layout.window
        self.rows = Cells.of(layout.grid.rows, self.window.row, self.window.end[0], self.resolution)
        self.cols = Cells.of(layout.grid.cols, self.window.col, self.window.end[1], self.resolution)
        self.stitcher = Stitcher(self.rows, self.cols, layout.across[0])
        self.masks: deque[NDArray[np.bool_]] = deque()
        self.seen_row = self.window.row
        self.waiting: list[CellRow] = []

    def see(self, block: Block) -> None:
        """Keep the mask of the rows of the window that are new in the block."""
        first = self.seen_row - block.pixels.row
        last = min(block.pixels.end[0], self.window.end[0]) - block.pixels.row
        left = self.window.col - block.pixels.col
        if last > first:
            self.masks.append(block.valid[first:last, left : left + self.window.width])
            self.seen_row += last - first

    def add(self, rows: Iterable[tuple[int, NDArray[np.int64]]]) -> Iterator[LabelBlock]:
        """Take rows of patches with their votes (classes + 1, patches across), in order; yield strips of some height.

        What is left at the end comes from ``rest``.
        """
        for row, votes in rows:
            for cells in self.stitcher.add(row, votes.T):
                self.waiting.append(cells)
                if self._pixels() >= STRIP_PIXELS:
                    yield from self.rest()

    def rest(self) -> Iterator[LabelBlock]:
        """The strip of all rows that are waiting, if there are any."""
        if self.waiting:
            rows, self.waiting = self.waiting, []
            yield self.assemble(rows)

    def _pixels(self) -> int:
        first, last = self.waiting[0].index, self.waiting[-1].index + 1
        return (self.rows.edges[last] - self.rows.edges[first]) * self.window.width

    def assemble(self, rows: list[CellRow]) -> LabelBlock:
        """A strip of the label map from consecutive rows of cells."""
        labels, confidence = np.stack([r.labels for r in rows]), np.stack([r.confidence for r in rows])
        first, last = rows[0].index, rows[-1].index + 1
        heights = self.rows.sizes[first:last]
        valid = self._taken(int(heights.sum()))
        if self.resolution == "pixel":
            labels, confidence = (_spread(cells, heights, self.cols.sizes) for cells in (labels, confidence))
            top, height = self.rows.edges[first] - self.window.row, len(labels)
        else:
            starts = np.cumsum(heights) - heights
            columns = np.array(self.cols.edges[:-1]) - self.window.col
            valid = np.logical_or.reduceat(np.logical_or.reduceat(valid, starts, axis=0), columns, axis=1)
            top, height = first, len(rows)
        labels *= valid
        confidence = np.maximum(confidence, np.uint8(NO_SHARE) * (labels == 0))
        return LabelBlock(Window(top, 0, height, labels.shape[1]), labels, confidence)

    def _taken(self, height: int) -> NDArray[np.bool_]:
        """The next ``height`` rows of the mask."""
        parts: list[NDArray[np.bool_]] = []
        while height:
            mask = self.masks.popleft()
            parts.append(mask[:height])
            height -= len(parts[-1])
            if len(parts[-1]) < len(mask):
                self.masks.appendleft(mask[len(parts[-1]) :])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _spread(cells: NDArray[np.uint8], heights: NDArray, widths: NDArray) -> NDArray[np.uint8]:
    for counts, axis in ((widths, 1), (heights, 0)):
        if np.any(counts != 1):
            cells = np.repeat(cells, counts, axis=axis)
    return cells
