"""Label maps whose boundaries are given back to the spectrum: each pixel takes the likeliest of the labels nearby.

A network that sees patches or neighbours knows what lies where, and blurs where it ends. What its labels look like is
read off their insides, and near boundaries pixels choose again: one pass of iterated conditional modes (Besag, 1986,
"On the statistical analysis of dirty pictures", section 2.5) over the labels that the network found within reach.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from rsseg.label.maps import LabelMap
from rsseg.label.moments import Moments
from rsseg.label.refine import TILE, Labels, by_tiles, read_around
from rsseg.learn.channels.base import Pixels
from rsseg.prefetch import prefetch
from rsseg.scene.grid import Window
from rsseg.scene.raster import label_windows

INSIDE = 50
"""Pixels inside a label that tell what it looks like; labels with fewer are judged by all their pixels."""

LEAST = 0.05
"""What is added to each deviation, in those of the whole band: labels of one value would let no other pixel in."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Looks:
    """What labels look like: means and deviations (256, bands) of their pixels' values, by label."""

    means: Floats
    deviations: Floats

    def likelihood(self, label: int, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """ln of the normal density, less a constant, of values (bands, n) under a label, bands being independent."""
        total = np.zeros(values.shape[1], np.float32)
        for band, mean, deviation in zip(values, self.means[label], self.deviations[label], strict=True):
            off = (band - np.float32(mean)) * np.float32(1 / deviation)
            total -= np.float32(0.5) * off * off + np.float32(np.log(deviation))
        return total


def looks_of(source: LabelMap, pixels: Pixels) -> Looks:
    """What the labels of a map look like in a scene on its grid: one pass over both."""

    def read(window: Window) -> tuple[Labels, NDArray[np.float32], NDArray[np.bool_]]:
        return read_around(source, window, 1), *pixels.read(window)

    inside, everywhere = Moments(pixels.shape[0]), Moments(pixels.shape[0])
    for around, values, valid in prefetch(map(read, label_windows(source.grid))):
        labels = around[1:-1, 1:-1] * valid
        everywhere.gather(labels, values)
        inside.gather(labels * surrounded(around), values)
    enough = (inside.counts >= INSIDE)[:, None]
    means = np.where(enough, inside.means, everywhere.means)
    deviations = np.sqrt(np.where(enough, inside.variances, everywhere.variances))
    return Looks(means, deviations + LEAST * _spread(everywhere))


def _spread(moments: Moments) -> Floats:
    """The deviation (bands,) of all labelled pixels; 1 for bands that are constant."""
    share = moments.counts[:, None] / max(1, moments.counts.sum())
    centred = moments.means - (share * moments.means).sum(axis=0)
    spread = np.sqrt((share * (moments.variances + centred**2)).sum(axis=0))
    return np.where(spread > 0, spread, 1.0)


def surrounded(labels: Labels) -> NDArray[np.bool_]:
    """Where a pixel has the label of the four beside it: (h, w) of labels (h + 2, w + 2)."""
    own = labels[1:-1, 1:-1]
    beside = (labels[:-2, 1:-1], labels[2:, 1:-1], labels[1:-1, :-2], labels[1:-1, 2:])
    return np.logical_and.reduce([own == other for other in beside])


def spectral_choice(
    labels: Labels, values: NDArray[np.float32], valid: NDArray[np.bool_], looks: Looks, radius: int, neighbours: float
) -> Labels:
    """Each pixel takes, of the labels within ``radius``, the likeliest; the smaller of equal ones.

    A label's score is its ``Looks.likelihood`` of the pixel and ``neighbours`` for each of the 3 x 3 pixels around
    that has it.

    Args:
        labels: (h, w), 0 for pixels without a label, which neither count nor get one.
        values: (bands, h, w) as the looks were read off.
        valid: (h, w); labelled pixels without valid values keep their label and do not count.

    Returns: (h - 2 radius, w - 2 radius).
    """
    middle, around = slice(radius, -radius), slice(radius - 1, 1 - radius or None)
    voters = valid & (labels > 0)
    seen, chosen = values[:, middle, middle], labels[middle, middle].copy()
    best = np.full(chosen.shape, -np.inf, np.float32)
    for label in np.unique(labels[voters]).tolist():
        own = voters & (labels == label)
        near = maximum_filter(own, 2 * radius + 1)[middle, middle] & voters[middle, middle]
        scores = looks.likelihood(label, seen[:, near])
        scores += np.float32(neighbours) * _count(own[around, around])[near]
        better = scores > best[near]
        place = np.flatnonzero(near)[better]
        chosen.flat[place], best.flat[place] = label, scores[better]
    return chosen


def _count(own: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How many of 3 x 3 pixels are set: (h - 2, w - 2) of (h, w)."""
    rows = own[:-2].astype(np.float32) + own[1:-1] + own[2:]
    return np.asarray(rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:])


def refined_by_spectrum(
    source: LabelMap, pixels: Pixels, radius: int, neighbours: float
) -> Iterator[tuple[Window, Labels]]:
    """A map with ``spectral_choice`` applied, as strips of its full width; the map and the scene are read twice.

    ``pixels``: the scene on the map's grid, smoothed if it is noisy.
    """
    looks = looks_of(source, pixels)
    choose = partial(spectral_choice, looks=looks, radius=radius, neighbours=neighbours)

    def read(window: Window) -> tuple[Labels, NDArray[np.float32], NDArray[np.bool_]]:
        return read_around(source, window, radius), *pixels.read(window, radius)

    windows = tuple(label_windows(source.grid, TILE))
    for window, arrays in zip(windows, prefetch(map(read, windows)), strict=True):
        yield window, by_tiles(choose, arrays, TILE, radius)
