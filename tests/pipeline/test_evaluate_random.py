"""Every score of random maps against scikit-learn, scikit-image and loops written from the definitions."""

from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_plain
from scipy.optimize import linear_sum_assignment
from skimage.metrics import variation_of_information
from sklearn import metrics

from rsseg.pipeline.stages.evaluate import Evaluation, evaluate

SHAPE = (26, 31)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of any values, their numbers, and classes: more clusters than classes or fewer, with no data in both."""
    rng = np.random.default_rng(seed)
    classes, clusters = int(rng.integers(1, 6)), int(rng.integers(1, 14))
    truth = np.kron(rng.integers(0, classes + 1, (13, 31)), np.ones((2, 1), int))
    follow = rng.integers(1, clusters + 1, classes + 1)
    codes = np.where(rng.random(SHAPE) < 0.7, follow[truth], rng.integers(0, clusters + 1, SHAPE))
    values = np.concatenate(([0], rng.choice(np.arange(1, 65536 if seed % 2 else 256), clusters, replace=False)))
    return values[codes], codes, truth


def scored(folder: Path, seed: int) -> tuple[Evaluation, np.ndarray, np.ndarray]:
    values, codes, truth = drawn(seed)
    labels = write_plain(folder / "m.tif", values.astype(np.uint16 if seed % 2 else np.uint8), grid_for(SHAPE))
    reference = write_plain(folder / "r.tif", (truth * 7).astype(np.int16), grid_for(SHAPE))
    known = (codes > 0) & (truth > 0)
    return evaluate(labels, reference), np.where(known, codes, 0), np.where(known, truth, 0)


def winners(codes: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    """The class of every cluster, 99 for none, counted pixel by pixel."""
    counts = np.zeros((codes.max() + 1, truth.max() + 1), int)
    for cluster, kind in zip(codes.ravel(), truth.ravel(), strict=True):
        counts[cluster, kind] += kind > 0
    if name == "many-to-one":
        return np.where(counts.any(axis=1), counts.argmax(axis=1), 99)
    rows, cols = linear_sum_assignment(-counts[1:, 1:])
    found = np.full(len(counts), 99)
    for row, col in zip(rows, cols, strict=True):
        if counts[row + 1, col + 1]:
            found[row + 1] = col + 1
    return found


@pytest.mark.parametrize("seed", range(16))
def test_clusters_and_classes(tmp_path: Path, seed: int) -> None:
    result, codes, truth = scored(tmp_path, seed)
    known = truth > 0
    assert result.nmi == pytest.approx(metrics.normalized_mutual_info_score(truth[known], codes[known]))
    assert result.ari == pytest.approx(metrics.adjusted_rand_score(truth[known], codes[known]))
    for name, found in result.confusions.items():
        y, p = truth[known], winners(codes, truth, name)[codes[known]]
        assert found.overall_accuracy == pytest.approx(metrics.accuracy_score(y, p))
        present = np.unique(y)
        options = {"labels": present, "average": None, "zero_division": 0}
        iou = metrics.jaccard_score(y, p, **options)
        assert found.mean_iou == pytest.approx(iou.mean())
        assert found.weighted_iou == pytest.approx((iou * [(y == kind).mean() for kind in present]).sum())
        assert found.mean_f1 == pytest.approx(metrics.f1_score(y, p, **options).mean())
        if found.kappa is not None:
            assert found.kappa == pytest.approx(metrics.cohen_kappa_score(y, p))
        scores = {score.name: score for score in found.class_scores}
        for place, kind in enumerate(present):
            score = scores[f"class {7 * kind}"]
            assert score.recall == pytest.approx(metrics.recall_score(y, p, **options)[place])
            assert (score.precision or 0) == pytest.approx(metrics.precision_score(y, p, **options)[place])
            negative = [q != kind for q, true in zip(p, y, strict=True) if true != kind]
            assert score.specificity == (pytest.approx(np.mean(negative)) if negative else None)


@pytest.mark.parametrize("seed", range(0, 16, 3))
def test_segmentations(tmp_path: Path, seed: int) -> None:
    result, codes, truth = scored(tmp_path, seed)
    known = truth > 0
    assert result.segmentation is not None
    for name, score in result.segmentation.scores.items():
        mapped = np.where(known, winners(codes, truth, name)[codes], 0)
        a, b = mapped[known], truth[known]
        assert score.variation_of_information == pytest.approx(sum(variation_of_information(b, a)), abs=1e-12)
        assert score.probabilistic_rand_index == pytest.approx(metrics.rand_score(a, b))
        assert score.global_consistency_error == pytest.approx(min(refinement(a, b), refinement(b, a)))
        assert score.segmentation_covering == pytest.approx(covering(a, b))
        assert score.reference_covering == pytest.approx(covering(b, a))
        assert score.boundary_displacement_error == pytest.approx(displacement(mapped, truth))


def refinement(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean([((a == x) & (b != y)).sum() / (a == x).sum() for x, y in zip(a, b, strict=True)]))


def covering(a: np.ndarray, b: np.ndarray) -> float:
    best = [max(((a == x) & (b == y)).sum() / ((a == x) | (b == y)).sum() for y in np.unique(b)) for x in np.unique(a)]
    return sum((a == x).mean() * iou for x, iou in zip(np.unique(a), best, strict=True))


def displacement(a: np.ndarray, b: np.ndarray) -> float:
    first, second = edges(a), edges(b)
    apart = [np.hypot(*(second - place).T).min() for place in first]
    back = [np.hypot(*(first - place).T).min() for place in second]
    return float((np.mean(apart) + np.mean(back)) / 2)


def edges(labels: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour in another region; the frame of the known pixels where there is none."""
    found = []
    for row, col in np.argwhere(labels):
        around = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
        inside = [labels[r, c] for r, c in around if 0 <= r < labels.shape[0] and 0 <= c < labels.shape[1]]
        if any(other not in (0, labels[row, col]) for other in inside):
            found.append((row, col))
    if found:
        return np.array(found)
    places = np.argwhere(labels)
    (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0)
    frame = [(r, c) for r in range(top, bottom + 1) for c in range(left, right + 1)]
    return np.array([(r, c) for r, c in frame if r in (top, bottom) or c in (left, right)])
