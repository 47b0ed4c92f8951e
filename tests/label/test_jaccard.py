import numpy as np
import pytest

from rsseg.label.agreement import VoteTally, agreement, class_jaccard, plurality, translation
from rsseg.label.consensus import compare, jaccard
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


def test_clusters_seen_only_where_the_other_map_has_no_data_are_left_out() -> None:
    a, b = np.array([1, 2], np.uint8), np.array([1, 0], np.uint8)
    assert compare(contingency(a, b, 2, 2), "a", "b").rows == (1,)


@pytest.mark.parametrize(
    ("votes", "winner", "count"),
    [
        ((1, 1, 2), 1, 2),
        ((2, 1, 1), 1, 2),
        ((1, 2, 3), 0, 1),
        ((0, 0, 4), 4, 1),
        ((0, 0, 0), 0, 0),
        ((1, 2, 2, 1), 0, 2),
    ],
)
def test_plurality_needs_a_single_winner(votes: tuple[int, ...], winner: int, count: int) -> None:
    found = plurality([np.array([vote], np.uint8) for vote in votes])
    assert (int(found[0][0]), int(found[1][0])) == (winner, count)


def test_plurality_does_not_depend_on_the_order_of_maps(rng: np.random.Generator) -> None:
    votes = list(rng.integers(0, 4, (5, 300)).astype(np.uint8))
    for forward, backward in zip(plurality(votes), plurality(votes[::-1]), strict=True):
        assert np.array_equal(forward, backward)


def test_agreement_carries_the_pivots_cluster() -> None:
    labels = [
        np.array([[1, 2, 2, 0]], np.uint8),
        np.array([[5, 5, 6, 5]], np.uint8),
        np.array([[1, 2, 2, 1]], np.uint8),
    ]
    to_pivot = np.zeros(256, np.uint8)
    to_pivot[[5, 6]] = 1, 2
    result, count, vote = agreement(labels, [to_pivot, np.arange(256, dtype=np.uint8)], disagree=9)
    assert result.tolist() == [[1, 9, 2, 0]]
    assert count.tolist() == [[3, 2, 3, 0]]
    assert vote.tolist() == [[1, 2, 2, 0]]


@pytest.mark.parametrize("maps", [2, 3, 4])
def test_the_vote_is_the_most_frequent_cluster_and_the_pivots_among_equals(rng: np.random.Generator, maps: int) -> None:
    labels = list(rng.integers(0, 5, (maps, 20, 30)).astype(np.uint8))
    tables = [np.append(rng.permutation(5), np.zeros(251)).astype(np.uint8) for _ in labels[1:]]
    vote = agreement(labels, tables, disagree=9)[2]
    for place in np.ndindex(vote.shape):
        own = [int(item[place]) for item in labels]
        said = [own[0], *(int(table[value]) for table, value in zip(tables, own[1:], strict=True))]
        most = [said.count(value) if value else 0 for value in said]
        winners = {value for value, votes in zip(said, most, strict=True) if votes == max(most)}
        wanted = 0 if 0 in own else winners.pop() if len(winners) == 1 else own[0]
        assert vote[place] == wanted


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
