"""Channels made of the pixels around each pixel."""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from rsseg.learn.channels.base import Channel, Pixels, Sample
from rsseg.learn.channels.smooth import noise
from rsseg.learn.channels.spectral import brightness
from rsseg.scene.grid import Window

SIDE = 7
"""Side in pixels of the window that texture and means look at."""

MARGIN = SIDE // 2


class Texture(Channel):
    """ln of the standard deviation of brightness over the valid pixels around, which is at least the noise.

    ``floor``: the noise of brightness, in physical units, so that flat ground is not minus infinity.
    """

    kind: Literal["texture"]
    floor: float

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """Estimate the noise."""
        bright, differences = sample.values.mean(axis=1), sample.differences.mean(axis=1)
        return cls(kind="texture", floor=float(noise(differences, bright.std())))

    @property
    def names(self) -> tuple[str, ...]:
        """``texture``."""
        return (self.kind,)

    @property
    def reach(self) -> int:
        """Half of the window."""
        return MARGIN

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(1, h, w), ln of physical units."""
        values, valid = pixels.read(window, MARGIN)
        bright = brightness(values).astype(np.float64)
        count, total, square = (box_sums(plane) for plane in (valid, bright, bright * bright))
        count = np.maximum(count, 1)
        variance = np.maximum(square / count - (total / count) ** 2, self.floor**2)
        found: NDArray[np.float32] = (0.5 * np.log(variance)).astype(np.float32)
        return found[None]


class Means(Channel):
    """The means of the bands over the valid pixels around."""

    kind: Literal["means"]
    bands: tuple[str, ...]

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """The names are all there is."""
        return cls(kind="means", bands=sample.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """The bands' own, with what is made of them."""
        return tuple(f"{name} around" for name in self.bands)

    @property
    def reach(self) -> int:
        """Half of the window."""
        return MARGIN

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(bands, h, w), physical."""
        values, valid = pixels.read(window, MARGIN)
        count = np.maximum(box_sums(valid), 1)
        found = np.empty((len(values), window.height, window.width), np.float32)
        for mean, band in zip(found, values, strict=True):
            mean[:] = box_sums(band) / count
        return found


def box_sums(plane: NDArray) -> NDArray[np.float64]:
    """Sums over ``SIDE`` x ``SIDE`` pixels: (h, w) float64 of (h + 2 MARGIN, w + 2 MARGIN).

    Shifted arrays are added in one order; running sums would depend on where a window begins.
    """
    return _shifted_sum(_shifted_sum(plane.astype(np.float64), 0), 1)


def _shifted_sum(plane: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    count = plane.shape[axis] - 2 * MARGIN
    parts: Sequence[NDArray[np.float64]] = [plane.take(range(i, i + count), axis) for i in range(SIDE)]
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
