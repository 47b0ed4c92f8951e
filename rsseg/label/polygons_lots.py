"""Lots of complete polygons, in arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.int32]


@dataclass(frozen=True)
class Polygons:
    """Some polygons with what is known of their pixels.

    ``points`` (n, 2) int32 are corners as (column, row) of the map; ring i lies from ``rings[i]`` to ``rings[i + 1]``,
    polygon j has the rings from ``parts[j]`` to ``parts[j + 1]``, its outer one first. ``value`` (p,) is the label,
    ``first`` (p,) the first pixel's row * width + column, ``totals`` (p, k) float64 whatever was summed over pixels.
    """

    points: Points
    rings: NDArray[np.int64]
    parts: NDArray[np.int64]
    value: NDArray[np.uint8]
    first: NDArray[np.int64]
    totals: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.value)


def joined(pieces: Sequence[Polygons], columns: int) -> Polygons:
    """Several lots of polygons as one."""
    rings = [np.diff(piece.rings) for piece in pieces]
    parts = [np.diff(piece.parts) for piece in pieces]
    return Polygons(
        np.concatenate([piece.points for piece in pieces]).reshape(-1, 2),
        np.concatenate([[0], np.cumsum(np.concatenate(rings))]),
        np.concatenate([[0], np.cumsum(np.concatenate(parts))]),
        np.concatenate([piece.value for piece in pieces]),
        np.concatenate([piece.first for piece in pieces]),
        np.concatenate([piece.totals for piece in pieces]).reshape(-1, columns),
    )


def gathered(
    points: NDArray, offsets: NDArray[np.int64], order: NDArray[np.integer]
) -> tuple[NDArray, NDArray[np.int64]]:
    """Some rings in another order: their points and offsets."""
    lengths = np.diff(offsets)[order]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(ends[-1]) + np.repeat(offsets[:-1][order] - ends[:-1], lengths)
    return points[place], ends
