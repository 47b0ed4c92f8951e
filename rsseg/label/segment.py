"""Labelling a scene with a patch model, streamed by rows of patches.

Patches are numbered over the whole scene, whatever part of it is labelled, and batches are cut by that number at a
constant size, each computed whole: a patch is always at the same place of the same batch. The map does not depend on
the rows read at a time, and the labels of a crop are the crop of the whole scene's labels, bit for bit.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.label.assembly import Assembler, LabelBlock
from rsseg.label.batches import BatchRunner
from rsseg.label.layout import Layout, snapped
from rsseg.label.reading import BlockReader
from rsseg.label.stitch import Resolution, quantised
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
        device: torch.device | None = None,
        block_rows: int | None = None,
        precision: str = "fp32",
    ) -> None:
        """``block_rows``: rows of patches read at a time; it changes memory and nothing else.

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
        self.device = device or torch.device("cpu")
        self.network: Any = fused(model.network).to(self.device).to(memory_format=torch.channels_last)
        chosen = snapped(window or Window(0, 0, *shape), grid, resolution)
        self.layout = Layout(grid, chosen, resolution, batch or default_batch(patch, self.device), block_rows)

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
    def rows(self) -> int:
        """Rows of patches to read, for progress."""
        return self.layout.read[1] - self.layout.read[0]

    def blocks(self, advance: Callable[[int], None] = lambda rows: None) -> Iterator[LabelBlock]:
        """The label map from top to bottom, in strips of its full width; reading runs ahead in a thread.

        ``advance`` is called with the rows of patches that were labelled.
        """
        inference = self.model.inference
        reader = BlockReader(self.layout, self.scene, inference.normalisation, self.device)
        runner, assembler = BatchRunner(self.layout, inference.classes, self._vote), Assembler(self.layout)
        for block in prefetch(reader.blocks()):
            assembler.see(block)
            runner.feed(block)
            if block.last_row == self.layout.read[1]:
                runner.flush()
            rows = [row for votes in runner.complete(block.last_row) for row in assembler.stitcher.add(*votes)]
            if rows:
                yield assembler.assemble(rows)
            advance(block.last_row - block.first_row)

    @torch.inference_mode()
    def _vote(self, inputs: Tensor) -> NDArray[np.int64]:
        """Votes (n, classes) of patches."""
        bf16 = self.precision == "bf16"
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=bf16):
            probabilities, ties = self.network.predict(inputs)
        return quantised(probabilities, ties).cpu().numpy()
