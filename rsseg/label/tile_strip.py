"""One row of overlapping tiles being summed: what no later tile reaches becomes labels."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.assembly import LabelBlock
from rsseg.label.blending import STEPS, weights
from rsseg.label.reading import Block
from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.scene.grid import Axis, PatchGrid, Window


@dataclass(frozen=True)
class Frame:
    """The tiles of the whole scene, the window that is labelled, and the rows and columns of tiles that touch it."""

    grid: PatchGrid
    window: Window
    classes: int

    @property
    def down(self) -> tuple[int, int]:
        """The half-open range of rows of tiles."""
        return self.grid.rows.touching(self.window.row, self.window.end[0])

    @property
    def across(self) -> tuple[int, int]:
        """The half-open range of columns of tiles."""
        return self.grid.cols.touching(self.window.col, self.window.end[1])


class Strip:
    """One row of tiles being summed, column by column: what is complete becomes labels, the rest is carried on.

    ``carried``: (classes, rows, width), votes of the rows of tiles above on this row's first pixels.
    """

    def __init__(self, frame: Frame, row: Block, carried: Tensor | None) -> None:
        self.frame, self.row, self.grid, self.classes = frame, row, frame.grid, frame.classes
        self.done = _step(self.grid.rows, row.first_row, frame.down[1])
        kept = self.grid.patch - self.done
        shape = (self.classes, kept, row.pixels.width)
        self.carried = carried
        same = carried is not None and carried.shape == shape
        self.carry = carried if same and carried is not None else self._zeros(*shape)
        self.side = self._zeros(self.classes, self.grid.patch, 0)
        self.labels = np.zeros((self.done, row.pixels.width), np.uint8)
        self.confidence = np.full((self.done, row.pixels.width), NO_SHARE, np.uint8)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32)

    @torch.inference_mode()
    def add(self, col: int, votes: Tensor | None) -> None:
        """Add a tile's votes; the columns before the next tile are then complete for this row of tiles."""
        patch = self.grid.patch
        total = self._zeros(self.classes, patch, patch) if votes is None else votes
        total[:, :, : self.side.shape[2]] += self.side
        wide = _step(self.grid.cols, col, self.frame.across[1])
        self.side = total[:, :, wide:]
        left = self.grid.cols.start(col) - self.row.pixels.col
        complete, place = total[:, :, :wide], slice(left, left + wide)
        if self.carried is not None:
            above = self.carried[:, :, place]
            complete[:, : above.shape[1]] += above
        if self.carry.shape[1]:
            self.carry[:, :, place] = complete[:, self.done :]
        self._decide(complete[:, : self.done], place, col)

    def _decide(self, votes: Tensor, place: slice, col: int) -> None:
        winner = votes.max(dim=0)
        down = self._weight(self.grid.rows, self.row.first_row, self.done)
        across = self._weight(self.grid.cols, col, place.stop - place.start)
        share = winner.values.cpu().numpy() / (down[:, None] * across * float(STEPS))
        self.labels[:, place] = winner.indices.cpu().numpy() + 1
        self.confidence[:, place] = np.rint(np.minimum(share, 1.0) * SHARE_STEPS)

    def _weight(self, axis: Axis, number: int, count: int) -> NDArray[np.int64]:
        """The sum of all tiles' weights on the ``count`` pixels from a tile's start on."""
        single, start = weights(self.grid.patch, self.grid.stride).astype(np.int64), axis.start(number)
        total = np.zeros(count, np.int64)
        for tile in range(*axis.touching(start, start + count)):
            first = axis.start(tile)
            low, high = max(start, first), min(start + count, first + self.grid.patch)
            total[low - start : high - start] += single[low - first : high - first]
        return total

    def block(self) -> LabelBlock | None:
        """The complete rows within the window; None where there are none."""
        window, pixels = self.frame.window, self.row.pixels
        top, bottom = max(window.row, pixels.row), min(window.end[0], pixels.row + self.done)
        if top >= bottom:
            return None
        rows = slice(top - pixels.row, bottom - pixels.row)
        cols = slice(window.col - pixels.col, window.end[1] - pixels.col)
        labels, confidence = self.labels[rows, cols], self.confidence[rows, cols]
        labels[~self.row.valid[rows, cols]] = 0
        confidence[labels == 0] = NO_SHARE
        return LabelBlock(Window(top - window.row, 0, bottom - top, window.width), labels, confidence)


def _step(axis: Axis, number: int, end: int) -> int:
    """Pixels from a tile's start to the next one's, or to its own end for the last."""
    return axis.start(number + 1) - axis.start(number) if number + 1 < end else axis.patch
