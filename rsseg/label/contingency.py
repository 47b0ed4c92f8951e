"""How often the values of two label arrays meet: the one table behind Jaccard, confusion and clustering scores."""

import numpy as np

from rsseg.errors import InputError

# 256 Ki pixels: the widened index stays in the second-level cache, twice as fast as a whole strip at once
_CHUNK = 1 << 18


def contingency(a: np.ndarray, b: np.ndarray, rows: int, cols: int) -> np.ndarray:
    """Count the pixels of each pair of values.

    Args:
        a, b: uint8 label arrays of one shape; 0 is no data.
        rows, cols: the largest value of ``a`` and of ``b``, at most 255.

    Returns: (rows + 1, cols + 1) int64; row and column 0 count no data.

    Raises: InputError if a value lies above ``rows`` or ``cols``.
    """
    if a.shape != b.shape or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"label arrays are uint8 and of one shape, not {a.dtype} {a.shape} and {b.dtype} {b.shape}")
    first, second = a.ravel(), b.ravel()
    table = np.zeros(1 << 16, np.int64)
    for start in range(0, first.size, _CHUNK):
        index = first[start : start + _CHUNK].astype(np.uint16)
        index <<= 8
        index |= second[start : start + _CHUNK]
        table += np.bincount(index, minlength=1 << 16)
    square = table.reshape(256, 256)
    if square[rows + 1 :].any() or square[:, cols + 1 :].any():
        raise InputError(f"a label lies above the largest expected value, {rows} or {cols}")
    return square[: rows + 1, : cols + 1].copy()
