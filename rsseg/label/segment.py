"""Labelling a scene with a patch model, streamed by rows of patches.

Patches are numbered over the whole scene, whatever part of it is labelled, and batches are cut by that number at a
constant size, each computed whole: a patch is always at the same place of the same batch. The map does not depend on
the rows read at a time, and the labels of a crop are the crop of the whole scene's labels, bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.label.approximate import STEP, CoarseVotes, Rows, check_stride, coarse_layout
from rsseg.label.assembly import Assembler, LabelBlock
from rsseg.label.batches import Batch, VoteRows, cut, gathered
from rsseg.label.layout import Layout, snapped
from rsseg.label.limits import Limits, Need, limits, sample_bytes
from rsseg.label.reading import Block, BlockReader
from rsseg.label.stitch import Resolution, quantised
from rsseg.label.workers import Workers, listed
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.fuse import fused
from rsseg.prefetch import prefetch
from rsseg.scene.grid import PatchGrid, Window


def default_batch(patch: int, device: torch.device) -> int:
    """Patches in a batch: a constant number of pixels, more on a GPU."""
    pixels = 1 << (20 if device.type == "cuda" else 15)
    return max(16, pixels // (patch * patch))


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
        device: torch.device | Sequence[torch.device] | None = None,
        block_rows: int | None = None,
        precision: str = "fp32",
        approximate: bool = False,
        memory: int | None = None,
    ) -> None:
        """``device``: one or several, among which batches are dealt. ``block_rows``: rows of patches read at a time; it
        changes memory and nothing else. ``approximate``: leave out patches between others that agree. ``memory``:
        bytes that the process is to stay within.

        Raises: GridError if the scene is smaller than a patch, UsageError if the stride leaves pixels uncovered.
        """
        shape, patch = scene.source.shape[1:], model.inference.patch
        grid = PatchGrid.of(shape, patch, stride or model.inference.stride)
        if resolution == "pixel" and grid.stride > patch:
            raise UsageError(
                f"a stride of {grid.stride} leaves pixels between patches of {patch} without a label; "
                "use --resolution patch, or a stride up to the patch"
            )
        self.model, self.scene, self.precision = model, model.seen(scene), precision
        self.devices = listed(device)
        self.network: Any = fused(model.network)
        chosen = snapped(window or Window(0, 0, *shape), grid, resolution)
        size = batch or default_batch(patch, self.devices[0])
        layout = Layout(grid, chosen, resolution, size, block_rows)
        usual = Limits(torch.get_num_threads(), size, layout.block_rows)
        self.limits = limits(memory, usual, self.devices, lambda: self._need(layout, approximate))
        self.layout = replace(layout, batch=batch or self.limits.batch, rows_at_a_time=self.limits.rows)
        self.coarse: Layout | None = None
        if approximate:
            check_stride(grid)
            # few patches of a batch remain, so that larger ones are as full
            self.layout = replace(self.layout, batch=self.layout.batch * STEP * STEP)
            self.coarse = coarse_layout(self.layout, self.layout.batch // STEP**2)

    def _need(self, layout: Layout, approximate: bool) -> Need:
        grid, inference = layout.grid, self.model.inference
        stored = 12 * self.scene.source.shape[0] + 2
        return Need(
            sample=sample_bytes(self.network, inference.inputs, grid.patch) * (STEP * STEP if approximate else 1),
            votes=8 * inference.classes,
            row=grid.cols.size * max(grid.stride, grid.patch) * stored,
            width=layout.window.width,
        )

    @property
    def window(self) -> Window:
        """The part of the scene that is labelled."""
        return self.layout.window

    @property
    def resolution(self) -> Resolution:
        """Whether the map has the scene's pixels or the patches' steps."""
        return self.layout.resolution

    @property
    def stride(self) -> int:
        """Step between patches."""
        return self.layout.grid.stride

    @property
    def approximate(self) -> bool:
        """Whether patches between others that agree are left out."""
        return self.coarse is not None

    @property
    def rows(self) -> int:
        """Rows of patches to read, for progress."""
        return self.layout.read[1] - self.layout.read[0]

    def blocks(self, advance: Callable[[int], None] = lambda rows: None) -> Iterator[LabelBlock]:
        """The label map from top to bottom, in strips of its full width; reading runs ahead in a thread.

        ``advance`` is called with the rows of patches that were labelled.
        """
        layout, assembler = self.layout, Assembler(self.layout)
        rows, progress = VoteRows(layout, self.model.inference.classes), Progress(layout, advance)
        voter = partial(vote, bf16=self.precision == "bf16")
        workers: Workers[Batch] = Workers(self.network, self.devices, voter, self.limits.slots)
        with workers.running():
            blocks, joined = seen(self._read(layout), assembler), _as_they_are
            if self.coarse is not None:
                coarse = CoarseVotes(layout, self.coarse, self._rows(self.coarse, workers))
                blocks, joined = coarse.thinned(blocks), coarse.joined
            for batch, votes in self._computed(blocks, layout, workers):
                yield from assembler.add(joined(rows.file(batch, votes)))
                progress.see(batch)
            yield from assembler.add(joined(rows.complete(layout.down[1])))
            yield from assembler.rest()
            progress.end()

    def _read(self, layout: Layout) -> Iterator[Block]:
        """The blocks of a layout, read ahead in a thread."""
        return prefetch(BlockReader(layout, self.scene, self.model.inference.normalisation).blocks())

    def _computed(
        self, blocks: Iterator[Block], layout: Layout, workers: Workers[Batch]
    ) -> Iterator[tuple[Batch, NDArray[np.int64] | None]]:
        """The batches of blocks in order, each with its votes (classes, n)."""
        for batch, votes in workers.in_order(cut(blocks, layout), partial(gathered, layout=layout)):
            yield batch, None if votes is None else votes.numpy()[: len(batch.numbers)].T

    def _rows(self, layout: Layout, workers: Workers[Batch]) -> Rows:
        """The rows of patches of a layout in order, each with its votes."""
        rows = VoteRows(layout, self.model.inference.classes)
        for batch, votes in self._computed(self._read(layout), layout, workers):
            yield from rows.file(batch, votes)
        yield from rows.complete(layout.down[1])


def _as_they_are(rows: Rows) -> Rows:
    return rows


def seen(blocks: Iterator[Block], assembler: Assembler) -> Iterator[Block]:
    """Blocks, after the assembler has taken their masks."""
    for block in blocks:
        assembler.see(block)
        yield block


def vote(network: Any, inputs: Tensor, bf16: bool) -> Tensor:
    """Votes (n, classes) int64, on the CPU, of patches (n, bands, size, size)."""
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=bf16):
        probabilities, ties = network.predict(inputs)
    return quantised(probabilities, ties).cpu()


class Progress:
    """Tells how many rows of patches are labelled, from the batches that are."""

    def __init__(self, layout: Layout, advance: Callable[[int], None]) -> None:
        self.layout, self.advance, self.row = layout, advance, layout.read[0]

    def see(self, batch: Batch) -> None:
        """A batch is done, and with it the rows above its first patch."""
        self._to(batch.number * self.layout.batch // self.layout.grid.cols.count)

    def end(self) -> None:
        """All is done."""
        self._to(self.layout.read[1])

    def _to(self, row: int) -> None:
        row = min(row, self.layout.read[1])
        if row > self.row:
            self.advance(row - self.row)
            self.row = row
