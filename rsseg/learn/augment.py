"""Random changes of patches that leave their content as it is (IIC, sections 3.2 and 3.3).

Patches are changed all at once, each by its own random numbers. The numbers are drawn on the CPU, from torch's global
generator unless another is given, so that every device draws the same ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, cos, pi, radians, sin, sqrt, tan

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.inputs import VALID_SHARE
from rsseg.learn.samples import Samples

Photometry = Callable[[Tensor, torch.Generator | None], Tensor]
"""Changes the values of patches (n, bands, h, w), by random numbers of a generator or of the global one."""

GREY = (0.299, 0.587, 0.114)
"""How much red, green and blue count in a grey value (ITU-R BT.601)."""


def spread(count: int, columns: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Random numbers (count, columns), evenly from [-1, 1)."""
    return (2 * torch.rand(count, columns, generator=generator) - 1).to(device)


@dataclass(frozen=True)
class Geometry:
    """How much a patch may be turned, scaled, sheared, moved and flipped.

    ``rotation``, ``shear``: degrees to either side, below 90; ``scale``: the part by which the window may be larger or
    smaller; ``shift``: parts of the patch's width; ``flips``: left-right and top-bottom, each half of the time.
    """

    rotation: float = 30.0
    scale: float = 0.2
    shear: float = 10.0
    shift: float = 0.1
    flips: bool = True

    def margin(self, patch: int) -> int:
        """Pixels around a patch that a change may look at: the corners of the largest change, rounded up."""
        turn = radians(min(self.rotation, 45.0))  # where the corners reach farthest
        reach = (1 + self.scale) * (cos(turn) + sin(turn) + tan(radians(self.shear)))
        half = (patch - 1) / 2
        return max(0, ceil(reach * half + self.shift * patch - half))

    def draw(
        self, count: int, patch: int, device: torch.device, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Where pixels come from: matrices (count, 2, 2) and shifts (count, 2), both in (row, col) pixels.

        A pixel at x from the patch's centre takes its value from matrix x + shift.
        """
        numbers = spread(count, 7, device, generator)
        angle, shear = radians(self.rotation) * numbers[:, 0], (radians(self.shear) * numbers[:, 1]).tan()
        size = 1 + self.scale * numbers[:, 2, None].expand(-1, 2)
        if self.flips:
            size = size * torch.where(numbers[:, 3:5] < 0, -1.0, 1.0)
        c, s = angle.cos(), angle.sin()
        columns = [torch.stack([c, s], dim=1), torch.stack([c * shear - s, s * shear + c], dim=1)]
        return torch.stack(columns, dim=2) * size[:, None], self.shift * patch * numbers[:, 5:7]


def warp(window: Tensor, matrix: Tensor, shift: Tensor, patch: int) -> Tensor:
    """Patches (n, bands, patch, patch) read bilinearly from windows (n, bands, size, size) around them.

    ``matrix`` (n, 2, 2) and ``shift`` (n, 2) as ``Geometry.draw`` gives them. The patch lies in the middle of its
    window. What would lie outside the window takes the nearest border pixel.
    """
    size = window.shape[-1]
    step = torch.arange(patch, device=window.device, dtype=window.dtype) - (patch - 1) / 2
    place = torch.stack(torch.meshgrid(step, step, indexing="ij"), dim=-1).reshape(-1, 2)
    with torch.autocast(window.device.type, enabled=False):  # half precision moves coordinates by a pixel
        source = place @ matrix.transpose(1, 2) + shift[:, None] + (size - 1) / 2
    grid = ((2 * source + 1) / size - 1).flip(-1).view(len(window), patch, patch, 2)
    return functional.grid_sample(window, grid, mode="bilinear", padding_mode="border", align_corners=False)


def gain_offset(x: Tensor, gain: float, offset: float, generator: torch.Generator | None = None) -> Tensor:
    """``x`` (n, bands, h, w) with a random gain in 1 +- ``gain`` and a random offset in +- ``offset``, band by band.

    On standardised values the offset is in standard deviations. It stands for haze and for what sensors differ by.
    """
    numbers = spread(len(x), 2 * x.shape[1], x.device, generator)[..., None, None]
    return torch.addcmul(offset * numbers[:, x.shape[1] :], x, 1 + gain * numbers[:, : x.shape[1]])


@dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue of the first three bands, one after another.

    Amounts: the first three in 1 +- amount, hue in +- amount of a full turn about the grey axis. ``black`` and
    ``white`` are the values that stand for 0 and 1; nothing is clipped. Where fewer than three bands are ``visible``
    there is no colour: these have their brightness and contrast changed. Further bands stay as they are.
    """

    black: float
    white: float
    visible: int = 3
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.125

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Patches (n, bands, h, w), changed."""
        numbers = spread(len(x), 4, x.device, generator)
        bands = min(self.visible, 3, x.shape[1])
        colour = (x[:, :bands] - self.black) / (self.white - self.black)
        brightness, contrast, saturation = (
            1 + amount * numbers[:, number, None, None, None]
            for number, amount in enumerate((self.brightness, self.contrast, self.saturation))
        )
        colour = brightness * colour
        colour = _blend(colour, _grey(colour).mean(dim=(2, 3), keepdim=True), contrast)
        if bands == 3:
            colour = _blend(colour, _grey(colour), saturation)
            with torch.autocast(x.device.type, enabled=False):
                colour = torch.einsum("nij,njhw->nihw", hue_rotation(2 * pi * self.hue * numbers[:, 3]), colour)
        return torch.cat([colour * (self.white - self.black) + self.black, x[:, bands:]], dim=1)


def _blend(x: Tensor, other: Tensor, share: Tensor) -> Tensor:
    return share * x + (1 - share) * other


def _grey(colour: Tensor) -> Tensor:
    """Grey values (n, 1, h, w): of three bands as the eye sees them, else their mean."""
    if colour.shape[1] != len(GREY):
        return colour.mean(dim=1, keepdim=True)
    return (colour * colour.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)


def hue_rotation(angle: Tensor) -> Tensor:
    """Matrices (n, 3, 3) that turn colours by ``angle`` (n,), in radians, about the axis of equal bands."""
    even = torch.full((3, 3), 1 / 3, dtype=angle.dtype, device=angle.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=angle.dtype, device=angle.device) / sqrt(3)
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return c * torch.eye(3, dtype=angle.dtype, device=angle.device) + (1 - c) * even + s * cross


@dataclass(frozen=True)
class Pairs:
    """The other half of a pair for each sample: a neighbour, a random change, or a changed neighbour.

    ``neighbours``: take a patch up to one patch away in rows and columns, where it is valid, in place of the sample.
    """

    geometry: Geometry | None
    photometry: Photometry | None = None
    neighbours: bool = False

    def draw(self, samples: Samples, indices: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Patches (n, bands, patch, patch) that belong to the samples ``indices`` (n,).

        Raises: TrainingError for neighbours of samples that have no surroundings.
        """
        offset = self._neighbours(samples, indices, generator) if self.neighbours else None
        if self.geometry is None:
            x = _gather(samples, indices, samples.patch, offset)
        else:
            window = surroundings(samples, indices, self.geometry.margin(samples.patch), offset)
            matrix, shift = self.geometry.draw(len(indices), samples.patch, window.device, generator)
            x = warp(window, matrix, shift, samples.patch)
        return x if self.photometry is None else self.photometry(x, generator)

    @staticmethod
    def _neighbours(samples: Samples, indices: Tensor, generator: torch.Generator | None) -> Tensor:
        """Offsets (n, 2) in pixels of neighbours; zero where the one that was drawn holds invalid pixels."""
        patch = samples.patch
        drawn = torch.randint(-patch, patch + 1, (len(indices), 2), generator=generator).to(indices.device)
        share = samples.valid(indices, patch, drawn).flatten(1).float().mean(dim=1)
        return drawn * (share >= VALID_SHARE)[:, None]


def surroundings(samples: Samples, indices: Tensor, margin: int, offset: Tensor | None = None) -> Tensor:
    """Windows (n, bands, patch + 2 margin, the same) around samples, or around samples moved by ``offset`` (n, 2).

    The margin is as wide as the samples have it. A window with invalid pixels is the patch alone, its border repeated.
    """
    patch = samples.patch
    margin = min(margin, (samples.window - patch) // 2)
    if margin == 0:
        return _gather(samples, indices, patch, offset)
    size = patch + 2 * margin
    whole = samples.valid(indices, size, (0, 0) if offset is None else offset).flatten(1).all(dim=1)
    alone = functional.pad(_gather(samples, indices, patch, offset), (margin,) * 4, mode="replicate")
    return torch.where(whole[:, None, None, None], _gather(samples, indices, size, offset), alone)


def _gather(samples: Samples, indices: Tensor, size: int, offset: Tensor | None) -> Tensor:
    return samples.gather(indices, size, (0, 0) if offset is None else offset)
