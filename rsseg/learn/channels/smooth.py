"""Smoothing of the bands that keeps edges, and how strong noise is."""

from collections.abc import Iterator
from math import sqrt
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from rsseg.learn.channels.base import Pixels, Sample
from rsseg.learn.channels.pixels import grown
from rsseg.scene.grid import Window

STRENGTH = 2.0
"""How many times the noise two pixels may differ and still count as alike."""

LEAST = 0.03
"""The least noise, in standard deviations of a band."""

BLOCK = 1 << 15
"""Pixels smoothed at a time: what one takes a dozen passes over stays in a core's cache."""

FAR = 1e10
"""The value of invalid pixels while smoothing: so far from all others that its weight is exactly 0."""


def noise(differences: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise (...,) of bands, from differences (n, ...) of neighbours: 1.4826 times the median of their sizes.

    It is at least ``LEAST`` of ``spread``, the bands' standard deviations; 1 for bands that are constant.
    """
    found = 1.4826 * np.median(np.abs(differences), axis=0) if len(differences) else 0.0 * spread
    least: NDArray[np.float64] = np.maximum(found, LEAST * spread)
    return np.where(least > 0, least, 1.0)


class Bilateral(BaseModel):
    """A bilateral filter (Tomasi and Manduchi, 1998): a mean over neighbours, weighted by how near and how alike.

    The weight of a neighbour at (i, j) is exp(-0.5 mean_b ((q_b - p_b) / sigma_b)^2) exp(-0.5 (i^2 + j^2) / (0.8 r)^2).
    ``sigma``: (bands,) in physical units, ``STRENGTH`` times the noise; ``mean``: (bands,), about which is computed;
    ``radius``: r, of a square window; ``passes``: how often the filter is applied.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mean: tuple[float, ...]
    sigma: tuple[float, ...]
    radius: int = Field(3, ge=1)
    passes: int = Field(1, ge=1)

    @classmethod
    def fit(cls, sample: Sample, strength: float = STRENGTH, radius: int = 3, passes: int = 1) -> Self:
        """The filter for the noise of a sample, of which pixels may differ by ``strength`` times and be alike."""
        sigma = strength * noise(sample.differences, sample.values.std(axis=0))
        mean = sample.values.mean(axis=0)
        return cls(mean=tuple(mean.tolist()), sigma=tuple(sigma.tolist()), radius=radius, passes=passes)

    @property
    def reach(self) -> int:
        """Pixels around a window that its smoothed values depend on."""
        return self.radius * self.passes

    def smooth(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Smoothed values (bands, h - 2 reach, w - 2 reach) of (bands, h, w); invalid pixels count nowhere and are 0.

        Sums are taken neighbour by neighbour in one order, so that a pixel's value depends on its neighbours alone.
        """
        scaled = self.scaled(values)
        for _ in range(self.passes):
            scaled[:, ~valid] = FAR
            scaled = self._pass(scaled)
            valid = valid[self.radius : -self.radius, self.radius : -self.radius]
        scaled *= self._unit.astype(np.float32)
        scaled += self._mean
        scaled[:, ~valid] = 0
        return scaled

    @property
    def _unit(self) -> NDArray[np.float64]:
        return np.array(self.sigma)[:, None, None] * sqrt(2 * len(self.sigma))

    @property
    def _mean(self) -> NDArray[np.float32]:
        return np.array(self.mean, np.float32)[:, None, None]

    def scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values (bands, h, w) in units in which the sum of squared differences is the exponent of a pair's weight."""
        return (values - self._mean) * (1 / self._unit).astype(np.float32)

    def _pass(self, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
        """One pass over (bands, h, w), by blocks of rows; the result lacks ``radius`` pixels on each side."""
        bands, height, width = scaled.shape
        r = self.radius
        result = np.empty((bands, height - 2 * r, width - 2 * r), np.float32)
        rows = max(4 * r, BLOCK // width)
        for top in range(0, height - 2 * r, rows):
            block = np.ascontiguousarray(scaled[:, top : top + rows + 2 * r])
            mean = self._weighted(block.reshape(bands, -1), width).reshape(block.shape)
            result[:, top : top + rows] = mean[:, r:-r, r:-r]
        return result

    def _weighted(self, flat: NDArray[np.float32], width: int) -> NDArray[np.float32]:
        """The weighted means (bands, n) of pixels (bands, n) that lie row after row, each of ``width``.

        A pair of pixels has the same weight seen from either, so half of the neighbours are enough. Neighbours beyond
        a row's end are of another row: pixels within ``radius`` of the block's sides come out wrong.
        """
        total, weights = flat.copy(), np.ones(flat.shape[1], np.float32)
        part = np.empty_like(weights)
        for step, w in self.pairs(flat, width):
            p = part[: len(w)]
            weights[: len(w)] += w
            weights[step:] += w
            for band, pixels in enumerate(flat):
                total[band, : len(w)] += np.multiply(w, pixels[step:], out=p)
                total[band, step:] += np.multiply(w, pixels[: len(w)], out=p)
        total /= weights
        return total

    def pairs(self, flat: NDArray[np.float32], width: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Weights of all pairs of neighbours among scaled pixels (bands, n) that lie row after row, each of ``width``.

        Gives for each place of a later neighbour how many pixels later it lies, and the weights (n - step,) of every
        pixel with its neighbour there; their memory is used again for the next place.
        """
        weight, part = np.empty(flat.shape[1], np.float32), np.empty(flat.shape[1], np.float32)
        for i, j in self._half():
            step = i * width + j
            w, p = weight[: len(weight) - step], part[: len(part) - step]
            w.fill(np.float32(0.5 * (i * i + j * j) / (0.8 * self.radius) ** 2))
            for pixels in flat:
                np.subtract(pixels[step:], pixels[: len(w)], out=p)
                np.multiply(p, p, out=p)
                np.add(w, p, out=w)
            np.exp(np.negative(w, out=w), out=w)
            yield step, w

    def _half(self) -> list[tuple[int, int]]:
        """The neighbours (i, j) that come after a pixel, row by row."""
        reach = range(-self.radius, self.radius + 1)
        return [(i, j) for i in range(self.radius + 1) for j in reach if (i, j) > (0, 0)]


class SmoothPixels:
    """Pixels with their bands smoothed."""

    def __init__(self, pixels: Pixels, smoothing: Bilateral) -> None:
        self.pixels, self.smoothing = pixels, smoothing

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.pixels.shape

    def read(self, window: Window, margin: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values and valid pixels, as ``Pixels`` has them."""
        reach = self.smoothing.reach
        values, valid = self.pixels.read(grown(window, margin + reach))
        return self.smoothing.smooth(values, valid), valid[reach:-reach, reach:-reach]
