"""Merging clusters: its costs against a loop over the definition, and what it must merge first."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rsseg.learn.bottleneck import level_of, merge_levels, mutual_information, neighbour_counts


def entropy(shares: NDArray) -> float:
    return -sum(float(p) * np.log(p) for p in np.ravel(shares) if p > 0)


def slow_counts(labels: NDArray, clusters: int, distances: tuple[int, ...]) -> NDArray:
    """Every pair of pixels, both ways."""
    found = np.zeros((clusters, clusters))
    for tile in labels:
        for row, col in np.ndindex(tile.shape):
            for far in distances:
                for down, right in ((0, far), (far, 0), (far, far), (far, -far)):
                    r, c = row + down, col + right
                    if r < tile.shape[0] and 0 <= c < tile.shape[1] and tile[row, col] >= 0 and tile[r, c] >= 0:
                        found[tile[row, col], tile[r, c]] += 1
                        found[tile[r, c], tile[row, col]] += 1
    return found


def test_neighbours_are_counted_as_the_loop_does() -> None:
    labels = np.random.default_rng(0).integers(-1, 4, (3, 9, 11))
    found = neighbour_counts(torch.from_numpy(labels), 4, (1, 2, 4))
    assert np.array_equal(found.numpy(), slow_counts(labels, 4, (1, 2, 4)))


def test_information_of_the_extremes() -> None:
    assert mutual_information(np.outer([1, 2, 3], [4, 5, 1]).astype(float)) == pytest.approx(0, abs=1e-12)
    assert mutual_information(np.diag([1.0, 1, 2])) == pytest.approx(entropy(np.array([0.25, 0.25, 0.5])))
    assert mutual_information(np.zeros((3, 3))) == 0


def random_case(clusters: int, seed: int) -> tuple[NDArray, NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    counts = rng.random((clusters, clusters)) ** 3
    return counts + counts.T, rng.integers(1, 50, clusters).astype(float), rng.normal(size=(clusters, 3))


def merge_clusters(
    counts: NDArray, pixels: NDArray, centres: NDArray, classes: int, weight: float = 3.0
) -> NDArray[np.int64]:
    return level_of(merge_levels(counts, pixels, centres, weight), classes).groups


def explained(pixels: NDArray, centres: NDArray, groups: NDArray) -> float:
    """The part of the centres' spread, each of its pixels, that lies between groups: 1 less the part within them."""
    middle = np.average(centres, axis=0, weights=pixels)
    within = 0.0
    for group in set(groups):
        own = groups == group
        mean = np.average(centres[own], axis=0, weights=pixels[own])
        within += (pixels[own, None] * (centres[own] - mean) ** 2).sum()
    return 1 - within / (pixels[:, None] * (centres - middle) ** 2).sum()


def slow_step(counts: NDArray, pixels: NDArray, centres: NDArray, weight: float) -> tuple[int, int]:
    """The pair of clusters whose merging loses least: information about the neighbour's cluster, and Ward's spread."""
    joint = counts / counts.sum()
    whole = 2 * entropy(joint.sum(axis=1)) - entropy(joint)
    middle = np.average(centres, axis=0, weights=pixels)
    spread = sum(n * ((c - middle) ** 2).sum() for n, c in zip(pixels, centres, strict=True)) / pixels.sum()
    costs = {}
    for i in range(len(pixels)):
        for j in range(i + 1, len(pixels)):
            p, q = joint[i].sum(), joint[j].sum()
            mixed = entropy((joint[i] + joint[j]) / (p + q))
            lost = (p + q) * mixed - p * entropy(joint[i] / p) - q * entropy(joint[j] / q)
            ward = pixels[i] * pixels[j] / (pixels[i] + pixels[j]) * ((centres[i] - centres[j]) ** 2).sum()
            costs[i, j] = lost / whole + weight * ward / pixels.sum() / spread
    return min(costs, key=lambda pair: costs[pair])


@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_first_merging_is_the_cheapest_by_the_definition(weight: float, seed: int) -> None:
    counts, pixels, centres = random_case(7, seed)
    groups = merge_clusters(counts, pixels, centres, 6, weight)
    first, second = slow_step(counts, pixels, centres, weight)
    assert groups[first] == groups[second] and len(set(groups)) == 6


def test_levels_go_down_by_one_and_lose_what_they_say() -> None:
    counts, pixels, centres = random_case(12, 5)
    levels = merge_levels(counts, pixels, centres, 3.0)
    assert [level.classes for level in levels] == list(range(12, 1, -1))
    assert levels[0].information == pytest.approx(1) and levels[0].variance == pytest.approx(1)
    for finer, coarser in pairwise(levels):
        assert coarser.information <= finer.information + 1e-12 and coarser.variance <= finer.variance + 1e-12
        pairs = set(zip(finer.groups, coarser.groups, strict=True))
        assert len(pairs) == finer.classes  # a group lies whole in one of the next level
    last = levels[-1]
    merged = np.zeros((2, 2))
    np.add.at(merged, (last.groups[:, None], last.groups), counts)
    assert last.information == pytest.approx(mutual_information(merged) / mutual_information(counts))
    assert last.variance == pytest.approx(explained(pixels, centres, last.groups))


def test_groups_are_numbered_by_size() -> None:
    counts, pixels, centres = random_case(9, 1)
    groups = merge_clusters(counts, pixels, centres, 4)
    sizes = np.bincount(groups, pixels)
    assert len(sizes) == 4 and (np.diff(sizes) <= 0).all()


def test_the_numbering_of_clusters_changes_nothing() -> None:
    counts, pixels, centres = random_case(10, 2)
    order = np.random.default_rng(0).permutation(10)
    groups = merge_clusters(counts, pixels, centres, 4)
    moved = merge_clusters(counts[order][:, order], pixels[order], centres[order], 4)
    assert np.array_equal(groups[order], moved)


def test_what_lies_mixed_is_merged_although_it_looks_different() -> None:
    """Two fields: one of bright and dark pixels mixed, one of a colour between them."""
    rng = np.random.default_rng(0)
    labels = np.full((1, 40, 80), 2)
    labels[0, :, :40] = rng.integers(0, 2, (40, 40))
    counts = neighbour_counts(torch.from_numpy(labels), 3, (1, 2)).numpy()
    pixels, centres = np.bincount(labels.ravel()).astype(float), np.array([[-1.0], [1.0], [0.0]])
    mixed = merge_clusters(counts, pixels, centres, 2, weight=0.1)
    assert mixed[0] == mixed[1] != mixed[2]
    by_spectrum = merge_clusters(counts, pixels, centres, 2, weight=100.0)
    assert by_spectrum[0] != by_spectrum[1]
