"""Reading a scene in blocks of rows of patches, each pixel of a block once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from rsseg.label.layout import Layout, starts
from rsseg.learn.arena import Arena, Piece
from rsseg.learn.inputs import SceneInput
from rsseg.learn.normalise import Normalisation
from rsseg.scene.grid import Window


@dataclass(frozen=True)
class Block:
    """Rows of patches [first_row, last_row) that were read.

    ``pixels``: their window of the scene; ``valid``: (h, w) of it; ``numbers``: the patches with a valid pixel.
    """

    first_row: int
    last_row: int
    pixels: Window
    arena: Arena
    valid: NDArray[np.bool_]
    numbers: NDArray[np.int64]


@dataclass(frozen=True)
class BlockReader:
    """Reads the blocks of a layout from top to bottom."""

    layout: Layout
    scene: SceneInput
    normalisation: Normalisation
    device: torch.device

    def blocks(self) -> Iterator[Block]:
        """All blocks; memory is one of them."""
        (begin, end), step, axis = self.layout.read, self.layout.block_rows, self.layout.grid.rows
        for first in range(begin, end, step):
            last = min(first + step, end)
            top = axis.start(first)
            if first == begin:
                top = min(top, self.layout.window.row)
            bottom = max(axis.start(last - 1) + axis.patch, self._next_start(last))
            yield self._block(first, last, Window(top, 0, bottom - top, self.layout.grid.cols.size))

    def _next_start(self, row: int) -> int:
        """Where the next block starts, or the window ends: gaps between patches are read too, for their mask."""
        return self.layout.grid.rows.start(row) if row < self.layout.read[1] else self.layout.window.end[0]

    def _block(self, first: int, last: int, pixels: Window) -> Block:
        read = ReadOnce(self.scene, pixels)
        scene = SceneInput(self.scene.name, read, self.scene.scale, self.scene.offset)
        arena = Arena([Piece(scene, pixels)], self.normalisation, self.device)
        return Block(first, last, pixels, arena, read.valid, self._wanted(read.valid, first, last, pixels))

    def _wanted(self, valid: NDArray[np.bool_], first: int, last: int, pixels: Window) -> NDArray[np.int64]:
        """Numbers of the patches in the block that have a valid pixel and lie in a touched batch."""
        rows, cols = np.arange(first, last), np.arange(self.layout.grid.cols.count)
        numbers = rows[:, None] * self.layout.grid.cols.count + cols
        wanted = self.layout.touched[numbers // self.layout.batch]
        if not valid.all():
            wanted &= self._any_valid(valid, rows, cols, pixels)
        return numbers[wanted]

    def _any_valid(self, valid: NDArray[np.bool_], rows: NDArray, cols: NDArray, pixels: Window) -> NDArray[np.bool_]:
        counts = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int32)
        counts[1:, 1:] = valid.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        top = starts(self.layout.grid.rows, rows)[:, None] - pixels.row
        left = starts(self.layout.grid.cols, cols) - pixels.col
        size = self.layout.grid.patch
        corners = counts[top + size, left + size] - counts[top, left + size]
        found: NDArray[np.bool_] = corners - counts[top + size, left] + counts[top, left] > 0
        return found


class ReadOnce:
    """A source of the pixels of one window, read once and with its mask kept."""

    def __init__(self, scene: SceneInput, pixels: Window) -> None:
        self.shape, self.dtype = scene.source.shape, scene.source.dtype
        self.pixels = pixels
        self.values, self.valid = scene.source.read(pixels)

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        """A part of the window, in its full width."""
        rows = slice(window.row - self.pixels.row, window.end[0] - self.pixels.row)
        return self.values[:, rows], self.valid[rows]
