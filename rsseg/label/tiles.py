"""Labelling a scene with a dense model, streamed by rows of overlapping tiles.

Tiles have the training tiles' size, since some networks pool over their whole input, and lie on a grid anchored at the
full raster's origin; each is computed alone. So the labels of a crop are the crop of the whole scene's labels. Where
tiles overlap their probabilities are blended with weights that fall towards a tile's border and never reach zero, in
integers, whose sums do not depend on their order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.label.assembly import LabelBlock
from rsseg.label.blending import STEPS, default_stride, weights
from rsseg.label.limits import BLOCKS, Limits, Need, limits, sample_bytes
from rsseg.label.reading import Block, read_normalised
from rsseg.label.stitch import Resolution
from rsseg.label.tile_strip import Frame, Strip
from rsseg.label.workers import Workers, listed
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.fuse import fused
from rsseg.prefetch import prefetch
from rsseg.scene.grid import PatchGrid, Window

LARGEST = 362
"""Sum of the weights over a pixel along an axis up to which votes fit in 31 bits: 2^13 x 362^2 < 2^30.1, with room for
rounding and the last tile, which is pulled back."""


SMALL = 64
"""Side of a tile on which the network's memory is found."""


@dataclass(frozen=True)
class Tile:
    """A tile by its number in the scene, its column of tiles, and the row of tiles that was read; ``valid``: if any."""

    number: int
    col: int
    row: Block
    left: int
    valid: bool

    def gathered(self, device: torch.device, patch: int) -> Tensor | None:
        """The tile (1, bands, patch, patch), normalised; None where no pixel is valid."""
        if not self.valid:
            return None
        pixels = self.row.on(device).view(patch, self.row.pixels.width, -1)
        tile = pixels[:, self.left : self.left + patch].permute(2, 0, 1)[None]
        return tile.clone(memory_format=torch.preserve_format).contiguous(memory_format=torch.channels_last)


class TileLabeller:
    """Labels one scene, or a window of it, with one dense model."""

    approximate = False

    def __init__(
        self,
        model: Model,
        scene: SceneInput,
        *,
        stride: int | None = None,
        window: Window | None = None,
        resolution: Resolution = "pixel",
        device: torch.device | Sequence[torch.device] | None = None,
        precision: str = "fp32",
        memory: int | None = None,
    ) -> None:
        """``device``: one or several, among which tiles are dealt. ``memory``: bytes for the process to stay within.

        Raises: GridError if the scene is smaller than a tile, UsageError for a stride or resolution of no use.
        """
        shape, patch = scene.source.shape[1:], model.inference.patch
        self.grid = PatchGrid.of(shape, patch, stride or default_stride(patch))
        if int(weights(patch, self.grid.stride).sum()) // self.grid.stride >= LARGEST:
            raise UsageError(
                f"a stride of {stride} lays too many tiles of {patch} pixels over each; choose a larger one"
            )
        if self.grid.stride > patch:
            raise UsageError(f"a stride of {stride} leaves gaps between tiles of {patch} pixels; choose a smaller one")
        if resolution != "pixel":
            raise UsageError("this model labels pixels, not patches; leave --resolution patch out")
        self.model, self.scene, self.precision, self.resolution = model, model.seen(scene), precision, resolution
        self.window = window or Window(0, 0, *shape)
        self.devices = listed(device)
        self.network: Any = fused(model.network)
        self.frame = Frame(self.grid, self.window, model.inference.classes)
        self.down, self.across = self.frame.down, self.frame.across
        self.limits = limits(memory, Limits(torch.get_num_threads(), 1, 1), self.devices, self._need)

    def _need(self) -> Need:
        patch, inference, source = self.grid.patch, self.model.inference, self.scene.source
        stored = 8 * patch * source.shape[0]
        carried = 4 * inference.classes * (patch - min(patch, self.grid.stride))
        return Need(
            sample=sample_bytes(self.network, inference.inputs, patch, SMALL),
            votes=4 * inference.classes * patch * patch,
            row=self.window.width * (stored + carried // BLOCKS),
            width=self.window.width,
        )

    @property
    def stride(self) -> int:
        """Step between tiles."""
        return self.grid.stride

    @property
    def rows(self) -> int:
        """Rows of tiles to label, for progress."""
        return self.down[1] - self.down[0]

    def blocks(self, advance: Callable[[int], None] = lambda rows: None) -> Iterator[LabelBlock]:
        """The label map from top to bottom, in strips of its full width; reading runs ahead in a thread."""
        workers: Workers[Tile] = Workers(self.network, self.devices, self._voter(), self.limits.slots)
        strip: Strip | None = None
        with workers.running():
            tiles = workers.in_order(self._tiles(), partial(Tile.gathered, patch=self.grid.patch))
            for tile, votes in tiles:
                if strip is None or strip.row is not tile.row:
                    strip = Strip(self.frame, tile.row, strip.carry if strip else None)
                strip.add(tile.col, None if votes is None else votes[0])
                if tile.col + 1 == self.across[1]:
                    block = strip.block()
                    if block is not None:
                        yield block
                    advance(1)

    def _tiles(self) -> Iterator[Tile]:
        patch, count = self.grid.patch, self.grid.cols.count
        for row in prefetch(self._read()):
            for col in range(*self.across):
                left = self.grid.cols.start(col) - row.pixels.col
                valid = bool(row.valid[:, left : left + patch].any())
                yield Tile(row.first_row * count + col, col, row, left, valid)

    def _read(self) -> Iterator[Block]:
        """Rows of tiles; rows of pixels that a row of tiles shares with the one above are read once."""
        patch, first = self.grid.patch, self.grid.cols.start(self.across[0])
        width = self.grid.cols.start(self.across[1] - 1) + patch - first
        above: Block | None = None
        for number in range(*self.down):
            pixels = Window(self.grid.rows.start(number), first, patch, width)
            shared = max(0, above.pixels.end[0] - pixels.row) if above else 0
            new = Window(pixels.row + shared, first, patch - shared, width)
            values, valid = read_normalised(self.scene, new, self.model.inference.normalisation)
            if above and shared:
                values = torch.cat([above.values[-shared * width :], values])
                valid = np.concatenate([above.valid[-shared:], valid])
            above = Block(number, number + 1, pixels, values, valid, np.empty(0, np.int64))
            yield above

    def _voter(self) -> Callable[[Any, Tensor], Tensor]:
        axis = torch.from_numpy(weights(self.grid.patch, self.grid.stride))
        return partial(vote, blend=axis[:, None] * axis, bf16=self.precision == "bf16")


def vote(network: Any, tiles: Tensor, blend: Tensor, bf16: bool) -> Tensor:
    """Weighted votes (n, classes, patch, patch) int32, on the CPU, of tiles (n, bands, patch, patch)."""
    with torch.autocast(tiles.device.type, dtype=torch.bfloat16, enabled=bf16):
        probabilities = network.predict(tiles)
    votes: Tensor = (probabilities * STEPS).round_().to(torch.int32).mul_(blend.to(tiles.device))
    return votes.cpu()
