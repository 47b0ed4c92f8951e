import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from rsseg.label.merging import doubts, group_means, merge_similar


def partition(groups: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}


def spread(points: np.ndarray, pixels: np.ndarray) -> float:
    """The sum of squared distances of all pixels to their mean."""
    mean = (pixels[:, None] * points).sum(axis=0) / pixels.sum()
    return float((pixels * ((points - mean) ** 2).sum(axis=1)).sum())


def slow_ward(points: np.ndarray, pixels: np.ndarray, classes: int) -> set[frozenset[int]]:
    """Ward's method as its objective says: merge the pair after which the sum of all spreads is smallest."""
    groups = [[i] for i in range(len(points))]
    while len(groups) > classes:
        options = []
        for i in range(len(groups)):
            for j in range(i):
                trial = [group for place, group in enumerate(groups) if place not in (i, j)] + [groups[i] + groups[j]]
                options.append((sum(spread(points[group], pixels[group]) for group in trial), trial))
        groups = min(options, key=lambda option: option[0])[1]
    return {frozenset(group) for group in groups}


@pytest.mark.parametrize("classes", [1, 2, 4, 8, 9])
def test_groups_are_those_of_the_objective(rng: np.random.Generator, classes: int) -> None:
    points, pixels = rng.normal(size=(9, 3)), rng.integers(1, 5000, 9)
    assert partition(merge_similar(points, pixels, classes)) == slow_ward(points, pixels, classes)


def test_a_cluster_counts_as_often_as_it_has_pixels(rng: np.random.Generator) -> None:
    points, pixels = rng.normal(size=(25, 4)), rng.integers(1, 9, 25)
    repeated = np.repeat(np.arange(25), pixels)
    tree = linkage(points[repeated], "ward")
    for classes in (2, 5, 11):
        expected = fcluster(tree, classes, "maxclust")[np.searchsorted(repeated, np.arange(25))]
        assert partition(merge_similar(points, pixels, classes)) == partition(expected)


def test_numbers_of_clusters_do_not_matter(rng: np.random.Generator) -> None:
    # values on a coarse lattice: many distances are exactly equal
    points, pixels = rng.integers(0, 4, (60, 3)) / 4, rng.integers(1, 4, 60)
    points, chosen = np.unique(points, axis=0, return_index=True)
    pixels = pixels[chosen]
    groups = merge_similar(points, pixels, 6)
    for _ in range(5):
        order = rng.permutation(len(points))
        assert np.array_equal(merge_similar(points[order], pixels[order], 6), groups[order])


def test_equal_spectra_merge_first(rng: np.random.Generator) -> None:
    kinds = rng.normal(size=(7, 3))
    which = rng.permutation(np.repeat(np.arange(7), 5))
    pixels = rng.integers(1, 10**8, 35)
    assert partition(merge_similar(kinds[which], pixels, 7)) == partition(which)


def test_groups_are_numbered_by_falling_pixels() -> None:
    points = np.array([[0.0], [5.0], [5.1], [9.0]])
    assert merge_similar(points, np.array([10, 6, 6, 11]), 3).tolist() == [2, 0, 0, 1]
    assert merge_similar(points, np.array([10, 6, 6, 11]), 99).tolist() == [1, 2, 3, 0]


def test_group_means_are_those_of_all_pixels() -> None:
    points = np.array([[0.0, 1.0], [3.0, 1.0], [7.0, 2.0]])
    assert np.allclose(group_means(points, np.array([1, 2, 9]), np.array([1, 1, 0])), [[7, 2], [2, 1]])


def test_doubt_is_the_part_of_the_distance_to_the_own_class() -> None:
    points = np.array([[0.0], [1.0], [2.0], [5.0]])
    centres, classes = np.array([[0.0], [4.0], [8.0]]), np.array([0, 1, 1])
    found = doubts(points, np.array([0, 0, 0, 1]), centres, classes)
    assert np.allclose(found, [0, 1 / 4, 1 / 2, 1 / 6])
    assert np.isnan(doubts(points, np.zeros(4, int), centres[:1], classes[:1])).all()
    assert doubts(points[:1], np.array([0]), np.zeros((2, 1)), np.array([0, 1])).tolist() == [0.5]
