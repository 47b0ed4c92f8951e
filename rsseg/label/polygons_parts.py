"""Parts of polygons while they are traced: regions that are not complete, and the open lines of their borders."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rsseg.label.polygons_lots import Points, Polygons, gathered
from rsseg.label.polygons_trace import ring_areas


@dataclass
class Region:
    """A region that is not complete, or the part of one; ``root`` is what it has become part of.

    ``points`` are the corners of its finished rings, lot by lot, ``lengths`` how many each ring of a lot has.
    """

    value: int
    first: int
    totals: NDArray[np.float64]
    points: list[Points] = field(default_factory=list)
    lengths: list[NDArray[np.int64]] = field(default_factory=list)
    into: "Region | None" = None

    @property
    def root(self) -> "Region":
        """The region that this one has become part of."""
        return _root(self)

    def add(self, points: Points, lengths: NDArray[np.int64]) -> None:
        """Keep some finished rings."""
        self.points.append(points)
        self.lengths.append(lengths)

    def take(self, other: "Region") -> None:
        """Become one with another region, both of them roots."""
        if other is self:
            return
        large, small = (self, other) if len(self.points) >= len(other.points) else (other, self)
        # in the order of rows, so that sums do not depend on which one is larger
        totals = self.totals + other.totals
        large.first, large.totals = min(self.first, other.first), totals
        large.points += small.points
        large.lengths += small.lengths
        small.points, small.lengths, small.into = [], [], large

    def polygon(self) -> Polygons:
        """The complete region, whose parts are given away."""
        lengths = np.concatenate(self.lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        points = np.concatenate(self.points)
        # a region as wide as the map has tens of millions of corners: no second copy of them
        self.points, self.lengths = [], []
        areas = ring_areas(points[:, 0].astype(np.int64), points[:, 1].astype(np.int64), offsets)
        order = np.lexsort((_firsts(points, offsets), areas <= 0))
        points, offsets = gathered(points, offsets, order)
        return Polygons(
            points,
            offsets,
            np.array([0, len(lengths)]),
            np.array([self.value], np.uint8),
            np.array([self.first]),
            self.totals[None],
        )


Part = TypeVar("Part", "Region", "Line")


@dataclass
class Line:
    """An open line of a region's border, in pieces; ``root`` is the line that it has become part of."""

    region: Region
    points: deque[Points]
    head: int = -1
    tail: int = -1
    into: "Line | None" = None

    @property
    def root(self) -> "Line":
        """The line that this one has become part of."""
        return _root(self)

    def join(self, other: "Line", plain: bool) -> None:
        """Go on with a line that begins where this one ends; a line that comes back to itself is a ring.

        At a ``plain`` corner, which only this line passes, the corner is left out where the line goes straight on.
        """
        before, corner, after = self._end(-2), self._end(-1), other._end(1)
        straight = plain and _cross(before, corner, after) == 0
        self._drop(-1)
        if straight:
            other._drop(0)
        if other is self:
            for ring in _simple(np.concatenate(self.points)):
                self.region.root.add(ring, np.array([len(ring)]))
            self.points.clear()
        elif len(self.points) >= len(other.points):
            self.points.extend(other.points)
            other.into = self
        else:
            other.points.extendleft(reversed(self.points))
            self.into = other

    def _end(self, place: int) -> NDArray[np.int32]:
        """The first two points (0, 1) or the last two (-2, -1)."""
        order = self.points if place >= 0 else reversed(self.points)
        left = place if place >= 0 else -1 - place
        for points in order:
            if left < len(points):
                return np.asarray(points[left if place >= 0 else -1 - left])
            left -= len(points)
        raise IndexError(place)

    def _drop(self, place: int) -> None:
        """Leave out the first (0) or the last (-1) point."""
        if place == 0:
            rest = self.points.popleft()[1:]
            if len(rest):
                self.points.appendleft(rest)
        else:
            rest = self.points.pop()[:-1]
            if len(rest):
                self.points.append(rest)


def _root(part: Part) -> Part:
    """What a part has become part of at last; the ways there are halved as they are gone."""
    while part.into is not None:
        if part.into.into is not None:
            part.into = part.into.into
        part = part.into
    return part


def _cross(before: Sequence[int] | NDArray, corner: Sequence[int] | NDArray, after: Sequence[int] | NDArray) -> int:
    (x0, y0), (x1, y1), (x2, y2) = ((int(x), int(y)) for x, y in (before, corner, after))
    return (x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)


def _simple(ring: Points) -> list[Points]:
    """A ring, parted where it comes to a corner twice: there a region meets itself across a seam."""
    keys = ring[:, 0].astype(np.int64) << 32 | ring[:, 1]
    names, counts = np.unique(keys, return_counts=True)
    twice = set(names[counts > 1].tolist())
    if not twice:
        return [ring]
    found: list[list[int]] = []
    path: list[int] = []
    seen: dict[int, int] = {}
    for place, key in enumerate(keys.tolist()):
        if key in seen:
            found.append(path[seen[key] :])
            for left in path[seen[key] :]:
                seen.pop(int(keys[left]), None)
            del path[len(path) - len(found[-1]) :]
        if key in twice:
            seen[key] = len(path)
        path.append(place)
    return [ring[places] for places in [*found, path]]


def pieces(ring: Points, gone: NDArray[np.bool_]) -> Iterator[Points]:
    """The lines that are left of a ring without the pieces that are gone."""
    size = len(ring)
    starts = np.flatnonzero(~gone & np.roll(gone, 1))
    ends = np.flatnonzero(gone & ~np.roll(gone, 1))
    ends = np.roll(ends, -int(np.searchsorted(ends, starts[0], side="right")))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield ring[np.arange(start, end + 1 if end > start else end + size + 1) % size]


def _firsts(points: Points, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest row and column of each ring as one number, to order rings by."""
    keys = points[:, 1].astype(np.int64) << 32 | points[:, 0]
    return np.asarray(np.minimum.reduceat(keys, offsets[:-1]))
