"""Pairs of tiles for dense methods (IIC, section 3.3): a tile, a changed copy, and the way back from the copy's pixels.

Flips are exact. Turned, scaled and sheared copies are read from a larger window of the scene, so that no corner is
empty where the scene goes on; pixels without a valid counterpart are masked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.augment import Geometry, Photometry, warp
from rsseg.learn.samples import Samples

Flips = Literal["none", "horizontal", "both"]

COVERED = 0.999
"""A resampled pixel counts where valid pixels make up this much of it."""


@dataclass(frozen=True)
class TilePair:
    """``first``, ``second``: (n, bands, s, s); ``mask``: (n, s, s) bool, pixels of the first with a valid counterpart.

    ``back``: brings maps (n, k, s, s) of the second to the coordinates of the first.
    """

    first: Tensor
    second: Tensor
    mask: Tensor
    back: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TilePairs:
    """How the changed copy of a tile is made. ``affine``: turns, scales, shears and shifts, or None."""

    flips: Flips = "horizontal"
    affine: Geometry | None = None
    photometry: Photometry | None = None

    def draw(
        self, samples: Samples, indices: Tensor, offset: Tensor | None = None, generator: torch.Generator | None = None
    ) -> TilePair:
        """Pairs of the samples ``indices`` (n,), moved by ``offset`` (n, 2), as far as the scene goes."""
        patch = samples.patch
        margin = 0 if self.affine is None else _margin(self.affine, samples)
        place = patch + 2 * margin, (0, 0) if offset is None else offset
        window, valid = samples.gather(indices, *place), samples.valid(indices, *place)
        inner = slice(margin, margin + patch)
        first, mask = window[..., inner, inner], valid[:, inner, inner]
        second, seen = first, mask
        back: Callable[[Tensor], Tensor] = _same
        if self.affine is not None:
            matrix, shift = self.affine.draw(len(indices), patch, window.device, generator)
            second, seen = warp(window, matrix, shift, patch), covered(valid, matrix, shift, patch)
            inverse = torch.linalg.inv_ex(matrix).inverse  # without waiting for the device
            home = inverse, -(inverse * shift[:, None]).sum(dim=2)
            mask, back = mask & covered(seen, *home, patch), partial(_warped, *home, patch)
        if self.photometry is not None:
            second = self.photometry(second, generator)
        mirror = Mirror.draw(self.flips, len(indices), window.device, generator)
        return TilePair(first, mirror(second), mask, lambda maps: back(mirror(maps)))


@dataclass(frozen=True)
class Mirror:
    """Which tiles (n,) are mirrored left-right and top-bottom; doing it twice undoes it."""

    across: Tensor
    down: Tensor

    @staticmethod
    def draw(flips: Flips, count: int, device: torch.device, generator: torch.Generator | None = None) -> "Mirror":
        """Each allowed direction half of the time."""
        chosen = torch.rand(count, 2, generator=generator).to(device) < 0.5
        allowed = {"none": (False, False), "horizontal": (True, False), "both": (True, True)}[flips]
        return Mirror(chosen[:, 0] & allowed[0], chosen[:, 1] & allowed[1])

    def __call__(self, maps: Tensor) -> Tensor:
        """Maps (n, k, h, w), mirrored."""
        maps = torch.where(self.across[:, None, None, None], maps.flip(-1), maps)
        return torch.where(self.down[:, None, None, None], maps.flip(-2), maps)


def covered(valid: Tensor, matrix: Tensor, shift: Tensor, patch: int) -> Tensor:
    """Which pixels (n, patch, patch) of warped tiles come from ``valid`` (n, size, size) ones alone.

    A ring of invalid pixels stands for all that lies outside, since ``warp`` repeats the border.
    """
    ringed = functional.pad(valid.float(), (1, 1, 1, 1))[:, None]
    return warp(ringed, matrix, shift, patch)[:, 0] > COVERED


def _margin(affine: Geometry, samples: Samples) -> int:
    """Pixels around a tile that a copy may show.

    Windows stay inside the scene, so larger ones have fewer places: half of the room is left to them.
    """
    return min(affine.margin(samples.patch), (samples.window - samples.patch) // 4)


def _warped(matrix: Tensor, shift: Tensor, patch: int, maps: Tensor) -> Tensor:
    return warp(maps, matrix, shift, patch)


def _same(maps: Tensor) -> Tensor:
    return maps
