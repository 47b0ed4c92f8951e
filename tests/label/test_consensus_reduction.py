"""Unequal maps: how their clusters are joined and matched, against loops over clusters and pixels."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from rsseg.errors import UsageError
from rsseg.label.comparison import Comparison
from rsseg.label.consensus import compare
from rsseg.label.consensus_frame import Relations, relate
from rsseg.label.consensus_reduction import Reduce, by_name, by_overlap, grouping, resolve
from rsseg.label.contingency import contingency

Names = dict[int, str]


def table_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return contingency(a, b, 255, 255)


def random_maps(rng: np.random.Generator, *clusters: int) -> list[np.ndarray]:
    """Maps of one noisy truth with different numbers of clusters."""
    truth = rng.integers(0, 12, 3000)
    maps = []
    for count in clusters:
        own = rng.permutation(12) % count + 1
        noisy = np.where(rng.random(3000) < 0.2, rng.integers(1, count + 1, 3000), own[truth])
        maps.append(np.where(rng.random(3000) < 0.05, 0, noisy).astype(np.uint8))
    return maps


def related(
    maps: Sequence[np.ndarray], names: Sequence[Names] = (), reduce: Reduce = "auto", pivot: str | None = None
) -> Relations:
    """``relate`` on arrays, as the counting pass prepares it; the maps are called a, b, c, ..."""
    valid = np.logical_and.reduce([item > 0 for item in maps])
    cut = [item * valid for item in maps]
    tables = {(i, j): table_of(cut[i], cut[j]) for i in range(len(maps)) for j in range(i + 1, len(maps))}
    clusters = tuple(tuple(np.unique(item[valid]).tolist()) for item in maps)
    stand_ins = [
        SimpleNamespace(name="abcdef"[i], names=names[i] if names else {}, path=f"{'abcdef'[i]}.tif")
        for i in range(len(maps))
    ]
    return relate(stand_ins, Comparison(tables, int(valid.sum()), clusters, ()), reduce, pivot)  # type: ignore[arg-type]


def slow_overlap(a: np.ndarray, b: np.ndarray) -> dict[int, int]:
    """For each cluster of ``a`` the cluster of ``b`` that most of its pixels lie on."""
    valid = (a > 0) & (b > 0)
    joined = {}
    for value in np.unique(a[valid]):
        shared = [((valid & (a == value) & (b == other)).sum(), -other) for other in range(1, 256)]
        joined[int(value)] = -int(max(shared)[1])
    return joined


def test_each_cluster_of_the_larger_map_joins_the_one_it_overlaps_most(rng: np.random.Generator) -> None:
    large, small = random_maps(rng, 9, 4)
    expected = slow_overlap(large, small)
    pair = compare(table_of(large, small), "a", "b", grouping(table_of(large, small), "overlap", {}, {}))
    assert pair.way == "overlap" and pair.matched <= 4
    assert {
        value: col for (_, col), (rows, _) in zip(pair.pairs, pair.groups, strict=True) for value in rows
    } == expected
    valid = (large > 0) & (small > 0)
    joined = np.array([expected.get(value, 0) for value in range(256)])[large]
    assert pair.agreement == (joined == small)[valid].sum() / valid.sum()
    for place, (_, col) in enumerate(pair.pairs):
        both, either = valid & (joined == col) & (small == col), valid & ((joined == col) | (small == col))
        assert pair.jaccard[place, place] == both.sum() / either.sum()


def test_swapping_the_maps_swaps_the_groups(rng: np.random.Generator) -> None:
    large, small = random_maps(rng, 7, 3)
    there = compare(table_of(large, small), "a", "b", grouping(table_of(large, small), "overlap", {}, {}))
    back = compare(table_of(small, large), "b", "a", grouping(table_of(small, large), "overlap", {}, {}))
    assert [(rows, cols) for cols, rows in back.groups] == list(there.groups)
    assert np.array_equal(back.jaccard.T, there.jaccard)


def test_a_cluster_that_nothing_joins_is_unmatched_and_counts_as_0() -> None:
    table = np.zeros((256, 256), np.int64)
    table[1:4, 1], table[1:4, 2] = (10, 20, 30), (1, 1, 1)
    found = by_overlap(table, "second")
    assert (found.rows, found.cols, found.matches) == (((1, 2, 3),), ((1,), (2,)), ((0, 0),))
    pair = compare(table, "a", "b", found)
    assert pair.rows == (3,) and pair.cols == (1, 2) and pair.mean_jaccard == 60 / 63 / 2


def test_the_example_of_the_documentation() -> None:
    one, two = np.array([1, 1, 1, 2, 2, 2, 3, 3], np.uint8), np.array([9, 9, 9, 4, 4, 4, 4, 9], np.uint8)
    alone, joined = related([one, two], reduce="none").pairs[0], related([one, two]).pairs[0]
    assert alone.pairs == ((1, 9), (2, 4)) and alone.rows[2:] == (3,) and alone.jaccard[2].tolist() == [0.2, 0.2]
    assert (alone.mean_jaccard, alone.agreement) == (0.75, 6 / 8)
    assert joined.groups == (((2, 3), (4,)), ((1,), (9,)))
    assert (joined.mean_jaccard, joined.agreement) == ((4 / 5 + 3 / 4) / 2, 7 / 8)


def test_equal_numbers_of_clusters_are_matched_one_to_one(rng: np.random.Generator) -> None:
    a, b = random_maps(rng, 5, 5)
    assert grouping(table_of(a, b), "overlap", {}, {}).way == "one-to-one"


def test_clusters_of_one_name_are_one_class() -> None:
    a = np.array([1, 1, 2, 3, 3, 3, 0], np.uint8)
    b = np.array([7, 7, 7, 5, 5, 9, 5], np.uint8)
    found = by_name(table_of(a, b), {1: "water", 2: "water", 3: "town"}, {7: "water", 5: "town", 9: "forest"})
    pair = compare(table_of(a, b), "a", "b", found)
    assert pair.groups == (((1, 2), (7,)), ((3,), (5,)))
    assert pair.cols[2:] == (9,) and pair.mean_jaccard == pytest.approx((1 + 2 / 3) / 2)


def test_a_name_that_never_meets_its_like_is_matched_with_0() -> None:
    a, b = np.array([1, 1, 2], np.uint8), np.array([2, 2, 1], np.uint8)
    names = {1: "water", 2: "town"}
    pair = compare(table_of(a, b), "a", "b", by_name(table_of(a, b), names, names))
    assert pair.matched == 2 and pair.mean_jaccard == 0 and pair.agreement == 0


NAMED = {1: "water", 2: "town"}


@pytest.mark.parametrize(
    ("names", "clusters", "used"),
    [
        ([NAMED, NAMED], [(1, 2), (1, 2)], "names"),
        ([NAMED, {5: "water", 6: "town", 7: "forest"}], [(1, 2), (5, 6, 7)], "names"),
        ([{**NAMED, 3: "forest"}, {**NAMED, 4: "crop"}], [(1, 3), (1, 4)], "overlap"),
        ([NAMED, NAMED], [(1,), (2,)], "overlap"),
        ([NAMED, {1: "water"}], [(1, 2), (1, 2)], "overlap"),
        ([{1: "cluster 1"}, {1: "cluster 1"}], [(1,), (1,)], "overlap"),
        ([{**NAMED, 3: "cluster 6"}, NAMED], [(1, 2, 3), (1, 2)], "names"),
        ([{**NAMED, 3: "cluster 6"}, {**NAMED, 3: "cluster 7"}], [(1, 2, 3), (1, 2, 3)], "names"),
        ([{**NAMED, 3: "cluster 6"}] * 2, [(1, 2, 3), (1, 2, 3)], "overlap"),
        ([{1: "bare-like 1", 2: "water"}] * 2, [(1, 2), (1, 2)], "overlap"),
        ([{}, {}], [(1,), (1,)], "overlap"),
    ],
)
def test_names_are_taken_where_all_maps_draw_on_one_list(
    names: list[Names], clusters: list[tuple[int, ...]], used: str
) -> None:
    assert resolve("auto", ["a", "b"], names, clusters) == used


def test_names_that_are_asked_for_must_be_there() -> None:
    with pytest.raises(UsageError, match=r"file of b has no name for its cluster 2.*rsseg relabel"):
        resolve("names", ["a", "b"], [NAMED, {1: "water"}], [(1, 2), (1, 2)])


@pytest.mark.parametrize("reduce", ["none", "overlap"])
@pytest.mark.parametrize("clusters", [(5, 5, 5), (7, 4, 9), (3, 8)])
def test_other_numbers_of_the_clusters_change_nothing(
    rng: np.random.Generator, reduce: Reduce, clusters: tuple[int, ...]
) -> None:
    maps = random_maps(rng, *clusters)
    orders = [np.append(0, rng.permutation(255) + 1).astype(np.uint8) for _ in maps]
    before, after = (
        related(maps, reduce=reduce),
        related([o[m] for o, m in zip(orders, maps, strict=True)], reduce=reduce),
    )
    for mine, other in zip(before.pairs, after.pairs, strict=True):
        assert other.mean_jaccard == pytest.approx(mine.mean_jaccard)
        assert other.agreement == mine.agreement
    pivot = orders[before.frame.pivot]
    for order, mine, other in zip(orders, before.frame.tables, after.frame.tables, strict=True):
        assert np.array_equal(other[order], pivot[mine])


def test_the_rest_join_the_pivot(rng: np.random.Generator) -> None:
    maps = random_maps(rng, 5, 8, 3)
    valid = np.logical_and.reduce([item > 0 for item in maps])
    cut = [item * valid for item in maps]
    for place, name in enumerate("abc"):
        frame = related(maps, pivot=name).frame
        assert frame.pivot == place and frame.disagree == (5, 8, 3)[place] + 1
        for other in range(3):
            expected = slow_overlap(cut[other], cut[place]) if other != place else {v: v for v in range(1, 9)}
            values = np.unique(cut[other][valid])
            assert frame.tables[other][values].tolist() == [expected[int(value)] for value in values]


def test_of_two_maps_the_smaller_is_the_pivot_unless_another_is_named(rng: np.random.Generator) -> None:
    maps = random_maps(rng, 8, 3)
    assert related(maps).frame.pivot == 1
    assert related(maps, reduce="none").frame.pivot == 0
    named = related(maps, pivot="a")
    # in a pair with the pivot, the other joins it, although it has fewer
    assert named.frame.pivot == 0
    assert all(len(rows) == 1 for rows, _ in named.pairs[0].groups)
    assert sum(len(cols) for _, cols in named.pairs[0].groups) == 3
    assert named.pairs[0].mean_jaccard == np.diagonal(named.pairs[0].jaccard)[: named.pairs[0].matched].sum() / 3


def test_classes_that_only_other_maps_have_get_values_of_their_own() -> None:
    a, b, c = (np.array(item, np.uint8) for item in ([1, 1, 3], [2, 4, 4], [9, 4, 9]))
    names = [{1: "town", 2: "crop", 3: "water"}, {2: "town", 4: "forest"}, {9: "water", 4: "forest"}]
    frame = related([a, b, c], names, "names").frame
    assert frame.sources == {1: (0, 1), 2: (0, 2), 3: (0, 3), 4: (1, 4)}
    said = [table[item].tolist() for table, item in zip(frame.tables, (a, b, c), strict=True)]
    assert said == [[1, 1, 3], [1, 4, 4], [3, 4, 3]]
    assert frame.disagree == 5


def test_an_unknown_pivot_and_a_full_byte_are_refused(rng: np.random.Generator) -> None:
    maps = random_maps(rng, 3, 3)
    with pytest.raises(UsageError, match="--pivot z is none of the maps; they are called a, b"):
        related(maps, pivot="z")
    full = np.array([255, 1, 1], np.uint8)
    with pytest.raises(UsageError, match="255, which leaves none"):
        related([full, np.array([1, 2, 2], np.uint8)])
