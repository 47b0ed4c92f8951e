"""Reading a scene in blocks of rows of patches, each pixel of a block once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.label.layout import Layout, starts
from rsseg.learn.arena import Arena, Piece
from rsseg.learn.inputs import SceneInput
from rsseg.learn.normalise import Normalisation
from rsseg.scene.grid import Window


@dataclass(frozen=True)
class Block:
    """Rows of patches [first_row, last_row) that were read.

    ``pixels``: their window of the scene; ``values``: (h w, bands), normalised; ``valid``: (h, w); ``numbers``: the
    patches with a valid pixel.
    """

    first_row: int
    last_row: int
    pixels: Window
    values: Tensor
    valid: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    _copies: dict[torch.device, Tensor] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def bands(self) -> int:
        """How many values a pixel has."""
        return self.values.shape[1]

    def lines(self, length: int, device: torch.device, begin: NDArray[np.int64], out: Tensor) -> None:
        """Copy lines of ``length`` normalised pixels to ``out`` (n, length bands); ``begin``: (n,) first pixels."""
        pixels = self.on(device)
        lines = pixels.as_strided((len(pixels) - length + 1, length * self.bands), (self.bands, 1))
        torch.index_select(lines, 0, torch.from_numpy(begin).to(device), out=out)

    def on(self, device: torch.device) -> Tensor:
        """The values on a device; they are brought there once."""
        if device.type == "cpu":
            return self.values
        with self._lock:
            if device not in self._copies:
                self._copies[device] = self.values.to(device)
            return self._copies[device]


def read_normalised(
    scene: SceneInput, pixels: Window, normalisation: Normalisation
) -> tuple[Tensor, NDArray[np.bool_]]:
    """The pixels (h w, bands) of a window as float32, invalid ones at the mean, and which are valid (h, w)."""
    read = ReadOnce(scene, pixels)
    arena = Arena([Piece(replace(scene, source=read), pixels)], normalisation, torch.device("cpu"))
    values, bias, gain = arena.flat, arena.bias[0], arena.gain[0]
    if arena.dtype == np.uint16:
        values = values.to(torch.int32).bitwise_and_(0xFFFF)
    values = values.to(torch.float32)
    return torch.addcmul(bias, values, gain, out=values), read.valid


@dataclass(frozen=True)
class BlockReader:
    """Reads the blocks of a layout from top to bottom."""

    layout: Layout
    scene: SceneInput
    normalisation: Normalisation

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
        values, valid = read_normalised(self.scene, pixels, self.normalisation)
        return Block(first, last, pixels, values, valid, self._wanted(valid, first, last, pixels))

    def _wanted(self, valid: NDArray[np.bool_], first: int, last: int, pixels: Window) -> NDArray[np.int64]:
        """Numbers of the patches in the block that have a valid pixel and lie in a touched batch."""
        rows, cols = np.arange(first, last), np.arange(self.layout.grid.cols.count)
        numbers = rows[:, None] * self.layout.grid.cols.count + cols
        wanted = self.layout.touched[numbers // self.layout.batch]
        if not valid.all():
            wanted &= self._any_valid(valid, rows, cols, pixels)
        return numbers[wanted]

    def _any_valid(self, valid: NDArray[np.bool_], rows: NDArray, cols: NDArray, pixels: Window) -> NDArray[np.bool_]:
        """Which patches (rows, cols) have a valid pixel: each patch's rows are joined, then its columns counted."""
        size = self.layout.grid.patch
        tops = starts(self.layout.grid.rows, rows) - pixels.row
        joined = np.stack([np.logical_or.reduce(valid[top : top + size], axis=0) for top in tops])
        left = starts(self.layout.grid.cols, cols) - pixels.col
        if size == 1:
            return joined.take(left, axis=1)
        counts = np.zeros((len(joined), joined.shape[1] + 1), np.int32)
        np.cumsum(joined, axis=1, out=counts[:, 1:])
        found: NDArray[np.bool_] = counts.take(left + size, axis=1) > counts.take(left, axis=1)
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
