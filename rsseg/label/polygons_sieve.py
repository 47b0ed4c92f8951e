"""Small regions of a label map given to their neighbours, strip by strip, as on the whole map at once.

The rule, from the smallest region to the largest (of equal ones, the one whose first pixel comes first, row by row):
a region of fewer pixels than the minimum takes the label with which it shares most pixel sides (of equal ones, the
smaller label) and becomes one with the regions of that label beside it, which may make these large enough. No data is
no neighbour: a region that touches nothing else stays as it is. Without data stays without data.

A region may be decided as soon as it is complete and every small neighbour comes after it: whatever is decided
elsewhere, or lies beyond the rows read so far, can no longer change its border, nor the labels along it. So rows are
kept only from the topmost undecided region on, and the result does not depend on the strips.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from rsseg.label.polygons_trace import regions_of

Labels = NDArray[np.uint8]


def sieve(strips: Iterable[Labels], minimum: int) -> Iterator[Labels]:
    """Yield the rows of a map, (h, w) uint8 strips of any heights, without regions of fewer than ``minimum`` pixels.

    Memory is that of a strip and of the rows that undecided regions cover: it grows with ``minimum``.
    """
    if minimum <= 1:
        yield from strips
        return
    kept: Labels | None = None
    context = 0
    for strip in strips:
        rows = strip if kept is None else np.concatenate([kept, strip])
        rows, first = sieve_rows(rows, minimum, context, complete=False)
        if first > context:
            yield rows[context:first]
        # one finished row stays, as the neighbour of the first one that is not
        context = min(1, first)
        kept = rows[first - context :]
    if kept is not None and len(kept) > context:
        yield sieve_rows(kept, minimum, context, complete=True)[0][context:]


def sieve_rows(rows: Labels, minimum: int, context: int, complete: bool) -> tuple[Labels, int]:
    """Decide what can be decided of some rows.

    Args:
        rows: labels (h, w); the first ``context`` of them are finished, and so are the regions in them.
        minimum: pixels of a region that stays.
        context: 0 or 1.
        complete: whether the map ends here.

    Returns: the rows with their new labels, and the first row that may still change (h if there is none).
    """
    regions = regions_of(rows)
    graph = _Graph.of(regions, rows, minimum)
    graph.size[regions[:context]] += minimum
    if not complete:
        graph.open[regions[-1]] = True
    while graph.step():
        pass
    waiting = (graph.size < minimum) & (graph.open | graph.has_neighbour)
    waiting[0] = False
    late = waiting[graph.root][regions].any(axis=1) if waiting.any() else np.zeros(len(rows), bool)
    first = int(np.argmax(late)) if late.any() else len(rows)
    return graph.label[graph.root][regions], first


@dataclass
class _Graph:
    """Regions, and the borders between them of which at least one side is small.

    By region, at its root: ``size`` in pixels, ``label``, ``open`` where rows below may add to it. ``root`` leads from
    a region to the one that it has become part of. ``sides`` (2, n) are the regions on both sides of a border and
    ``length`` (n,) its pixel sides; a border may stand there in several parts.
    """

    minimum: int
    root: NDArray[np.int64]
    size: NDArray[np.int64]
    label: Labels
    open: NDArray[np.bool_]
    sides: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def of(cls, regions: NDArray[np.int32], labels: Labels, minimum: int) -> "_Graph":
        size = np.bincount(regions.ravel())
        count = len(size)
        label = np.zeros(count, np.uint8)
        label[regions] = labels
        # regions without data neither move nor attract
        size[label == 0] = minimum
        small = size < minimum
        pairs = [_borders(regions[:, :-1], regions[:, 1:], small), _borders(regions[:-1], regions[1:], small)]
        one, other = np.concatenate(pairs, axis=1).astype(np.int64)
        data = (label[one] > 0) & (label[other] > 0)
        keys, length = np.unique(one[data] * count + other[data], return_counts=True)
        sides = np.stack(np.divmod(keys, count))
        return cls(minimum, np.arange(count), size, label, np.zeros(count, bool), sides, length)

    @property
    def has_neighbour(self) -> NDArray[np.bool_]:
        """Regions with a border to other labels."""
        found = np.zeros(len(self.root), bool)
        found[self.sides.ravel()] = True
        return found

    def step(self) -> bool:
        """Decide all regions that come before all of their small neighbours; False if there is none."""
        one, other = np.concatenate([self.sides, self.sides[::-1]], axis=1)
        length = np.concatenate([self.length, self.length])
        small = (self.size < self.minimum) & ~self.open
        # the number of a region grows with its first pixel
        later = (self.size[one] > self.size[other]) | ((self.size[one] == self.size[other]) & (one > other))
        small[one[later]] = False
        chosen = small[one]
        if not chosen.any():
            return False
        one, other, length = one[chosen], other[chosen], length[chosen]
        wins = self._longest(one, other, length)
        self.label[one] = wins[one]
        self._unite(one, other, self.label[other] == wins[one])
        return True

    def _longest(self, one: NDArray, other: NDArray, length: NDArray) -> Labels:
        """By region, the label with which it shares most sides."""
        keys, place = np.unique(one * 256 + self.label[other], return_inverse=True)
        total = np.bincount(place, length).astype(np.int64)
        owner, label = np.divmod(keys, 256)
        order = np.lexsort((-label, total, owner))
        best = np.zeros(len(self.root), np.uint8)
        best[owner[order]] = label[order]
        return best

    def _unite(self, one: NDArray, other: NDArray, same: NDArray[np.bool_]) -> None:
        """Join regions across borders (n,) that are ``same``, and forget borders that no longer matter."""
        names, place = np.unique(np.concatenate([one[same], other[same]]), return_inverse=True)
        pairs = coo_matrix((np.ones(same.sum(), np.int8), place.reshape(2, -1)), shape=(len(names), len(names)))
        count, group = connected_components(pairs, directed=False)
        head = np.full(count, len(self.root))
        np.minimum.at(head, group, names)
        size = np.bincount(group, self.size[names], count).astype(np.int64)
        opened = np.bincount(group, self.open[names], count) > 0
        moved = np.arange(len(self.root))
        moved[names] = head[group]
        self.size[head], self.open[head] = size, opened
        self.root = moved[self.root]
        sides = moved[self.sides]
        matter = (sides[0] != sides[1]) & (self.size[sides] < self.minimum).any(axis=0)
        self.sides, self.length = sides[:, matter], self.length[matter]


def _borders(one: NDArray[np.int32], other: NDArray[np.int32], small: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Pairs (2, n) of different regions that lie side by side, where one of them is small."""
    place = np.flatnonzero(one != other)
    first, second = one.ravel()[place], other.ravel()[place]
    wanted = small[first] | small[second]
    return np.stack([first[wanted], second[wanted]])
