"""Samples: what training draws batches from, be it patches of scenes or images of a data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import gcd
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import ModelError, TrainingError
from rsseg.learn.arena import Arena, Piece, stored_bytes
from rsseg.learn.inputs import VALID_SHARE, SceneInput, patch_rows
from rsseg.learn.normalise import OF_SAMPLE, Kind, Moments, Normalisation, standardise
from rsseg.learn.regions import Item, RegionCache, RegionMaker
from rsseg.scene.grid import PatchGrid, Window

QUANTILE_PIXELS = 1 << 20
"""Pixels, of patches drawn by the seed, that give the percentiles of normalisations."""

MAX_PATCHES = 1 << 24
"""Training patches kept at most, by regular thinning of what the scenes have: 128 MiB of numbers."""


Offset = tuple[int, int] | Tensor
"""Rows and columns by which windows are moved: one pair, or an int64 tensor (n, 2)."""


class Samples(Protocol):
    """Normalised float32 samples by index."""

    def __len__(self) -> int:
        """How many samples there are in this epoch."""

    patch: int
    """The side of a sample in pixels."""

    @property
    def window(self) -> int:
        """The largest size that may be gathered."""

    @property
    def whole(self) -> bool:
        """Whether all samples are in memory in all epochs."""

    def gather(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Samples (n, bands, size, size), channels last.

        A larger ``size`` is centred on the sample; ``offset`` (rows, cols), of all samples or (n, 2) of each, moves the
        window; it stays inside.
        """

    def valid(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Which pixels of the same windows are valid: (n, size, size) bool."""

    def regions(self, indices: Tensor) -> Tensor:
        """Superpixels of samples, numbered from 0 in each: (n, patch, patch) int64."""

    def of_first(self, scenes: int) -> Tensor:
        """The numbers of the samples that come from the first so many scenes: (n,) int64."""

    def redraw(self, epoch: int) -> None:
        """Prepare an epoch: scenes larger than the memory limit are drawn anew from it."""


@dataclass(frozen=True)
class TrainingPatches:
    """The patches of one scene that training may use, by their number in ``grid``."""

    scene: SceneInput
    grid: PatchGrid
    numbers: NDArray[np.int64]


def find_patches(
    scenes: Sequence[SceneInput],
    patch: int,
    stride: int,
    advance: Callable[[int], None] = lambda rows: None,
    valid_share: float = VALID_SHARE,
) -> tuple[list[TrainingPatches], Moments]:
    """Stream every scene once: its training patches (at most ``MAX_PATCHES``), and the moments of all of them.

    Training patches have at least ``valid_share`` of valid pixels. ``advance`` is called with the rows of patches done.
    Raises: TrainingError if no patch of any scene is valid.
    """
    bands = {scene.source.shape[0] for scene in scenes}
    if len(bands) != 1:
        raise ModelError(f"the scenes have {sorted(bands)} bands; choose the same ones of each with --bands")
    moments = Moments(bands.pop())
    grids = [PatchGrid.of(scene.source.shape[1:], patch, stride) for scene in scenes]
    step = -(-sum(len(grid) for grid in grids) // MAX_PATCHES)
    while step > 1 and any(gcd(step, grid.cols.count) > 1 for grid in grids):
        step += 1  # else the same columns would be taken in every row
    found = [_find(scene, grid, step, moments, advance, valid_share) for scene, grid in zip(scenes, grids, strict=True)]
    if not any(len(patches.numbers) for patches in found):
        names = ", ".join(scene.name for scene in scenes)
        raise TrainingError(
            f"no patch of {patch} x {patch} pixels in {names} is {valid_share:.0%} valid; "
            "choose a smaller --patch, or check the nodata value"
        )
    return found, moments


def _find(
    scene: SceneInput, grid: PatchGrid, step: int, moments: Moments, advance: Callable[[int], None], share: float
) -> TrainingPatches:
    numbers = []
    for row in patch_rows(scene.source, grid):
        chosen = np.flatnonzero(row.count >= share * grid.patch**2)
        found = chosen + row.row * grid.cols.count
        numbers.append(found[found % step == 0])
        total, square = row.total[chosen].sum(axis=0), row.square[chosen].sum(axis=0)
        moments.add(int(row.count[chosen].sum()), total, square, scene.scale, scene.offset)
        advance(1)
    return TrainingPatches(scene, grid, np.concatenate(numbers))


class SceneSamples:
    """Training patches of scenes, in memory; bands of rows are redrawn each epoch where the scenes are larger."""

    arena: Arena

    def __init__(
        self,
        patches: Sequence[TrainingPatches],
        moments: Moments,
        *,
        device: torch.device,
        memory: int,
        seed: int = 0,
        kind: Kind = "standardise",
        masks: bool = False,
        regions: RegionMaker | None = None,
        normalisation: Normalisation | None = None,
    ) -> None:
        """``memory``: bytes that the pixels may take; ``masks``: keep which pixels are valid, else all count as such;
        ``regions``: what makes superpixels of a sample; ``normalisation``: that of a model, else one is fitted.
        """
        self.patches, self.device, self.memory, self.seed = list(patches), device, memory, seed
        self.masks, self._regions = masks, RegionCache(regions)
        self.patch = patches[0].grid.patch
        self.normalisation = normalisation or standardise(moments)
        self._drawn: int | None = None
        self.redraw(0)
        if kind in OF_SAMPLE and normalisation is None:
            self.normalisation = OF_SAMPLE[kind](moments, self._physical_sample())
            self._drawn = None
            self.redraw(0)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def whole(self) -> bool:
        """Whether all training scenes fit in memory at once."""
        pixels = sum(p.scene.source.shape[1] * p.scene.source.shape[2] for p in self.patches)
        return pixels * self._bytes <= self.memory

    @property
    def window(self) -> int:
        """The largest windows that fit in every piece of a scene in memory."""
        return self.largest

    @property
    def _bytes(self) -> int:
        """Bytes of a pixel in memory."""
        return stored_bytes([p.scene for p in self.patches]) + self.masks

    def redraw(self, epoch: int) -> None:
        """Load what the epoch trains on: everything once if it fits, else a draw seeded by the epoch."""
        draw = 0 if self.whole else epoch
        if draw == self._drawn:
            return
        chunks = self._chunks(draw)
        pieces = [Piece(p.scene, window) for p, window, _ in chunks]
        if hasattr(self, "arena"):
            del self.arena  # two draws at a time would take twice the memory
        self.arena = Arena(pieces, self.normalisation, self.device, self.masks)
        self.numbers = torch.from_numpy(np.concatenate([numbers for _, _, numbers in chunks])).to(self.device)
        self._places = torch.tensor([_place(p.grid, window) for p, window, _ in chunks], device=self.device)
        self._ends = torch.tensor([len(numbers) for _, _, numbers in chunks], device=self.device).cumsum(0)
        self.largest = min(min(window.height, window.width) for _, window, _ in chunks)
        self._regions.clear()
        self._drawn = draw

    def gather(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Patches (n, bands, size, size), normalised; larger windows stay inside what lies in memory.

        Raises: TrainingError for a window larger than a scene, or than the rows of one that lie in memory.
        """
        size = size or self.patch
        return self.arena.gather(*self._corner(indices, size, offset), size)

    def valid(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Which pixels of the same windows are valid: (n, size, size) bool."""
        size = size or self.patch
        return self.arena.gather_valid(*self._corner(indices, size, offset), size)

    def regions(self, indices: Tensor) -> Tensor:
        """Superpixels of patches, numbered from 0 in each: (n, patch, patch) int64; made once, then kept."""
        piece, row, col = self._position(indices.to(self.device))
        numbers = self.numbers[indices].tolist()
        places = zip(piece.tolist(), row.tolist(), col.tolist(), strict=True)
        windows = [self._window(*place) for place in places]
        keys = [(scene, number) for (scene, _), number in zip(windows, numbers, strict=True)]
        missing = self._regions.missing(keys)
        if missing:
            wanted = indices[torch.tensor(missing, device=indices.device)]
            parts = zip(missing, self.gather(wanted), self.valid(wanted), strict=True)
            self._regions.add(
                [Item(keys[p], x, valid, self.patches[windows[p][0]].scene, windows[p][1]) for p, x, valid in parts]
            )
        return self._regions.stacked(keys, self.device)

    def of_first(self, scenes: int) -> Tensor:
        """The numbers of the patches in memory that come from the first so many scenes: (n,) int64.

        None where an epoch's draw holds none of them.
        """
        wanted = [patches.scene for patches in self.patches[:scenes]]
        chosen = torch.tensor([any(p.scene is scene for scene in wanted) for p in self.arena.pieces])
        piece = torch.bucketize(torch.arange(len(self)), self._ends.cpu(), right=True)
        return torch.nonzero(chosen[piece]).flatten()

    def _window(self, piece: int, row: int, col: int) -> tuple[int, Window]:
        """The scene's number, and where in it a patch of a piece lies."""
        held = self.arena.pieces[piece]
        scene = next(i for i, p in enumerate(self.patches) if p.scene is held.scene)
        return scene, Window(held.window.row + row, held.window.col + col, self.patch, self.patch)

    def _corner(self, indices: Tensor, size: int, offset: Offset) -> tuple[Tensor, Tensor, Tensor]:
        """Piece, first row and first column in it of windows around patches, moved to lie inside."""
        if size > self.largest:
            raise TrainingError(
                f"windows of {size} pixels do not fit in the {self.largest} that lie in memory; "
                "choose smaller windows, or more --memory"
            )
        piece, row, col = self._position(indices.to(self.device))
        if size != self.patch or isinstance(offset, Tensor) or offset != (0, 0):
            down, right = offset.to(self.device).unbind(dim=1) if isinstance(offset, Tensor) else offset
            margin = (size - self.patch) // 2
            row = torch.minimum((row + down - margin).clamp(min=0), self.arena.height[piece] - size)
            col = torch.minimum((col + right - margin).clamp(min=0), self.arena.width[piece] - size)
        return piece, row, col

    def _chunks(self, draw: int) -> list[tuple[TrainingPatches, Window, NDArray[np.int64]]]:
        """What to load: for each piece its scene, its window and its training patches."""
        if self.whole:
            return [(p, Window(0, 0, *p.scene.source.shape[1:]), p.numbers) for p in self.patches if len(p.numbers)]
        limit = self.memory // self._bytes
        every = [chunk for p in self.patches for chunk in _row_chunks(p, limit // 16)]
        order = np.random.default_rng([self.seed, draw]).permutation(len(every))
        pixels = list(accumulate(every[i][1].height * every[i][1].width for i in order))
        taken = max(1, sum(size <= limit for size in pixels))
        return [every[i] for i in sorted(order[:taken])]

    def _position(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Piece, and row and column in it, (n,) each, of patches in memory, from their numbers."""
        piece = torch.bucketize(indices, self._ends, right=True)
        across, last_row, last_col, top = self._places[piece].unbind(dim=1)
        number, stride = self.numbers[indices], self.patches[0].grid.stride
        row = torch.minimum(number // across * stride, last_row) - top
        return piece, row, torch.minimum(number % across * stride, last_col)

    def _physical_sample(self) -> NDArray:
        """Physical pixels (n, bands) of a seeded sample of the patches in memory."""
        generator = torch.Generator().manual_seed(self.seed)
        count = max(1, QUANTILE_PIXELS // self.patch**2)
        chosen = torch.randperm(len(self), generator=generator)[:count].to(self.device)
        pixels = self.gather(chosen).permute(0, 2, 3, 1)[self.valid(chosen)].cpu().numpy()
        return pixels * np.array(self.normalisation.spread) + np.array(self.normalisation.centre)


def _place(grid: PatchGrid, window: Window) -> tuple[int, int, int, int]:
    """Patches across, the last row and column where a patch starts, and the first row in memory."""
    return grid.cols.count, grid.rows.size - grid.patch, grid.cols.size - grid.patch, window.row


def _row_chunks(patches: TrainingPatches, pixels: int) -> list[tuple[TrainingPatches, Window, NDArray[np.int64]]]:
    """Cut a scene into runs of patch rows of about ``pixels`` pixels, each with its training patches."""
    grid = patches.grid
    per_chunk = max(1, (pixels // grid.cols.size - grid.patch) // grid.stride + 1)
    chunks = []
    firsts = list(range(0, grid.rows.count, per_chunk))
    if len(firsts) > 1 and grid.rows.count - firsts[-1] < max(2, per_chunk // 2):
        del firsts[-1]  # a low last chunk would have no room for windows around patches
    for first, last in pairwise([*firsts, grid.rows.count]):
        low, high = np.searchsorted(patches.numbers, [first * grid.cols.count, last * grid.cols.count])
        if low < high:
            top = grid.rows.start(first)
            height = grid.rows.start(last - 1) + grid.patch - top
            chunks.append((patches, Window(top, 0, height, grid.cols.size), patches.numbers[low:high]))
    return chunks
