"""Clusters with similar spectra become one class: Ward's method on mean spectra, weighted by pixels."""

import numpy as np


def merge_similar(spectra: np.ndarray, pixels: np.ndarray, classes: int) -> np.ndarray:
    """Groups of clusters whose merging adds least to the spread within groups.

    Ward (1963), "Hierarchical grouping to optimize an objective function": the two groups a, b are merged whose
    n_a n_b / (n_a + n_b) |m_a - m_b|^2 is smallest, with n pixels and the mean m of their pixels, until ``classes`` are
    left. The result does not depend on how the clusters are numbered.

    Args:
        spectra: (clusters, bands) mean spectra in comparable units, such as standard deviations of the bands.
        pixels: (clusters,) pixels of each, at least 1.
        classes: groups wanted; with fewer clusters each is a group of its own.

    Returns: (clusters,) int64, the group of each from 0, by falling number of pixels.
    """
    order = np.lexsort((pixels, *spectra.T[::-1]))  # ties are broken by the spectra, never by the numbers
    means, weights = spectra[order].astype(np.float64), pixels[order].astype(np.float64)
    members = [[int(cluster)] for cluster in order]
    while len(members) > classes:
        first, second = _cheapest(means, weights)
        together = weights[first] + weights[second]
        means[first] = (weights[first] * means[first] + weights[second] * means[second]) / together
        weights[first] = together
        members[first] += members.pop(second)
        means, weights = np.delete(means, second, axis=0), np.delete(weights, second)
    groups = np.empty(len(spectra), np.int64)
    for number, place in enumerate(np.argsort(-weights, kind="stable")):
        groups[members[place]] = number
    return groups


def _cheapest(means: np.ndarray, weights: np.ndarray) -> tuple[int, int]:
    """The two groups whose merging costs least, the earlier one first."""
    costs = distances(means, means) ** 2 * (weights[:, None] * weights / (weights[:, None] + weights))
    costs[np.tril_indices(len(costs))] = np.inf
    first, second = np.unravel_index(int(costs.argmin()), costs.shape)
    return int(first), int(second)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances (n, m) of points (n, bands) and (m, bands); no shortcut, so that equal points give 0."""
    return np.asarray(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)))


def group_means(spectra: np.ndarray, pixels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean spectrum (groups, bands) of all pixels of each group."""
    count = int(groups.max()) + 1
    sums = np.stack([np.bincount(groups, pixels * band, count) for band in spectra.T], axis=1)
    return np.asarray(sums / np.bincount(groups, pixels, count)[:, None])


def doubts(spectra: np.ndarray, owners: np.ndarray, centres: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How close the next class is: (clusters,) d / (d + e), with d to the own class's nearest centre, e to another's.

    0 is no doubt, 0.5 means equally near; NaN where there is no other class.

    Args:
        spectra: (clusters, bands).
        owners: (clusters,) the class of each, which has a centre.
        centres: (centres, bands).
        classes: (centres,) the class of each.
    """
    away = distances(spectra, centres)
    own = owners[:, None] == classes
    near = np.where(own, away, np.inf).min(axis=1)
    other = np.where(own, np.inf, away).min(axis=1)
    both = np.where(near + other > 0, near + other, 1.0)
    doubt = np.where(near + other > 0, near / both, 0.5)
    return np.where(np.isinf(other), np.nan, doubt)
