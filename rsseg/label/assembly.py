"""From rows of cells to strips of the label map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.label.layout import Layout
from rsseg.label.reading import Block
from rsseg.label.shares import NO_SHARE
from rsseg.label.stitch import CellRow, Cells, Stitcher
from rsseg.scene.grid import Window


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
        self.masks: list[NDArray[np.bool_]] = []
        self.mask_row = self.window.row

    def see(self, block: Block) -> None:
        """Keep the mask of the rows of the window that are new in the block."""
        held = self.mask_row + sum(len(mask) for mask in self.masks)
        first, last = held - block.pixels.row, min(block.pixels.end[0], self.window.end[0]) - block.pixels.row
        left = self.window.col - block.pixels.col
        if last > first:
            self.masks.append(block.valid[first:last, left : left + self.window.width])

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
        labels[~valid] = 0
        confidence[labels == 0] = NO_SHARE
        return LabelBlock(Window(top, 0, height, labels.shape[1]), labels, confidence)

    def _taken(self, height: int) -> NDArray[np.bool_]:
        """The next ``height`` rows of the mask."""
        mask = np.concatenate(self.masks)
        self.masks = [mask[height:]]
        self.mask_row += height
        return mask[:height]


def _spread(cells: NDArray[np.uint8], heights: NDArray, widths: NDArray) -> NDArray[np.uint8]:
    return np.repeat(np.repeat(cells, widths, axis=1), heights, axis=0)
