import numpy as np
import pytest

from rsseg.label.agreement import VoteTally, class_jaccard, plurality
from rsseg.label.consensus import Match, compare, jaccard, matched
from rsseg.label.consensus_frame import translation
from rsseg.label.contingency import contingency


def slow_jaccard(a: np.ndarray, b: np.ndarray, i: int, j: int) -> float:
    """RECAL, equation 5, from two masks over the pixels valid in both."""
    valid = (a > 0) & (b > 0)
    first, second = (a == i) & valid, (b == j) & valid
    union = (first | second).sum()
    return (first & second).sum() / union if union else 0.0


def test_matrix_equals_masks_and_ignores_no_data(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 5, (40, 50)).astype(np.uint8), rng.integers(0, 7, (40, 50)).astype(np.uint8)
    scores = jaccard(contingency(a, b, 4, 6)[1:, 1:])
    for i in range(4):
        for j in range(6):
            assert scores[i, j] == pytest.approx(slow_jaccard(a, b, i + 1, j + 1))


def test_swapping_the_maps_transposes_the_matrix(rng: np.random.Generator) -> None:
    table = rng.integers(0, 50, (5, 8))
    assert np.array_equal(jaccard(table).T, jaccard(table.T))


def test_a_permuted_map_matches_itself(rng: np.random.Generator) -> None:
    a = rng.integers(0, 6, (60, 60)).astype(np.uint8)
    order = np.array([0, 3, 5, 1, 2, 4], np.uint8)
    pair = compare(contingency(a, order[a], 5, 5), "a", "b")
    assert dict(pair.pairs) == {value: order[value] for value in range(1, 6)}
    assert pair.mean_jaccard == pair.agreement == 1.0
    assert np.array_equal(translation(pair)[order[a]], a)


def test_unequal_counts_leave_the_others_unmatched_and_last() -> None:
    a = np.array([1, 1, 1, 2, 2, 2, 3, 3, 0], np.uint8)
    b = np.array([9, 9, 9, 4, 4, 4, 4, 9, 4], np.uint8)
    pair = compare(contingency(a, b, 3, 9), "a", "b")
    assert pair.pairs == ((1, 9), (2, 4))
    assert pair.rows[pair.matched :] == (3,)
    assert pair.pixels == 8
    assert pair.agreement == 6 / 8
    assert pair.mean_jaccard == pytest.approx((3 / 4 + 3 / 4) / 2)
    stored = pair.as_dict()
    assert stored["unmatched_first"] == [3] and stored["unmatched_second"] == []
    assert matched(pair) == [Match(1, 9, 3 / 4), Match(2, 4, 3 / 4)]


def test_clusters_seen_only_where_the_other_map_has_no_data_are_left_out() -> None:
    a, b = np.array([1, 2], np.uint8), np.array([1, 0], np.uint8)
    assert compare(contingency(a, b, 2, 2), "a", "b").rows == (1,)


def slow_intersection(m1: np.ndarray, m2: np.ndarray, r: np.ndarray, value: int) -> float:
    both = (m1 == value) & (m2 == value) & (r > 0)
    return (both & (r == value)).sum() / (both | (r == value)).sum()


def test_votes_equal_masks(rng: np.random.Generator) -> None:
    maps = rng.integers(1, 5, (3, 400)).astype(np.uint8)
    truth = rng.integers(1, 4, 400).astype(np.uint8)
    codes = np.zeros(256, np.uint8)
    codes[1:5] = 1, 2, 3, 0
    tally = VoteTally([codes] * 3, 3)
    for part in (slice(0, 150), slice(150, 400)):
        tally.add([item[part] for item in maps], truth[part])
    classes = codes[maps]
    for (i, j), table in tally.pairs.items():
        expected = [slow_intersection(classes[i], classes[j], truth, value) for value in (1, 2, 3)]
        assert class_jaccard(table) == pytest.approx(expected)
    winner = plurality(list(classes))[0]
    expected = [slow_intersection(winner, winner, truth, value) for value in (1, 2, 3)]
    assert class_jaccard(tally.majority) == pytest.approx(expected)
