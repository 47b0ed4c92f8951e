"""Labelling a scene with a dense model, streamed by rows of overlapping tiles.

Tiles have the training tiles' size, since some networks pool over their whole input, and lie on a grid anchored at the
full raster's origin; each is computed alone. So the labels of a crop are the crop of the whole scene's labels. Where
tiles overlap their probabilities are blended with weights that fall towards a tile's border and never reach zero, in
integers, whose sums do not depend on their order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.label.assembly import LabelBlock
from rsseg.label.reading import ReadOnce
from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.label.stitch import Resolution
from rsseg.learn.arena import Arena, Piece
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.fuse import fused
from rsseg.prefetch import prefetch
from rsseg.scene.grid import Axis, PatchGrid, Window

STEPS = 1 << 13
"""Steps of a probability between 0 and 1."""

RAMP = 32
"""Steps of a blending weight along an axis."""

LARGEST = 362
"""Sum of the weights over a pixel along an axis up to which votes fit in 31 bits: 2^13 x 362^2 < 2^30.1, with room for
rounding and the last tile, which is pulled back."""


MARGIN = 17
"""Pixels from a tile's border within which a network sees its padding (IIC's looks 15 pixels around)."""


def default_stride(patch: int) -> int:
    """Tiles overlap by a quarter of their side, at least by two margins and some, if they are not smaller themselves.

    With less overlap a network that learned what its padding looks like draws the grid of tiles into the map.
    """
    return max(1, patch - max(patch // 4, min(2 * MARGIN + 6, patch // 2 + patch // 8)))


def weights(patch: int, stride: int) -> NDArray[np.int32]:
    """Blending weights (patch,) along an axis: 1 within the margin, rising to ``RAMP`` over the overlap's middle."""
    overlap = max(1, patch - stride)
    margin = max(0, min(MARGIN, overlap // 2 - 1))
    place = np.arange(patch)
    depth = (np.minimum(place, patch - 1 - place) - margin) / max(1, overlap - 2 * margin)
    return np.rint(1 + (RAMP - 1) * np.clip(depth, 0.0, 1.0)).astype(np.int32)


@dataclass(frozen=True)
class TileRow:
    """A row of tiles that was read: its number, its pixels' window, their arena and which are valid."""

    number: int
    pixels: Window
    arena: Arena
    valid: NDArray[np.bool_]


class TileLabeller:
    """Labels one scene, or a window of it, with one dense model."""

    def __init__(
        self,
        model: Model,
        scene: SceneInput,
        *,
        stride: int | None = None,
        window: Window | None = None,
        resolution: Resolution = "pixel",
        device: torch.device | None = None,
        precision: str = "fp32",
    ) -> None:
        """Raises: GridError if the scene is smaller than a tile, UsageError for a stride or resolution of no use."""
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
        self.device = device or torch.device("cpu")
        self.network: Any = fused(model.network).to(self.device).to(memory_format=torch.channels_last)
        self.down = self.grid.rows.touching(self.window.row, self.window.end[0])
        self.across = self.grid.cols.touching(self.window.col, self.window.end[1])

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
        carried: Tensor | None = None
        for row in prefetch(self._read()):
            strip = _Strip(self, row, carried)
            for col in range(*self.across):
                strip.add(col, self._votes(row, col))
            carried = strip.carry
            block = strip.block()
            if block is not None:
                yield block
            advance(1)

    def _read(self) -> Iterator[TileRow]:
        patch, first = self.grid.patch, self.grid.cols.start(self.across[0])
        width = self.grid.cols.start(self.across[1] - 1) + patch - first
        for number in range(*self.down):
            pixels = Window(self.grid.rows.start(number), first, patch, width)
            read = ReadOnce(self.scene, pixels)
            scene = replace(self.scene, source=read)
            arena = Arena([Piece(scene, pixels)], self.model.inference.normalisation, self.device)
            yield TileRow(number, pixels, arena, read.valid)

    @torch.no_grad()
    def _votes(self, row: TileRow, col: int) -> Tensor | None:
        """Weighted votes (classes, patch, patch) int32 of a tile, or None where no pixel is valid."""
        left, patch = self.grid.cols.start(col) - row.pixels.col, self.grid.patch
        if not row.valid[:, left : left + patch].any():
            return None
        zero = torch.zeros(1, dtype=torch.int64, device=self.device)
        tile = row.arena.gather(zero, zero, zero + left, patch)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            probabilities = self.network.predict(tile)[0]
        axis = torch.from_numpy(weights(patch, self.grid.stride)).to(self.device)
        votes: Tensor = (probabilities * STEPS).round().to(torch.int32) * (axis[:, None] * axis)
        return votes


class _Strip:
    """One row of tiles being summed, column by column: what is complete becomes labels, the rest is carried on.

    ``carried``: (classes, rows, width), votes of the rows of tiles above on this row's first pixels.
    """

    def __init__(self, owner: TileLabeller, row: TileRow, carried: Tensor | None) -> None:
        self.owner, self.row, self.grid = owner, row, owner.grid
        self.classes = owner.model.inference.classes
        self.done = _step(self.grid.rows, row.number, owner.down[1])
        kept = self.grid.patch - self.done
        shape = (self.classes, kept, row.pixels.width)
        self.carried = carried
        same = carried is not None and carried.shape == shape
        self.carry = carried if same and carried is not None else self._zeros(*shape)
        self.side = self._zeros(self.classes, self.grid.patch, 0)
        self.labels = np.zeros((self.done, row.pixels.width), np.uint8)
        self.confidence = np.full((self.done, row.pixels.width), NO_SHARE, np.uint8)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32, device=self.owner.device)

    def add(self, col: int, votes: Tensor | None) -> None:
        """Add a tile's votes; the columns before the next tile are then complete for this row of tiles."""
        patch = self.grid.patch
        total = self._zeros(self.classes, patch, patch) if votes is None else votes
        total[:, :, : self.side.shape[2]] += self.side
        wide = _step(self.grid.cols, col, self.owner.across[1])
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
        down = self._weight(self.grid.rows, self.row.number, self.done)
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
        window, pixels = self.owner.window, self.row.pixels
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
