"""Which cluster of one map is which of another, or which class: one to one, or many to one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Matching:
    """Pairs of (row, column) of a score table, by rising row, and the rows and columns without a partner."""

    pairs: tuple[tuple[int, int], ...]
    single_rows: tuple[int, ...]
    single_cols: tuple[int, ...]

    @property
    def row_order(self) -> list[int]:
        """Rows in matched order: those with a partner first."""
        return [row for row, _ in self.pairs] + list(self.single_rows)

    @property
    def col_order(self) -> list[int]:
        """Columns in matched order: partners of the rows first, so that they lie on the diagonal."""
        return [col for _, col in self.pairs] + list(self.single_cols)


def one_to_one(scores: np.ndarray) -> Matching:
    """The pairs of rows and columns with the largest sum of scores (Hungarian method; Kuhn 1955).

    Args:
        scores: (rows, cols), not negative; the numbers of rows and columns may differ. A pair that scores 0 has
            nothing in common and is no match.
    """
    rows, cols = linear_sum_assignment(scores, maximize=True)
    pairs = [(int(row), int(col)) for row, col in zip(rows, cols, strict=True) if scores[row, col] > 0]
    return matching_of(pairs, scores.shape)


def matching_of(pairs: Sequence[tuple[int, int]], shape: tuple[int, ...]) -> Matching:
    """Pairs that are known beforehand, each row and column in one of them at most, of a table of ``shape``."""
    rows, cols = {row for row, _ in pairs}, {col for _, col in pairs}
    return Matching(
        tuple(sorted(pairs)),
        tuple(row for row in range(shape[0]) if row not in rows),
        tuple(col for col in range(shape[1]) if col not in cols),
    )


def assign_one_to_one(counts: np.ndarray) -> np.ndarray:
    """For each row the column that the Hungarian method gives it, or -1: (rows,) int64 from counts (rows, cols)."""
    assigned = np.full(counts.shape[0], -1, np.int64)
    for row, col in one_to_one(counts).pairs:
        assigned[row] = col
    return assigned


def assign_many_to_one(counts: np.ndarray) -> np.ndarray:
    """For each row its most frequent column (the first of equals), or -1 for an empty row: (rows,) int64."""
    return np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), -1)
