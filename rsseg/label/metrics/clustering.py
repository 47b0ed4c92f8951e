"""Scores of a clustering that need no assignment of clusters to classes."""

from typing import cast

import numpy as np


def normalised_mutual_information(table: np.ndarray) -> float:
    """Mutual information over the arithmetic mean of both entropies, 0 to 1.

    Args:
        table: (clusters, classes) counts.

    Two clusterings of one cluster each count as equal (1), as in scikit-learn.
    """
    total = table.sum()
    rows, cols = table.sum(axis=1) / total, table.sum(axis=0) / total
    mean_entropy = (_entropy(rows) + _entropy(cols)) / 2
    if mean_entropy == 0:
        return 1.0
    information = _entropy(rows) + _entropy(cols) - _entropy((table / total).ravel())
    return float(min(1.0, max(0.0, information / mean_entropy)))


def adjusted_rand_index(table: np.ndarray) -> float:
    """The share of pixel pairs on which both agree, adjusted so that chance scores 0 (Hubert and Arabie 1985).

    Args:
        table: (clusters, classes) counts.

    The pairs of 3e8 pixels and their products exceed 64 bits: they are counted in Python's integers.
    """
    together = _sum_of_squares(table)
    in_rows, in_cols = _sum_of_squares(table.sum(axis=1)), _sum_of_squares(table.sum(axis=0))
    total = int(table.sum())
    both, only_rows, only_cols = together - total, in_rows - together, in_cols - together
    neither = total * total - together - only_rows - only_cols
    if only_rows == 0 and only_cols == 0:
        return 1.0
    expected = (both + only_rows) * (only_rows + neither) + (both + only_cols) * (only_cols + neither)
    return 2 * (both * neither - only_rows * only_cols) / expected


def _entropy(shares: np.ndarray) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _sum_of_squares(counts: np.ndarray) -> int:
    return sum(value * value for value in cast(list[int], counts.ravel().tolist()))
