import math

import numpy as np
import pytest

from rsseg.label.agreement import agreement, entropy, plurality, support


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


def slow_entropy(votes: list[int]) -> float:
    """Shannon's entropy of what is said, over that of maps that all say something else; 0 is said by one map alone."""
    said = [(place, 0) if vote == 0 else vote for place, vote in enumerate(votes)]
    shares = [said.count(value) / len(said) for value in dict.fromkeys(said)]
    return -sum(share * math.log(share) for share in shares) / math.log(len(votes))


@pytest.mark.parametrize("maps", [2, 3, 4, 7])
def test_entropy_is_shannons(rng: np.random.Generator, maps: int) -> None:
    votes = list(rng.integers(0, 4, (maps, 400)).astype(np.uint8))
    found = entropy(support(votes))
    expected = [slow_entropy([int(vote[place]) for vote in votes]) for place in range(400)]
    # half a step of the stored scale, and what the last digit moves at a tie
    assert np.abs(found / 254 - expected).max() <= 0.5 / 254 + 1e-12
    assert found.max() == 254 or maps == 7


def test_entropy_is_0_where_all_say_one_and_full_where_each_says_another() -> None:
    votes = [np.array([[3, 1, 1]], np.uint8), np.array([[3, 2, 1]], np.uint8), np.array([[3, 3, 2]], np.uint8)]
    assert entropy(support(votes)).tolist() == [[0, 254, round(254 * slow_entropy([1, 1, 2]))]]


@pytest.mark.parametrize("maps", [2, 3, 4])
@pytest.mark.parametrize("pivot", [0, 1])
def test_every_layer_equals_a_loop_over_pixels(rng: np.random.Generator, maps: int, pivot: int) -> None:
    labels = list(rng.integers(0, 4, (maps, 20, 30)).astype(np.uint8))
    tables = [np.append([0, *rng.permutation(4)], np.zeros(251)).astype(np.uint8) for _ in labels]
    tables[pivot] = np.arange(256, dtype=np.uint8)
    layers = agreement(labels, tables, pivot, disagree=9)
    for place in np.ndindex(20, 30):
        own = [int(item[place]) for item in labels]
        found = [int(getattr(layers, name)[place]) for name in ("agreement", "unanimous", "count", "vote")]
        if 0 in own:
            assert (found, layers.entropy[place]) == ([0, 0, 0, 0], 255)
            continue
        said = [int(table[value]) for table, value in zip(tables, own, strict=True)]
        votes = {value: said.count(value) for value in said if value}
        leaders = [value for value, count in votes.items() if count == max(votes.values())]
        one = said[0] if len(set(said)) == 1 else 0
        most = leaders[0] if len(leaders) == 1 else said[pivot]
        assert found == [one or 9, one, max(votes.values()), most]
        assert layers.entropy[place] == round(254 * slow_entropy(said))
