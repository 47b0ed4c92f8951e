"""Common classes of many maps: against slow references, and what may not change them."""

import numpy as np
import pytest

from rsseg.label.common_classes import common_centres, nearest_class, within_spread

RNG = np.random.default_rng(7)


def test_the_spread_is_that_of_the_pixels_within_their_scenes() -> None:
    """Against the pixels themselves: each scene's mean is taken away, then all deviate together."""
    counts, means, variances, deviations = [], [], [], []
    for shift in (0.0, 50.0):
        pixels = [RNG.normal(shift + 3 * n, 1 + n, (40 + n, 2)) for n in range(3)]
        counts.append(np.array([len(part) for part in pixels]))
        means.append(np.array([part.mean(axis=0) for part in pixels]))
        variances.append(np.array([part.var(axis=0) for part in pixels]))
        scene = np.concatenate(pixels)
        deviations.append(scene - scene.mean(axis=0))
    expected = np.sqrt((np.concatenate(deviations) ** 2).mean(axis=0))
    assert within_spread(counts, means, variances) == pytest.approx(expected)


def test_a_band_that_never_changes_has_a_spread_of_one() -> None:
    zeros = np.zeros((2, 1))
    assert within_spread([np.array([3, 4])], [zeros + 5], [zeros]).tolist() == [1.0]


def test_centres_are_the_weighted_means_of_their_clusters_by_falling_pixels() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 10.0], [20.0, 0.0], [20.0, 1.0]])
    pixels = np.array([10, 30, 5, 200, 100])
    found = common_centres(points, pixels, 3)
    assert found == pytest.approx(np.array([[20.0, 1 / 3], [0.75, 0.0], [10.0, 10.0]]))


def test_the_order_of_clusters_does_not_count() -> None:
    points, pixels = RNG.normal(size=(60, 3)), RNG.integers(1, 1000, 60)
    first = common_centres(points, pixels, 6)
    for _ in range(5):
        order = RNG.permutation(60)
        assert np.array_equal(common_centres(points[order], pixels[order], 6), first)


def test_many_pixels_weigh_more() -> None:
    """Two clusters have to share a class: it is the pair whose joining costs the pixels least."""
    points = np.array([[0.0], [3.0], [5.5]])
    assert common_centres(points, np.array([1, 1, 1000]), 2) == pytest.approx(np.array([[5.5], [1.5]]))
    assert common_centres(points, np.array([9, 1, 1]), 2) == pytest.approx(np.array([[0.0], [4.25]]))


def test_there_are_no_more_classes_than_spectra_that_differ() -> None:
    points = np.array([[1.0], [1.0], [2.0]])
    assert common_centres(points, np.array([1, 2, 5]), 7).tolist() == [[2.0], [1.0]]


def test_the_nearest_class_against_a_loop() -> None:
    points, centres = RNG.normal(size=(50, 3)), RNG.normal(size=(7, 3))
    slow = [min(range(7), key=lambda n: float(np.linalg.norm(point - centres[n]))) for point in points]
    assert nearest_class(points, centres).tolist() == slow
