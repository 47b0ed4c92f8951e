"""Labelling a scene with a patch model, streamed by rows of patches.

Patches are numbered over the whole scene, whatever part of it is labelled, and batches are cut by that number at a
constant, padded size: a patch is always computed at the same place of the same batch. The map does not depend on the
rows read at a time, and the labels of a crop are the crop of the whole scene's labels, bit for bit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.label.stitch import CONFIDENCE_NODATA, CellRow, Cells, Resolution, Stitcher, quantised
from rsseg.learn.arena import Arena, Piece
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.patch import fused
from rsseg.prefetch import prefetch
from rsseg.scene.grid import Axis, PatchGrid, Window

BLOCK_PIXELS = 1 << 22
BLOCK_PATCHES = 1 << 17


@dataclass(frozen=True)
class LabelBlock:
    """Labels (0 = no data) and confidence (255 = no data), both (h, w) uint8, of a window of the label map."""

    window: Window
    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8]


@dataclass(frozen=True)
class _Block:
    """Rows of patches that were read: the pixels, the valid pixels, and the patches to compute."""

    first_row: int
    last_row: int
    pixels: Window
    arena: Arena
    valid: NDArray[np.bool_]
    numbers: NDArray[np.int64]


def default_batch(patch: int, device: torch.device) -> int:
    """Patches in a batch: a constant number of pixels, more on a GPU."""
    pixels = 1 << (20 if device.type == "cuda" else 15)
    return max(16, pixels // (patch * patch))


def output_window(window: Window, stride: int, resolution: Resolution) -> Window:
    """The part of the label map's grid that a window of the scene makes: itself, or the cells that it touches."""
    if resolution == "pixel":
        return window
    bottom, right = (-(-end // stride) for end in window.end)
    top, left = window.row // stride, window.col // stride
    return Window(top, left, bottom - top, right - left)


class Labeller:
    """Labels one scene, or a window of it, with one model."""

    def __init__(
        self,
        model: Model,
        scene: SceneInput,
        *,
        stride: int | None = None,
        window: Window | None = None,
        resolution: Resolution = "pixel",
        batch: int | None = None,
        device: torch.device | None = None,
        block_rows: int | None = None,
        precision: str = "fp32",
    ) -> None:
        """``block_rows``: rows of patches read at a time; it changes memory and nothing else.

        Raises: GridError if the scene is smaller than a patch, UsageError if the stride leaves pixels uncovered.
        """
        shape, patch = scene.source.shape[1:], model.inference.patch
        self.scene, self.resolution, self.precision = scene, resolution, precision
        self.device = device or torch.device("cpu")
        self.grid = PatchGrid.of(shape, patch, stride or model.inference.stride)
        if resolution == "pixel" and self.grid.stride > patch:
            raise UsageError(
                f"a stride of {self.grid.stride} leaves pixels between patches of {patch} without a label; "
                "use --resolution patch, or a stride up to the patch"
            )
        self.model = model
        self.network = fused(model.network).to(self.device).to(memory_format=torch.channels_last)
        self.batch = batch or default_batch(patch, self.device)
        self.window = self._snapped(window or Window(0, 0, *shape))
        self.down = self.grid.rows.touching(self.window.row, self.window.end[0])
        self.across = self.grid.cols.touching(self.window.col, self.window.end[1])
        self.block_rows = block_rows or self._default_block_rows()

    @property
    def patch_rows(self) -> int:
        """Rows of patches to compute, for progress."""
        return self.down[1] - self.down[0]

    def blocks(self, advance: Callable[[int], None] = lambda rows: None) -> Iterator[LabelBlock]:
        """The label map from top to bottom, in strips of its full width; reading runs ahead in a thread.

        ``advance`` is called with the rows of patches that were labelled.
        """
        runner = _BatchRunner(self)
        assembler = _Assembler(self)
        for block in prefetch(self._read()):
            assembler.see(block)
            runner.feed(block)
            if block.last_row == self.down[1]:
                runner.flush()
            rows = [row for votes in runner.complete(block.last_row) for row in assembler.stitcher.add(*votes)]
            if rows:
                yield assembler.assemble(rows)
            advance(block.last_row - block.first_row)

    def _snapped(self, window: Window) -> Window:
        """At patch resolution, the window grown to whole cells."""
        if self.resolution == "pixel":
            return window
        stride, cells = self.grid.stride, output_window(window, self.grid.stride, "patch")
        bottom = min(cells.end[0] * stride, self.grid.rows.size)
        right = min(cells.end[1] * stride, self.grid.cols.size)
        return Window(cells.row * stride, cells.col * stride, bottom - cells.row * stride, right - cells.col * stride)

    def _default_block_rows(self) -> int:
        across = self.across[1] - self.across[0]
        by_pixels = BLOCK_PIXELS // (self.grid.stride * max(self.window.width, self.grid.patch))
        return max(1, min(BLOCK_PATCHES // across, by_pixels))

    def _read(self) -> Iterator[_Block]:
        left, right = self._columns()
        for first in range(self.down[0], self.down[1], self.block_rows):
            last = min(first + self.block_rows, self.down[1])
            top = self.grid.rows.start(first)
            if first == self.down[0]:
                top = min(top, self.window.row)
            bottom = max(self.grid.rows.start(last - 1) + self.grid.patch, self._next_start(last))
            pixels = Window(top, left, bottom - top, right - left)
            yield self._block(first, last, pixels)

    def _columns(self) -> tuple[int, int]:
        cols = self.grid.cols
        left = min(cols.start(self.across[0]), self.window.col)
        return left, max(cols.start(self.across[1] - 1) + self.grid.patch, self.window.end[1])

    def _next_start(self, row: int) -> int:
        """Where the next block starts, or the window ends: gaps between patches are read too, for their mask."""
        return self.grid.rows.start(row) if row < self.down[1] else self.window.end[0]

    def _block(self, first: int, last: int, pixels: Window) -> _Block:
        read = _Once(self.scene, pixels)
        scene = SceneInput(self.scene.name, read, self.scene.scale, self.scene.offset)
        arena = Arena([Piece(scene, pixels)], self.model.inference.normalisation, self.device)
        numbers = self._wanted(read.valid, first, last, pixels)
        return _Block(first, last, pixels, arena, read.valid, numbers)

    def _wanted(self, valid: NDArray[np.bool_], first: int, last: int, pixels: Window) -> NDArray[np.int64]:
        """Numbers of the patches in the block that have a valid pixel."""
        rows, cols = np.arange(first, last), np.arange(*self.across)
        numbers = rows[:, None] * self.grid.cols.count + cols
        if not valid.all():
            numbers = numbers[self._any_valid(valid, rows, cols, pixels)]
        return numbers.reshape(-1)

    def _any_valid(self, valid: NDArray[np.bool_], rows: NDArray, cols: NDArray, pixels: Window) -> NDArray[np.bool_]:
        counts = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int32)
        counts[1:, 1:] = valid.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        top = _starts(self.grid.rows, rows)[:, None] - pixels.row
        left = _starts(self.grid.cols, cols) - pixels.col
        size = self.grid.patch
        corners = counts[top + size, left + size] - counts[top, left + size]
        found: NDArray[np.bool_] = corners - counts[top + size, left] + counts[top, left] > 0
        return found


def _starts(axis: Axis, indices: NDArray) -> NDArray[np.int64]:
    return np.minimum(indices * axis.stride, axis.size - axis.patch)


class _Once:
    """Pixels that were read once, in their full width, of which the mask is wanted too."""

    def __init__(self, scene: SceneInput, pixels: Window) -> None:
        self.shape, self.dtype = scene.source.shape, scene.source.dtype
        self.top = pixels.row
        self.values, self.valid = scene.source.read(pixels)

    def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
        rows = slice(window.row - self.top, window.end[0] - self.top)
        return self.values[:, rows], self.valid[rows]


class _BatchRunner:
    """Fills batches by patch number and keeps the votes of each row of patches until the row is complete."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller, self.grid = labeller, labeller.grid
        self.current: int | None = None
        self.inputs = torch.empty(0)
        self.filled: list[NDArray[np.int64]] = []
        self.votes: dict[int, NDArray[np.int64]] = {}
        self.next_row = labeller.down[0]

    def feed(self, block: _Block) -> None:
        """Compute all batches that the block completes; the last one may wait for the next block."""
        size = self.labeller.batch
        cuts = np.flatnonzero(np.diff(block.numbers // size)) + 1
        for numbers in np.split(block.numbers, cuts):
            if len(numbers):
                self._fill(int(numbers[0]) // size, numbers, block)
        end = block.last_row * self.grid.cols.count
        if self.current is not None and (self.current + 1) * size <= end:
            self.flush()

    def _fill(self, batch: int, numbers: NDArray[np.int64], block: _Block) -> None:
        if batch != self.current:
            self.flush()
            self.current = batch
        self.filled.append(numbers)
        patches = self._gather(numbers, block)
        if len(numbers) == self.labeller.batch:
            self.inputs = patches
            return
        if len(self.filled) == 1:
            empty = torch.zeros(self.labeller.batch, *patches.shape[1:], device=patches.device)
            self.inputs = empty.contiguous(memory_format=torch.channels_last)
        self.inputs[torch.from_numpy(numbers - batch * self.labeller.batch).to(patches.device)] = patches

    def _gather(self, numbers: NDArray[np.int64], block: _Block) -> Tensor:
        rows, cols = np.divmod(numbers, self.grid.cols.count)
        top = torch.from_numpy(_starts(self.grid.rows, rows) - block.pixels.row).to(self.labeller.device)
        left = torch.from_numpy(_starts(self.grid.cols, cols) - block.pixels.col).to(self.labeller.device)
        return block.arena.gather(torch.zeros_like(top), top, left, self.grid.patch)

    def flush(self) -> None:
        """Run the network on the batch in hand and file its votes by row."""
        if self.current is None:
            return
        numbers = np.concatenate(self.filled)
        votes = self._run(self.inputs)[numbers - self.current * self.labeller.batch]
        rows, cols = np.divmod(numbers, self.grid.cols.count)
        first, last = self.labeller.across
        cuts = [0, *(np.flatnonzero(np.diff(rows)) + 1), len(rows)]
        for start, end in pairwise(cuts):
            row, columns = int(rows[start]), cols[start:end] - first
            if row not in self.votes:
                self.votes[row] = np.zeros((last - first, votes.shape[1] + 1), np.int64)
            self.votes[row][columns, :-1] = votes[start:end]
            self.votes[row][columns, -1] = 1
        self.current, self.filled = None, []

    @torch.inference_mode()
    def _run(self, inputs: Tensor) -> NDArray[np.int64]:
        bf16 = self.labeller.precision == "bf16"
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=bf16):
            probabilities, ties = self.labeller.network.predict(inputs)
        return quantised(probabilities, ties).cpu().numpy()

    def complete(self, last_row: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The rows of patches below ``last_row`` of which no patch is still waiting, in order, each once."""
        if self.current is not None:
            last_row = min(last_row, self.current * self.labeller.batch // self.grid.cols.count)
        first, last = self.labeller.across
        empty = np.zeros((last - first, self.labeller.model.inference.classes + 1), np.int64)
        while self.next_row < last_row:
            yield self.next_row, self.votes.pop(self.next_row, empty)
            self.next_row += 1


class _Assembler:
    """Spreads rows of cells over pixels (or keeps them as cells) and sets invalid places to no data."""

    def __init__(self, labeller: Labeller) -> None:
        self.resolution, self.window = labeller.resolution, labeller.window
        self.rows = Cells.of(labeller.grid.rows, self.window.row, self.window.end[0], self.resolution)
        self.cols = Cells.of(labeller.grid.cols, self.window.col, self.window.end[1], self.resolution)
        self.stitcher = Stitcher(self.rows, self.cols, labeller.across[0])
        self.masks: list[NDArray[np.bool_]] = []
        self.mask_row = self.window.row

    def see(self, block: _Block) -> None:
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
        confidence[labels == 0] = CONFIDENCE_NODATA
        return LabelBlock(Window(top, 0, height, labels.shape[1]), labels, confidence)

    def _taken(self, height: int) -> NDArray[np.bool_]:
        """The next ``height`` rows of the mask."""
        mask = np.concatenate(self.masks)
        self.masks = [mask[height:]]
        self.mask_row += height
        return mask[:height]


def _spread(cells: NDArray[np.uint8], heights: NDArray, widths: NDArray) -> NDArray[np.uint8]:
    return np.repeat(np.repeat(cells, widths, axis=1), heights, axis=0)
