"""The mean spectrum of every cluster of a label map, from one pass over map and scene."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rsseg.errors import GridError
from rsseg.label.maps import LabelMap, describe
from rsseg.label.moments import Moments
from rsseg.prefetch import prefetch
from rsseg.progress import SILENT, Reporter
from rsseg.scene.raster import label_windows, same_grid
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class ClusterSpectra:
    """What the clusters of a map look like in a scene, by cluster value; row 0 is no data and empty.

    ``pixels`` (256,) counts the map's pixels, ``counts`` (256,) those of them with valid values; ``means`` and
    ``variances`` (256, bands) float64 are over the latter, in the scene's units and their square: 0 where there are
    none.
    """

    bands: tuple[str, ...]
    pixels: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @property
    def standardised(self) -> np.ndarray:
        """Means (256, bands) in standard deviations of each band over all counted pixels, from the mean of them all."""
        total = max(1, int(self.counts.sum()))
        share = self.counts[:, None] / total
        centred = self.means - _column_sums(share * self.means)
        deviation = np.sqrt(_column_sums(share * (self.variances + centred**2)))
        return np.asarray(centred / np.where(deviation > 0, deviation, 1.0))


def check_same_grid(source: LabelMap, scene: Scene) -> None:
    """Refuse a scene that does not lie on the map's grid.

    Raises: GridError, with both grids.
    """
    if not same_grid(source.grid, scene.grid):
        raise GridError(
            f"{scene.path} lies on another grid than {source.path}: {describe(scene.grid)}, but the map has "
            f"{describe(source.grid)}; give the scene that the map was made of, at pixel resolution "
            "and with the --aoi that the map was made with"
        )


def cluster_spectra(source: LabelMap, scene: Scene, reporter: Reporter = SILENT) -> ClusterSpectra:
    """Read map and scene once, in strips of 512 rows, and gather the moments of every cluster.

    Raises: GridError if the two lie on different grids.
    """
    check_same_grid(source, scene)
    moments = Moments(len(scene.bands))
    pixels = np.zeros(256, np.int64)
    with reporter.task("spectra", source.grid.height) as task:
        for labels, values, valid in map_and_scene(source, scene):
            pixels += np.bincount(labels.ravel(), minlength=256)
            moments.gather(labels * valid, values)
            task.advance(len(labels))
    pixels[0] = 0
    counts, scales = moments.counts, scene.scales
    means = np.where(counts[:, None] > 0, moments.means * scales + scene.offsets, 0.0)
    variances = moments.variances * scales**2
    return ClusterSpectra(scene.band_names, pixels, counts, means, variances)


def pooled_spectra(parts: Sequence[ClusterSpectra]) -> ClusterSpectra:
    """The spectra of clusters that are the same on several maps, over all their pixels.

    All parts have the same bands in the same units.
    """
    if len(parts) == 1:
        return parts[0]
    counts = np.array([part.counts for part in parts])[:, :, None]
    means, variances = (np.array([getattr(part, name) for part in parts]) for name in ("means", "variances"))
    total = np.maximum(counts.sum(axis=0), 1)
    mean = (counts * means).sum(axis=0) / total
    variance = (counts * (variances + (means - mean) ** 2)).sum(axis=0) / total
    pixels = np.sum([part.pixels for part in parts], axis=0)
    return ClusterSpectra(parts[0].bands, pixels, counts.sum(axis=0)[:, 0], mean, variance)


def spectra_of_unmet(
    source: LabelMap, scene: Scene | None, table: np.ndarray, reporter: Reporter = SILENT
) -> ClusterSpectra | None:
    """The clusters' spectra where one of them meets no class; else, and without a scene, None.

    Args:
        table: (256, classes + 1) contingency of the clusters against the classes, no data included.
    """
    unmet = table[1:].any(axis=1) & ~table[1:, 1:].any(axis=1)
    return cluster_spectra(source, scene, reporter) if scene is not None and unmet.any() else None


def _column_sums(values: np.ndarray) -> np.ndarray:
    """Sums of columns that do not depend on the order of the rows, not even in the last digit."""
    return np.array([math.fsum(column) for column in values.T])


def map_and_scene(source: LabelMap, scene: Scene) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Labels (h, w), stored values (bands, h, w) and valid (h, w) of each strip; both files are read ahead."""
    windows = tuple(label_windows(source.grid))
    with scene.open() as reader:
        pairs = zip(prefetch(map(source.read, windows)), prefetch(map(reader.read, windows)), strict=True)
        for labels, (values, valid) in pairs:
            yield labels, values, valid
