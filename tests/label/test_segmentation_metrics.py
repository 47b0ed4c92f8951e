"""Segmentation metrics against slow loops from the paper's equations, scikit-image and scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from skimage.metrics import variation_of_information as skimage_variation
from sklearn.metrics import mutual_info_score, rand_score

from rsseg.errors import InputError
from rsseg.label.metrics.segmentation import (
    Overlap,
    global_consistency_error,
    overlap_of_labels,
    overlap_of_table,
    rand_index,
    segmentation_covering,
    variation_of_information,
)

METRICS: tuple[Callable[[Overlap], float], ...] = (
    variation_of_information,
    rand_index,
    global_consistency_error,
    segmentation_covering,
)


def pair(rng: np.random.Generator, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Two segmentations that follow each other loosely."""
    reference = rng.integers(0, 4, size)
    return np.where(rng.random(size) < 0.6, reference * 2, rng.integers(0, 7, size)), reference


def table_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    table = np.zeros((a.max() + 1, b.max() + 1), np.int64)
    np.add.at(table, (a, b), 1)
    return table


def slow_rand_index(a: np.ndarray, b: np.ndarray) -> float:
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    return sum((a[i] == a[j]) == (b[i] == b[j]) for i, j in pairs) / len(pairs)


def slow_consistency_error(a: np.ndarray, b: np.ndarray) -> float:
    """Equations 12 and 13, pixel by pixel."""

    def error(first: np.ndarray, second: np.ndarray, pixel: int) -> float:
        region = set(np.flatnonzero(first == first[pixel]))
        return len(region - set(np.flatnonzero(second == second[pixel]))) / len(region)

    pixels = range(len(a))
    return min(sum(error(a, b, pixel) for pixel in pixels), sum(error(b, a, pixel) for pixel in pixels)) / len(a)


def slow_covering(a: np.ndarray, b: np.ndarray) -> float:
    """Equation 14, region by region."""
    total = 0.0
    for value in np.unique(a):
        region = a == value
        best = max((region & (b == other)).sum() / (region | (b == other)).sum() for other in np.unique(b))
        total += region.sum() * best
    return total / len(a)


def test_each_metric_equals_an_independent_one(rng: np.random.Generator) -> None:
    for _ in range(5):
        a, b = pair(rng)
        found = overlap_of_labels(a, b)
        assert variation_of_information(found) == pytest.approx(sum(skimage_variation(b, a)))
        assert rand_index(found) == pytest.approx(slow_rand_index(a, b))
        assert rand_index(found) == pytest.approx(rand_score(a, b))
        assert global_consistency_error(found) == pytest.approx(slow_consistency_error(a, b))
        assert segmentation_covering(found) == pytest.approx(slow_covering(a, b))
        assert segmentation_covering(found, "reference") == pytest.approx(slow_covering(b, a))


def test_variation_of_information_is_in_bits_unless_asked_otherwise(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    found = overlap_of_labels(a, b)
    nats = mutual_info_score(a, a) + mutual_info_score(b, b) - 2 * mutual_info_score(a, b)  # equation 9
    assert variation_of_information(found, base=math.e) == pytest.approx(nats)
    assert variation_of_information(found) == pytest.approx(nats / math.log(2))
    assert variation_of_information(overlap_of_table(np.array([[1, 1]]))) == 1  # one fair coin


def test_table_and_labels_give_the_same(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    for metric in METRICS:
        assert metric(overlap_of_table(table_of(a, b))) == pytest.approx(metric(overlap_of_labels(a, b)))


def test_equal_partitions_are_perfect_however_they_are_numbered(rng: np.random.Generator) -> None:
    a, _ = pair(rng)
    found = overlap_of_labels(a, np.array([50, 3, 0, 900, 7, 8, 2])[a])
    assert [metric(found) for metric in METRICS] == [0, 1, 0, 1]


def test_only_the_covering_has_a_direction(rng: np.random.Generator) -> None:
    a, b = pair(rng)
    there, back = overlap_of_labels(a, b), overlap_of_labels(b, a)
    for metric in (variation_of_information, rand_index, global_consistency_error):
        assert metric(there) == pytest.approx(metric(back))
    assert segmentation_covering(there, "reference") == segmentation_covering(back, "map")
    assert segmentation_covering(there) != pytest.approx(segmentation_covering(back))


def test_a_refinement_is_consistent_but_not_equal(rng: np.random.Generator) -> None:
    coarse = rng.integers(0, 3, 200)
    fine = coarse * 5 + rng.integers(0, 5, 200)
    found = overlap_of_labels(fine, coarse)
    assert global_consistency_error(found) == 0
    assert variation_of_information(found) > 1
    assert rand_index(found) < 1


def test_scores_stay_in_their_bounds(rng: np.random.Generator) -> None:
    for regions in (1, 2, 10, 300):
        a, b = rng.integers(0, regions, 300), rng.integers(0, 5, 300)
        found = overlap_of_labels(a, b)
        assert 0 <= variation_of_information(found) <= math.log2(300)
        assert 0 <= rand_index(found) <= 1
        assert 0 <= global_consistency_error(found) <= 1
        assert 0 < segmentation_covering(found) <= 1


def test_billions_of_pixels_do_not_overflow() -> None:
    small = np.array([[5, 1], [2, 4]])
    found = overlap_of_table(small * 1_000_000_000)
    squares = [int(value) ** 2 for value in (6, 6, 7, 5, 5, 1, 2, 4)]
    apart = (sum(squares[:4]) - 2 * sum(squares[4:])) * 10**18
    assert rand_index(found) == 1 - apart / (12 * 10**9 * (12 * 10**9 - 1))
    for metric in (variation_of_information, global_consistency_error, segmentation_covering):
        assert metric(found) == pytest.approx(metric(overlap_of_table(small)))


def test_one_pixel_is_perfect_and_none_is_an_error() -> None:
    assert [metric(overlap_of_table(np.array([[1]]))) for metric in METRICS] == [0, 1, 0, 1]
    with pytest.raises(InputError, match="without a common pixel"):
        overlap_of_table(np.zeros((3, 3), np.int64))
