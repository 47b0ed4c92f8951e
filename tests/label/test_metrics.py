from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics

from rsseg.label.contingency import contingency
from rsseg.label.matching import assign_many_to_one, assign_one_to_one
from rsseg.label.metrics.clustering import adjusted_rand_index, normalised_mutual_information
from rsseg.label.metrics.confusion import Confusion, confusion, row_shares

Assign = Callable[[np.ndarray], np.ndarray]

CLASSES = ("forest", "grass", "urban", "water")


def maps(rng: np.random.Generator, clusters: int, absent: bool) -> tuple[np.ndarray, np.ndarray]:
    """Clusters that follow four classes loosely, with no data in both; class 4 may be absent."""
    truth = rng.integers(0, 4 if absent else 5, 5000).astype(np.uint8)
    labels = np.where(rng.random(5000) < 0.6, truth * 3 % (clusters + 1), rng.integers(0, clusters + 1, 5000))
    return labels.astype(np.uint8), truth


@pytest.mark.parametrize("absent", [False, True])
@pytest.mark.parametrize("clusters", [2, 4, 9])
@pytest.mark.parametrize("assign", [assign_one_to_one, assign_many_to_one])
def test_scores_equal_scikit_learn(clusters: int, absent: bool, assign: Assign, rng: np.random.Generator) -> None:
    labels, truth = maps(rng, clusters, absent)
    table = contingency(labels, truth, clusters, 4)[1:, 1:]
    assigned = assign(table)
    result = confusion(table, assigned, CLASSES)
    known = (labels > 0) & (truth > 0)
    y, p = truth[known], np.concatenate(([0], assigned + 1))[labels[known]]
    present = np.unique(y)
    assert result.overall_accuracy == pytest.approx(metrics.accuracy_score(y, p))
    assert result.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))
    iou = metrics.jaccard_score(y, p, labels=present, average=None, zero_division=0)
    assert result.iou[present - 1] == pytest.approx(iou)
    assert result.mean_iou == pytest.approx(iou.mean())
    weighted = metrics.jaccard_score(y, p, labels=present, average="weighted", zero_division=0)
    assert result.weighted_iou == pytest.approx(weighted)
    macro = metrics.f1_score(y, p, labels=present, average="macro", zero_division=0)
    assert result.mean_f1 == pytest.approx(macro)
    precision, recall, f1, pixels = metrics.precision_recall_fscore_support(y, p, labels=present, zero_division=0)
    for place, value in enumerate(present):
        score = result.class_scores[value - 1]
        assert (score.precision or 0) == pytest.approx(precision[place])
        assert score.recall == pytest.approx(recall[place])
        assert score.f1 == pytest.approx(f1[place])
        assert score.pixels == pixels[place]
        others = metrics.recall_score(y != value, p != value, zero_division=0)
        assert (score.specificity or 0) == pytest.approx(others)
    assert normalised_mutual_information(table) == pytest.approx(metrics.normalized_mutual_info_score(y, labels[known]))
    assert adjusted_rand_index(table) == pytest.approx(metrics.adjusted_rand_score(y, labels[known]))


def test_rows_are_the_reference() -> None:
    table = np.array([[10, 2], [0, 5]])
    matrix = confusion(table, np.array([0, 1]), ("a", "b")).matrix
    assert matrix.tolist() == [[10, 0, 0], [2, 5, 0]]


def test_clusters_left_over_are_errors_in_a_column_of_their_own() -> None:
    table = np.array([[10, 0], [0, 5], [4, 0]])
    one = confusion(table, assign_one_to_one(table), ("a", "b"))
    many = confusion(table, assign_many_to_one(table), ("a", "b"))
    assert one.matrix[:, -1].tolist() == [4, 0]
    assert one.overall_accuracy == 15 / 19
    assert many.overall_accuracy == 1


def test_an_absent_class_has_no_scores_and_does_not_lower_the_mean() -> None:
    result = confusion(np.array([[10, 0]]), np.array([0]), ("a", "b"))
    absent = result.class_scores[1]
    assert (absent.iou, absent.precision, absent.recall, absent.f1) == (None, None, None, None)
    assert (result.mean_iou, result.weighted_iou, result.mean_f1) == (1, 1, 1)
    assert result.kappa is None


def test_frequent_classes_weigh_more() -> None:
    result = confusion(np.array([[90, 0], [0, 5], [0, 5]]), np.array([0, 1, -1]), ("a", "b"))
    assert result.weighted_iou == pytest.approx(0.9 * 1 + 0.1 * 0.5)
    assert result.mean_iou == 0.75


def test_a_scene_of_300_million_pixels_does_not_overflow() -> None:
    table = np.array([[150_000_000, 1_000_000], [2_000_000, 147_000_000]])
    small = table // 1_000_000
    assert adjusted_rand_index(table) == pytest.approx(adjusted_rand_index(small), abs=0.02)
    assert 0.9 < adjusted_rand_index(table) < 1
    result = confusion(table, np.array([0, 1]), ("a", "b"))
    assert result.overall_accuracy == pytest.approx(0.99)
    assert result.kappa == pytest.approx(0.98, abs=0.001)


def test_one_cluster_and_one_class_are_equal() -> None:
    assert normalised_mutual_information(np.array([[7]])) == 1
    assert adjusted_rand_index(np.array([[7]])) == 1


def test_permuting_clusters_changes_no_score(rng: np.random.Generator) -> None:
    table = rng.integers(0, 1000, (6, 4))
    order = rng.permutation(6)

    def scores(counts: np.ndarray) -> tuple[float, float, Confusion]:
        found = confusion(counts, assign_one_to_one(counts), CLASSES)
        return normalised_mutual_information(counts), adjusted_rand_index(counts), found

    first, second = scores(table), scores(table[order])
    assert first[:2] == pytest.approx(second[:2])
    assert np.array_equal(first[2].matrix, second[2].matrix)


def test_shares_of_rows_are_unknown_in_empty_ones() -> None:
    np.testing.assert_array_equal(row_shares(np.array([[1, 3], [0, 0]])), [[0.25, 0.75], [np.nan, np.nan]])
