from itertools import permutations

import numpy as np
import pytest

from rsseg.label.matching import assign_many_to_one, assign_one_to_one, one_to_one


def best_sum(scores: np.ndarray) -> float:
    """The best one-to-one sum by trying every permutation."""
    tall = scores if scores.shape[0] >= scores.shape[1] else scores.T
    return max(
        sum(tall[row, col] for col, row in enumerate(rows))
        for rows in permutations(range(tall.shape[0]), tall.shape[1])
    )


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (1, 5)])
def test_no_permutation_is_better(shape: tuple[int, int], rng: np.random.Generator) -> None:
    scores = rng.random(shape)
    match = one_to_one(scores)
    assert sum(scores[pair] for pair in match.pairs) == pytest.approx(best_sum(scores))
    assert sorted(match.row_order) == list(range(shape[0]))
    assert sorted(match.col_order) == list(range(shape[1]))


def test_matched_order_puts_pairs_on_the_diagonal_and_singles_last() -> None:
    scores = np.array([[0.0, 0.1, 0.9], [0.0, 0.0, 0.8], [0.7, 0.0, 0.0], [0.0, 0.0, 0.2]])
    match = one_to_one(scores)
    assert match.pairs == ((0, 1), (1, 2), (2, 0))
    assert match.row_order == [0, 1, 2, 3]
    assert match.single_rows == (3,)
    assert np.diagonal(scores[np.ix_(match.row_order, match.col_order)]).tolist() == [0.1, 0.8, 0.7]


def test_nothing_in_common_is_no_match() -> None:
    match = one_to_one(np.array([[0.5, 0.0], [0.0, 0.0]]))
    assert match.pairs == ((0, 0),)
    assert (match.single_rows, match.single_cols) == ((1,), (1,))


def test_clusters_without_a_class_are_marked() -> None:
    counts = np.array([[5, 0], [9, 1], [0, 3], [0, 0]])
    assert assign_one_to_one(counts).tolist() == [-1, 0, 1, -1]
    assert assign_many_to_one(counts).tolist() == [0, 0, 1, -1]


def test_equal_majorities_go_to_the_first_class() -> None:
    assert assign_many_to_one(np.array([[4, 4, 1]])).tolist() == [0]
