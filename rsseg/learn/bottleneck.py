"""Many clusters become few: at each step the two are merged that lose least, of what a pixel's cluster tells about its
neighbours' and of what it tells about the pixel itself.

The first is the agglomerative information bottleneck (Slonim and Tishby, 1999, "Agglomerative information bottleneck",
section 3) with a pixel's neighbours as the relevant variable, the second Ward's method (1963). Spectra alone cut one
land cover into bright and dark; neighbours alone join what differs but lies mixed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """One stage of the merging: the group of each cluster, numbered by falling size, and what the groups still tell.

    ``information``: of the mutual information between neighbours' clusters, ``variance``: of the spread of the centres,
    the parts that are left, in [0, 1]. ``nats``: that information itself.
    """

    groups: NDArray[np.int64]
    information: float
    variance: float
    nats: float

    @property
    def classes(self) -> int:
        """How many groups there are."""
        return int(self.groups.max()) + 1


def neighbour_counts(labels: Tensor, clusters: int, distances: Sequence[int]) -> Tensor:
    """How often two clusters lie at one of the distances, in pixels, along rows, columns and both diagonals.

    ``labels``: (n, h, w) int64, below 0 where a pixel is not to count. Returns (clusters, clusters) float64, symmetric.
    """
    counts = torch.zeros(clusters * clusters, dtype=torch.float64, device=labels.device)
    for far in distances:
        for first, second in _pairs(labels, far):
            both = (first >= 0) & (second >= 0)
            code = first[both] * clusters + second[both]
            counts += torch.bincount(code, minlength=clusters * clusters)
    table = counts.view(clusters, clusters)
    return table + table.T


def _pairs(labels: Tensor, far: int) -> list[tuple[Tensor, Tensor]]:
    """Pixels and their neighbours at a distance: to the right, below, and on both diagonals."""
    down, right = labels[:, far:], labels[:, :, far:]
    return [
        (labels[:, :, :-far], right),
        (labels[:, :-far], down),
        (labels[:, :-far, :-far], labels[:, far:, far:]),
        (labels[:, :-far, far:], labels[:, far:, :-far]),
    ]


def mutual_information(counts: Floats) -> float:
    """Information in nats between the two variables whose joint counts (n, n) are given; 0 for an empty table."""
    total = counts.sum()
    if total <= 0:
        return 0.0
    joint = counts / total
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    return float(_xlogx(joint).sum() - _xlogx(rows).sum() - _xlogx(columns).sum())


def merge_levels(counts: Floats, pixels: Floats, centres: Floats, weight: float) -> list[Level]:
    """Every stage of the merging, from all clusters to two groups.

    Args:
        counts: (clusters, clusters), symmetric, how often two clusters are neighbours.
        pixels: (clusters,) pixels of each, none of them 0.
        centres: (clusters, width) features in comparable units.
        weight: what a part of the spread counts against the same part of the information.
    """
    groups = np.arange(len(pixels))
    means, sizes, joint = centres.astype(np.float64), pixels.astype(np.float64), counts / max(counts.sum(), 1.0)
    whole = max(mutual_information(joint), 1e-12)
    spread = max(_spread(sizes, means), 1e-12)
    levels = [_level(groups, joint, sizes, means, (whole, spread))]
    while len(sizes) > 2:
        costs = np.stack([_costs(i, joint, sizes, means, whole, weight / spread) for i in range(len(sizes))])
        first, second = sorted(divmod(int(costs.argmin()), len(sizes)))
        joint = _joined(joint, first, second)
        means = _mean_joined(means, sizes, first, second)
        sizes = np.delete(_added(sizes, first, second), second)
        groups = np.where(groups == second, first, groups)
        groups = np.where(groups > second, groups - 1, groups)
        levels.append(_level(groups, joint, sizes, means, (whole, spread)))
    return levels


def level_of(levels: Sequence[Level], classes: int) -> Level:
    """The first stage of at most so many classes, or the last there is."""
    return next((level for level in levels if level.classes <= classes), levels[-1])


def _costs(i: int, joint: Floats, sizes: Floats, means: Floats, whole: float, weight: float) -> Floats:
    """What merging group ``i`` with each other one loses; infinite with itself."""
    rows = joint.sum(axis=1)
    alone = _xlogx(joint).sum(axis=1) - _xlogx(rows)
    together = _xlogx(joint[i] + joint).sum(axis=1) - _xlogx(rows[i] + rows)
    information = np.maximum(alone[i] + alone - together, 0.0) / whole
    ward = sizes[i] * sizes / (sizes[i] + sizes) * ((means[i] - means) ** 2).sum(axis=1) / sizes.sum()
    cost = information + weight * ward
    cost[i] = np.inf
    return np.asarray(cost)


def _level(groups: NDArray[np.int64], joint: Floats, sizes: Floats, means: Floats, of: tuple[float, float]) -> Level:
    """The stage at hand; ``of``: the information and the spread before any merging."""
    order = np.argsort(-sizes, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    nats, (whole, spread) = mutual_information(joint), of
    return Level(rank[groups], min(1.0, nats / whole), min(1.0, _spread(sizes, means) / spread), nats)


def _joined(joint: Floats, first: int, second: int) -> Floats:
    """The joint matrix with one row and column in the place of two."""
    rows = np.delete(_added(joint, first, second), second, axis=0)
    return np.delete(_added(rows.T, first, second), second, axis=0).T


def _added(table: Floats, first: int, second: int) -> Floats:
    changed = table.copy()
    changed[first] += table[second]
    return changed


def _mean_joined(means: Floats, sizes: Floats, first: int, second: int) -> Floats:
    changed = means.copy()
    changed[first] = np.average(means[[first, second]], axis=0, weights=sizes[[first, second]])
    return np.delete(changed, second, axis=0)


def _spread(sizes: Floats, means: Floats) -> float:
    """The mean squared distance of all pixels' centres from their mean."""
    share = sizes / sizes.sum()
    middle = (share[:, None] * means).sum(axis=0)
    return float((share[:, None] * (means - middle) ** 2).sum())


def _xlogx(values: Floats) -> Floats:
    """x ln x, and 0 at 0."""
    return np.asarray(np.where(values > 0, values * np.log(np.maximum(values, 1e-300)), 0.0))
