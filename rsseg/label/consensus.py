"""How far the clusters of several maps of one place are the same (RECAL, section 4.4.1)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from rsseg.label.matching import one_to_one


def jaccard(table: np.ndarray) -> np.ndarray:
    """Jaccard similarity of every pair of clusters (RECAL, equation 5).

    J[i, j] = |M1_i and M2_j| / |M1_i or M2_j| over the pixels that are valid in both maps.

    Args:
        table: (clusters of map 1, clusters of map 2) counts.

    Returns: float64 of the same shape, 0 to 1; 0 where neither map has the cluster.
    """
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0, keepdims=True) - table
    return np.divide(table, union, out=np.zeros(table.shape), where=union > 0)


@dataclass(frozen=True)
class PairConsensus:
    """Two maps compared cluster by cluster, in matched order.

    ``rows`` and ``cols`` are cluster values of the first and the second map: the ``matched`` pairs first, on the
    diagonal, then the clusters without a partner. ``counts`` (int64) and ``jaccard`` (float64) are (rows, cols).
    """

    first: str
    second: str
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
    def pixels(self) -> int:
        """The pixels compared."""
        return int(self.counts.sum())

    @property
    def mean_jaccard(self) -> float:
        """Mean Jaccard of the matches; if fewer match than the smaller map has clusters, the rest count as 0."""
        return float(np.diagonal(self.jaccard)[: self.matched].sum() / min(self.jaccard.shape))

    @property
    def agreement(self) -> float:
        """The share of the pixels on which matched clusters lie on each other."""
        return float(np.diagonal(self.counts)[: self.matched].sum() / self.pixels)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        diagonal = np.diagonal(self.jaccard)
        return {
            "first": self.first,
            "second": self.second,
            "pixels": self.pixels,
            "mean_matched_jaccard": self.mean_jaccard,
            "agreement": self.agreement,
            "matches": [
                {"first": row, "second": col, "jaccard": float(diagonal[i])} for i, (row, col) in enumerate(self.pairs)
            ],
            "unmatched_first": list(self.rows[self.matched :]),
            "unmatched_second": list(self.cols[self.matched :]),
            "rows": list(self.rows),
            "columns": list(self.cols),
            "jaccard": self.jaccard.tolist(),
            "counts": self.counts.tolist(),
        }


def compare(table: np.ndarray, first: str, second: str) -> PairConsensus:
    """Match the clusters of two maps by the Hungarian method on their Jaccard similarity.

    Args:
        table: (rows + 1, cols + 1) contingency; row and column 0 (no data) are left out, and so are clusters without
            a pixel that both maps label.
        first, second: the maps' names.
    """
    rows, cols = np.flatnonzero(table[1:, 1:].any(axis=1)) + 1, np.flatnonzero(table[1:, 1:].any(axis=0)) + 1
    counts = table[np.ix_(rows, cols)]
    scores = jaccard(counts)
    match = one_to_one(scores)
    order = np.ix_(match.row_order, match.col_order)
    return PairConsensus(
        first,
        second,
        tuple(int(value) for value in rows[match.row_order]),
        tuple(int(value) for value in cols[match.col_order]),
        len(match.pairs),
        counts[order],
        scores[order],
    )
