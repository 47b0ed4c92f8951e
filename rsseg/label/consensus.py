"""How far the clusters of several maps of one place are the same (RECAL, section 4.4.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rsseg.label.consensus_reduction import Grouping, Way, separate
from rsseg.label.matching import matching_of, one_to_one


def jaccard(table: np.ndarray) -> np.ndarray:
    """Jaccard similarity of every pair of clusters (RECAL, equation 5).

    J[i, j] = |M1_i and M2_j| / |M1_i or M2_j| over the pixels that are valid in both maps.

    Args:
        table: (clusters of map 1, clusters of map 2) counts.

    Returns: float64 of the same shape, 0 to 1; 0 where neither map has the cluster.
    """
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    return np.divide(table, union, out=np.zeros(table.shape), where=union > 0)


class Match(NamedTuple):
    """A cluster of the first map, the cluster of the second that is the same, and their Jaccard similarity.

    Where clusters were joined, the one with the most pixels stands for its group (``PairConsensus.groups``).
    """

    first: int
    second: int
    jaccard: float


@dataclass(frozen=True)
class PairConsensus:
    """Two maps compared cluster by cluster, in matched order.

    ``rows`` and ``cols`` are clusters of the first and the second map: the ``matched`` pairs first, on the diagonal,
    then those without a partner. ``row_groups`` and ``col_groups`` have the clusters for which each of them stands,
    more than one where ``way`` joined some. ``counts`` (int64) and ``jaccard`` (float64) are (rows, cols).
    """

    first: str
    second: str
    way: Way
    row_groups: tuple[tuple[int, ...], ...]
    col_groups: tuple[tuple[int, ...], ...]
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    matched: int
    counts: np.ndarray
    jaccard: np.ndarray

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The matched clusters (first map, second map)."""
        return tuple(zip(self.rows[: self.matched], self.cols, strict=False))

    @property
    def groups(self) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
        """The clusters of each match (of the first map, of the second), in the order of ``pairs``."""
        return tuple(zip(self.row_groups[: self.matched], self.col_groups, strict=False))

    @property
    def pixels(self) -> int:
        """The pixels compared."""
        return int(self.counts.sum())

    @property
    def mean_jaccard(self) -> float:
        """Mean Jaccard over the classes of the map that has fewer, before any were joined; the unmatched count as 0."""
        by_name = self.way == "names"
        sizes = (len(groups) if by_name else sum(map(len, groups)) for groups in (self.row_groups, self.col_groups))
        return float(np.diagonal(self.jaccard)[: self.matched].sum() / min(sizes))

    @property
    def agreement(self) -> float:
        """The share of the pixels on which matched clusters lie on each other."""
        return float(np.diagonal(self.counts)[: self.matched].sum() / self.pixels)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "first": self.first,
            "second": self.second,
            "matching": self.way,
            "pixels": self.pixels,
            "mean_matched_jaccard": self.mean_jaccard,
            "agreement": self.agreement,
            "matches": [
                {**found._asdict(), "first_clusters": list(left), "second_clusters": list(right)}
                for found, (left, right) in zip(matched(self), self.groups, strict=True)
            ],
            "unmatched_first": list(self.rows[self.matched :]),
            "unmatched_second": list(self.cols[self.matched :]),
            "rows": list(self.rows),
            "columns": list(self.cols),
            "row_clusters": [list(group) for group in self.row_groups],
            "column_clusters": [list(group) for group in self.col_groups],
            "jaccard": self.jaccard.tolist(),
            "counts": self.counts.tolist(),
        }


def matched(pair: PairConsensus) -> list[Match]:
    """The matches of a pair, in the order of its table."""
    return [Match(row, col, float(pair.jaccard[place, place])) for place, (row, col) in enumerate(pair.pairs)]


def group_title(members: Sequence[int], titles: Mapping[int, str]) -> str:
    """What joined clusters are called: each name once."""
    return " + ".join(dict.fromkeys(titles.get(value, f"cluster {value}") for value in members))


def compare(table: np.ndarray, first: str, second: str, groups: Grouping | None = None) -> PairConsensus:
    """Compare two maps by how often their clusters meet.

    Args:
        table: (rows + 1, cols + 1) contingency; row and column 0 (no data) are left out, and so are clusters without
            a pixel that both maps label.
        first, second: the maps' names.
        groups: which clusters are taken together and which match; by default each stands for itself, matched by the
            Hungarian method on their Jaccard similarity.
    """
    groups = groups or separate(table)
    counts = _members(groups.rows, table.shape[0]) @ table @ _members(groups.cols, table.shape[1]).T
    scores = jaccard(counts)
    match = one_to_one(scores) if groups.matches is None else matching_of(groups.matches, scores.shape)
    order = np.ix_(match.row_order, match.col_order)
    row_groups = tuple(groups.rows[place] for place in match.row_order)
    col_groups = tuple(groups.cols[place] for place in match.col_order)
    return PairConsensus(
        first,
        second,
        groups.way,
        row_groups,
        col_groups,
        _largest(row_groups, table[1:, 1:].sum(axis=1)),
        _largest(col_groups, table[1:, 1:].sum(axis=0)),
        len(match.pairs),
        counts[order],
        scores[order],
    )


def _members(groups: tuple[tuple[int, ...], ...], values: int) -> np.ndarray:
    """(groups, values) int64: 1 where a value belongs to a group."""
    table = np.zeros((len(groups), values), np.int64)
    for place, members in enumerate(groups):
        table[place, list(members)] = 1
    return table


def _largest(groups: tuple[tuple[int, ...], ...], pixels: np.ndarray) -> tuple[int, ...]:
    """The cluster of each group with the most pixels, the lowest of equals; ``pixels`` starts at value 1."""
    return tuple(max(group, key=lambda value: (pixels[value - 1], -value)) for group in groups)
