"""Outlines of the regions of a band of rows: rings on the lattice of pixel corners, all traced at once.

A region is what equal labels that share pixel sides make (4-connected). Rings keep a corner wherever they turn and
wherever a third region begins on either side, so that neighbours have the same corners along their common border.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, depth_first_order
from skimage.measure import label as connected

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Band:
    """Rows of a label map, with the rows beyond them and their regions.

    ``labels`` (h, w) uint8 begins at row ``row`` of the map; ``above`` and ``below`` (w,) are the neighbouring rows, 0
    at the map's edge. ``regions`` (h, w) int32 numbers what is connected within the band from 1, in the order of first
    pixels, no data (0) included.
    """

    row: int
    labels: NDArray[np.uint8]
    above: NDArray[np.uint8]
    below: NDArray[np.uint8]
    regions: NDArray[np.int32]

    @property
    def count(self) -> int:
        """The number of regions."""
        return int(self.regions.max())


@dataclass(frozen=True)
class Rings:
    """Closed lines: ``points`` (n, 2) int32 as (column, row), ring i from ``offsets[i]`` to ``offsets[i + 1]``.

    The first point is not repeated. ``owner`` (rings,) is the region; seen in the raster, where rows grow downwards,
    outer rings run clockwise and holes the other way.
    """

    points: NDArray[np.int32]
    offsets: NDArray[np.int64]
    owner: NDArray[np.int32]


def regions_of(labels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Number the 4-connected regions of equal labels (h, w) from 1, by first pixel; 0 is a label like any other."""
    # no label is -1, so that nothing is background
    return np.asarray(connected(labels.astype(np.int16), background=-1, connectivity=1), np.int32)


def ring_areas(x: NDArray, y: NDArray, offsets: NDArray[np.int64]) -> NDArray:
    """Signed areas of closed lines with corners (x, y), in the type and the unit of the coordinates' product."""
    following = next_point(offsets)
    cross = x * y[following] - x[following] * y
    return np.asarray(np.add.reduceat(cross, offsets[:-1]) / 2) if len(cross) else np.zeros(0)


