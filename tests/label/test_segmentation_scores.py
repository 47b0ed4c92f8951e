"""The scores of mapped maps as segmentations, on arrays."""

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, rand_score

from rsseg.label.metrics.boundary import boundary_displacement_error
from rsseg.label.metrics.segmentation import overlap_of_labels, rand_index, variation_of_information
from rsseg.label.segmentation_scores import (
    MappedClusters,
    SegmentationScores,
    components,
    mean_scores,
    score_arrays,
    score_table,
)

OWNERS = MappedClusters((1, 2, 4, 6), (0, 1, 1, -1), ("forest", "water"))
CODES = np.array([0, 1, 2, 0, 2, 0, 3])
"""The region of each cluster under OWNERS; 3 stands for clusters without a class."""

Arrays = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def pair(rng: np.random.Generator) -> Arrays:
    """Clusters (1, 2, 4, 6) and classes (1, 2), both with gaps."""
    labels = rng.choice(np.array([0, 1, 2, 4, 6], np.uint8), (12, 10), p=[0.1, 0.4, 0.2, 0.2, 0.1])
    return labels, rng.choice(np.array([0, 1, 2], np.uint8), (12, 10), p=[0.1, 0.5, 0.4])


def scored(labels: np.ndarray, truth: np.ndarray, **options: object) -> SegmentationScores:
    found = score_arrays(labels, truth, OWNERS, **{"regions": "classes", **options})  # type: ignore[arg-type]
    assert found is not None
    return found


def test_scores_are_those_of_the_mapped_map_over_pixels_that_both_label(pair: Arrays) -> None:
    labels, truth = pair
    found, known = scored(labels, truth), (labels > 0) & (truth > 0)
    y, p = truth[known], CODES[labels[known]]
    assert found.overall_accuracy == pytest.approx(accuracy_score(y, p))
    assert found.mean_iou == pytest.approx(jaccard_score(y, p, labels=[1, 2], average="macro"))
    assert found.weighted_iou == pytest.approx(jaccard_score(y, p, labels=[1, 2], average="weighted"))
    assert found.mean_f1 == pytest.approx(f1_score(y, p, labels=[1, 2], average="macro"))
    assert found.probabilistic_rand_index == pytest.approx(rand_score(y, p))
    assert found.variation_of_information == pytest.approx(variation_of_information(overlap_of_labels(p, y)))
    assert found.boundary_displacement_error == boundary_displacement_error(CODES[labels], truth)


def test_a_table_gives_the_same_without_boundaries(pair: Arrays) -> None:
    labels, truth = pair
    assert score_table(OWNERS.confusion(labels, truth)) == scored(labels, truth, boundaries=False)


def flooded(codes: np.ndarray) -> np.ndarray:
    """Connected components by filling from one pixel after another."""
    numbers = np.zeros(codes.shape, int)
    for start in zip(*np.nonzero(codes), strict=True):
        if numbers[start]:
            continue
        number, waiting = numbers.max() + 1, [start]
        while waiting:
            row, col = waiting.pop()
            if not (0 <= row < codes.shape[0] and 0 <= col < codes.shape[1]):
                continue
            if codes[row, col] == codes[start] and not numbers[row, col]:
                numbers[row, col] = number
                waiting += [(row + 1, col), (row - 1, col), (row, col + 1), (row, col - 1)]
    return numbers


def test_components_are_those_of_a_flood_fill(pair: Arrays) -> None:
    for codes in pair:
        found, slow = components(codes), flooded(codes)
        assert np.array_equal(found > 0, codes > 0)
        assert rand_index(overlap_of_labels(found, slow)) == 1


def test_components_of_the_compared_pixels_are_scored(pair: Arrays) -> None:
    labels, truth = pair
    found, known = scored(labels, truth, regions="components"), (labels > 0) & (truth > 0)
    overlap = overlap_of_labels(flooded(CODES[labels] * known)[known], flooded(truth * known)[known])
    assert found.probabilistic_rand_index == pytest.approx(rand_index(overlap))
    assert found.variation_of_information == pytest.approx(variation_of_information(overlap))
    of_classes = scored(labels, truth)
    assert found.boundary_displacement_error == of_classes.boundary_displacement_error
    assert found.mean_iou == of_classes.mean_iou
    assert found.variation_of_information != of_classes.variation_of_information


def test_two_fields_of_a_class_are_one_region_or_two() -> None:
    truth = np.array([[1, 2, 1]] * 3, np.uint8)
    labels = np.array([[1, 2, 2]] * 3, np.uint8)
    owners = MappedClusters((1, 2), (0, 1), ("a", "b"))
    of_classes = score_arrays(labels, truth, owners, "classes")
    of_parts = score_arrays(labels, truth, owners, "components")
    assert of_classes is not None and of_parts is not None
    assert of_classes.global_consistency_error > 0
    assert of_parts.global_consistency_error == 0  # the reference's three fields refine the map's two
    assert of_parts.reference_covering == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_a_map_without_a_common_pixel_has_no_scores(pair: Arrays) -> None:
    assert score_arrays(pair[0], np.zeros_like(pair[1]), OWNERS, "classes") is None


def test_255_classes_and_a_cluster_without_one_stay_apart() -> None:
    labels = np.arange(1, 256, dtype=np.uint8).reshape(15, 17)
    owners = MappedClusters(tuple(range(1, 256)), (*range(254), -1), tuple(map(str, range(255))))
    found = score_arrays(labels, labels, owners, "classes")
    assert found is not None
    assert found.overall_accuracy == 254 / 255
    assert found.variation_of_information == 0


@pytest.mark.parametrize("known", [True, False])
def test_the_mean_is_of_each_score_and_none_where_one_is_missing(
    pair: Arrays, known: bool, rng: np.random.Generator
) -> None:
    labels, truth = pair
    both = [scored(labels, truth), scored(labels, rng.permutation(truth), boundaries=known)]
    means = asdict(mean_scores(both))
    first, second = map(asdict, both)
    missing = means.pop("boundary_displacement_error")
    assert (missing is not None) == known
    for name, value in means.items():
        assert value == pytest.approx((first[name] + second[name]) / 2)


def test_numbers_of_clusters_do_not_matter(pair: Arrays, rng: np.random.Generator) -> None:
    labels, truth = pair
    order: Callable[[np.ndarray], np.ndarray] = np.array([0, 200, 6, 0, 1, 0, 17], np.uint8).__getitem__
    renamed = MappedClusters((200, 6, 1, 17), OWNERS.assigned, OWNERS.classes)
    assert score_arrays(order(labels), truth, renamed, "classes") == scored(labels, truth)
