"""One set of classes for the clusters of many maps that were made by models of their own."""

from collections.abc import Sequence

import numpy as np

from rsseg.label.merging import distances, group_means

STARTS = 10
"""Starts of k-means, of which the best is taken."""


def within_spread(
    counts: Sequence[np.ndarray], means: Sequence[np.ndarray], variances: Sequence[np.ndarray]
) -> np.ndarray:
    """The standard deviation of each band within scenes, over the pixels of all: (bands,), 1 where it is 0.

    How far the scenes' means lie apart does not count: haze and season shift whole scenes.

    Args:
        counts: (clusters,) pixels of each cluster, by scene.
        means, variances: (clusters, bands) of them, in one unit and its square.
    """
    squares, pixels = np.zeros(means[0].shape[1]), 0
    for count, mean, variance in zip(counts, means, variances, strict=True):
        weights = count[:, None]
        centre = (weights * mean).sum(axis=0) / max(1, int(count.sum()))
        squares += (weights * (variance + (mean - centre) ** 2)).sum(axis=0)
        pixels += int(count.sum())
    spread = np.sqrt(squares / max(1, pixels))
    return np.asarray(np.where(spread > 0, spread, 1.0))


def common_centres(points: np.ndarray, pixels: np.ndarray, classes: int) -> np.ndarray:
    """Mean spectra (classes, bands) of groups of clusters with similar ones, by falling pixels.

    K-means (Lloyd 1982) on the clusters' means, each weighted by its pixels: what it adds up is the part of the pixels'
    own k-means error that grouping clusters makes. The result does not depend on the order of the clusters.

    Args:
        points: (clusters, bands) mean spectra in standard deviations.
        pixels: (clusters,) pixels of each, at least 1.
        classes: groups wanted; there are fewer where fewer spectra differ.
    """
    order = np.lexsort((pixels, *points.T[::-1]))
    ordered, weights = points[order], pixels[order].astype(np.float64)
    groups = _groups(ordered, weights, min(classes, len(np.unique(ordered, axis=0))))
    sizes = np.bincount(groups, weights)
    centres = group_means(ordered, weights, groups)
    return np.asarray(centres[np.lexsort((*centres.T[::-1], -sizes))])


def nearest_class(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The place of the nearest centre of each point: (points,) int64; of equally near ones the first."""
    return np.asarray(distances(points, centres).argmin(axis=1))


def _groups(points: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """The group of each point from 0, none empty."""
    from sklearn.cluster import KMeans

    fitted = KMeans(classes, n_init=STARTS, random_state=0).fit(points, sample_weight=weights / weights.max())
    return np.unique(fitted.labels_, return_inverse=True)[1].astype(np.int64)