def next_point(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of the point after each one, around its ring."""
    following = np.arange(1, offsets[-1] + 1)
    following[offsets[1:] - 1] = offsets[:-1]
    return following


def trace(band: Band, empty: bool = False) -> Rings:
    """The rings of all regions of a band, as if the rows beyond it were other regions.

    Rings of one region touch in corners only, and the interior is connected: polygons of them are valid.

    Args:
        band: the rows.
        empty: also outline what holds no data.
    """
    regions = np.pad(band.regions, 1)
    labels = np.zeros(regions.shape, np.uint8)
    labels[:, 1:-1] = np.concatenate([band.above[None], band.labels, band.below[None]])
    runs = [_Runs.of(regions, labels, side, empty) for side in range(4)]
    after = _following(runs, regions)
    points = np.concatenate([part.points(band.row, regions.shape[1]) for part in runs])
    owner = regions.ravel()[np.concatenate([part.first for part in runs])]
    order, offsets = _cycles(after)
    return Rings(points[order], offsets, owner[order[offsets[:-1]]])


# what lies beyond a side, and the corner of the pixel where the walk along it begins, as (rows, columns)
_BEYOND = ((-1, 0), (0, 1), (1, 0), (0, -1))
_CORNER = ((0, 0), (0, 1), (1, 1), (1, 0))


@dataclass(frozen=True)
class _Runs:
    """Straight pieces of border on one side of their pixels, walked with the pixels on the right.

    Sides: 0 above (walked east), 1 right (south), 2 below (west), 3 left (north). ``first`` and ``last`` are the
    pixels where the walks begin and end, as positions in the padded band.
    """

    side: int
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, regions: NDArray[np.int32], labels: NDArray[np.uint8], side: int, empty: bool) -> "_Runs":
        """Find the pieces on one side; both arrays (h + 2, w + 2) are padded."""
        own, beyond = _shifted(labels, (0, 0)), _shifted(labels, _BEYOND[side])
        border = _shifted(regions, (0, 0)) != _shifted(regions, _BEYOND[side])
        if not empty:
            border &= own > 0
        if side in (1, 3):
            own, beyond, border = own.T, beyond.T, np.ascontiguousarray(border.T)
        # a piece ends where a third region begins on either side of it
        on = border[:, 1:] & border[:, :-1] & (own[:, 1:] == own[:, :-1]) & (beyond[:, 1:] == beyond[:, :-1])
        head, tail = border.copy(), border
        head[:, 1:] &= ~on
        tail[:, :-1] &= ~on
        if side in (2, 3):
            head, tail = tail, head
        return cls(side, *(_positions(ends, side in (1, 3), regions.shape[1]) for ends in (head, tail)))

    def points(self, row: int, stride: int) -> NDArray[np.int32]:
        """The corners where the walks begin, as (column, row) of the map."""
        rows, cols = np.divmod(self.first, stride)
        down, right = _CORNER[self.side]
        return np.stack([cols - 1 + right, rows - 1 + down + row], axis=-1).astype(np.int32)

    def next(self, regions: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Pixel and side of the piece that follows each one, in the same region."""
        flat, stride = regions.ravel(), regions.shape[1]
        (down, right), (out_down, out_right) = _BEYOND[(self.side + 1) % 4], _BEYOND[self.side]
        ahead = self.last + down * stride + right
        across = ahead + out_down * stride + out_right
        own = flat[self.last]
        # the diagonal pixel first: where a region meets itself in a corner, its rings part instead of crossing
        left, right_turn = flat[across] == own, flat[ahead] != own
        pixel = np.where(left, across, np.where(right_turn, self.last, ahead))
        turn = np.where(left, -1, np.where(right_turn, 1, 0))
        return pixel, ((self.side + turn) % 4).astype(np.int8)


def _shifted(padded: NDArray, step: tuple[int, int]) -> NDArray:
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    return padded[1 + step[0] : 1 + step[0] + height, 1 + step[1] : 1 + step[1] + width]


def _positions(ends: Flags, upright: bool, stride: int) -> NDArray[np.int64]:
    """Set pixels as positions in the padded band, line by line; lines are columns where ``upright``."""
    line, place = np.divmod(np.flatnonzero(ends), ends.shape[1])
    rows, cols = (place, line) if upright else (line, place)
    return np.asarray((rows + 1) * stride + cols + 1)


def _following(runs: list[_Runs], regions: NDArray[np.int32]) -> NDArray[np.int32]:
    """The piece that follows each piece, all sides numbered together."""
    pairs = [part.next(regions) for part in runs]
    pixel, side = (np.concatenate(column) for column in zip(*pairs, strict=True))
    after = np.empty(len(pixel), np.int32)
    number = np.empty(regions.size, np.int32)
    done = 0
    for part in runs:
        number[part.first] = np.arange(done, done + len(part.first), dtype=np.int32)
        done += len(part.first)
        wanted = side == part.side
        after[wanted] = number[pixel[wanted]]
    return after


def _cycles(after: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The cycles of a permutation: all elements, cycle after cycle, and where the cycles begin and end.

    Cycles, and the elements of one, begin with the smallest. One walk in C goes through all of them, for which the
    last element of each is led on to the next cycle.
    """
    size = len(after)
    if size == 0:
        return np.zeros(0, np.int32), np.zeros(1, np.int64)
    count, cycle = connected_components(_graph(after), connection="strong")
    first = np.empty(count, np.int64)
    first[cycle[::-1]] = np.arange(size - 1, -1, -1)
    first.sort()
    before = np.empty(size, np.int32)
    before[after] = np.arange(size, dtype=np.int32)
    led = after.copy()
    led[before[first]] = np.roll(first, -1)
    order = depth_first_order(_graph(led), first[0], return_predecessors=False)
    lengths = np.bincount(cycle, minlength=count)[cycle[first]]
    return order, np.concatenate([[0], np.cumsum(lengths)])


def _graph(after: NDArray[np.int32]) -> csr_matrix:
    size = len(after)
    return csr_matrix((np.ones(size, np.int8), after, np.arange(size + 1, dtype=np.int32)), shape=(size, size))
