"""Polygons of a whole map from the rings of its bands: lines cut at the seams between bands are joined again.

What no seam cuts is handed on at once. Of a region that goes on below, its finished rings are kept, and its open lines
wait with their ends at the seam. A region whose rows are all read is handed on and forgotten.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.label.polygons_lots import Polygons, gathered, joined
from rsseg.label.polygons_parts import Line, Region, pieces
from rsseg.label.polygons_trace import Band, Rings, next_point, ring_areas


class Joiner:
    """Takes bands from top to bottom; memory is that of the regions which are not complete."""

    def __init__(self) -> None:
        self._open: dict[int, Region] = {}
        self._heads: dict[int, Line] = {}
        self._tails: dict[int, Line] = {}
        self._last: tuple[NDArray[np.int32], NDArray[np.uint8]] | None = None

    def add(self, band: Band, rings: Rings, totals: NDArray[np.float64]) -> Polygons:
        """The polygons that end in a band, in the order of their first pixels.

        Args:
            band: the rows after those before.
            rings: the outlines of its regions, closed at the seams.
            totals: (regions + 1, k) sums over the pixels of each region.
        """
        seams = _Seams.of(band)
        first = _first_pixels(band)
        value = band.labels.ravel()[first]
        first += band.row * band.labels.shape[1]
        crossing = seams.crossing(band)
        here = {
            int(name): Region(int(value[name]), int(first[name]), totals[name]) for name in np.flatnonzero(crossing)
        }
        self._unite(band, seams, here)
        cut = crossing[rings.owner]
        self._take(rings, cut, seams, here)
        self._last = band.regions[-1], band.labels[-1]
        finished = self._finish(band, seams, here)
        whole = _whole(rings, ~cut, value, first, totals)
        return joined([*[region.polygon() for region in finished], whole], totals.shape[1])

    def _unite(self, band: Band, seams: "_Seams", here: dict[int, "Region"]) -> None:
        """Regions on both sides of the upper seam become one."""
        if self._last is None:
            return
        pairs = np.stack([self._last[0], band.regions[0]], axis=1)[seams.top]
        for above, below in np.unique(pairs, axis=0):
            self._open[int(above)].root.take(here[int(below)].root)

    def _take(self, rings: Rings, cut: NDArray[np.bool_], seams: "_Seams", here: dict[int, "Region"]) -> None:
        """Keep the rings of regions that cross a seam, cut where the region goes on."""
        gone = seams.gone(rings)
        starts = rings.offsets[:-1]
        parted = np.logical_or.reduceat(gone, starts) if len(gone) else np.zeros(0, bool)
        lines: list[Line] = []
        for ring in np.flatnonzero(parted):
            part = slice(starts[ring], rings.offsets[ring + 1])
            region = here[int(rings.owner[ring])]
            lines += [Line(region, deque([points])) for points in pieces(rings.points[part], gone[part])]
        closed = np.flatnonzero(cut & ~parted)
        closed = closed[np.argsort(rings.owner[closed], kind="stable")]
        owners, begin = np.unique(rings.owner[closed], return_index=True)
        for owner, lot in zip(owners.tolist(), np.split(closed, begin[1:]), strict=bool(len(owners))):
            # copies: what is kept must not keep the band
            points, offsets = gathered(rings.points, rings.offsets, lot)
            here[owner].root.add(points, np.diff(offsets))
        self._link(lines, seams)

    def _link(self, lines: list["Line"], seams: "_Seams") -> None:
        """Join the lines' ends at the upper seam with those that wait there; the ends at the lower one wait."""
        heads, tails = self._heads, self._tails
        self._heads, self._tails = {}, {}
        for line in lines:
            (head_col, head_row), (tail_col, tail_row) = line.points[0][0].tolist(), line.points[0][-1].tolist()
            if head_row == seams.bottom_row:
                self._heads[head_col] = line
            if tail_row == seams.bottom_row:
                self._tails[tail_col] = line
            line.head = head_col if head_row == seams.top_row else -1
            line.tail = tail_col if tail_row == seams.top_row else -1
        for line in lines:
            if line.head >= 0:
                tails[line.head].root.join(line.root, bool(seams.plain[line.head]))
            if line.tail >= 0:
                line.root.join(heads[line.tail].root, bool(seams.plain[line.tail]))

    def _finish(self, band: Band, seams: "_Seams", here: dict[int, "Region"]) -> list["Region"]:
        """The regions that end in this band, by first pixel."""
        going = {int(name): here[int(name)].root for name in np.unique(band.regions[-1][seams.bottom])}
        self._open = going
        alive = {id(region) for region in going.values()}
        ended = {id(region.root): region.root for region in here.values() if id(region.root) not in alive}
        return sorted(ended.values(), key=lambda region: region.first)


@dataclass(frozen=True)
class _Seams:
    """Where regions of a band go on beyond it: ``top`` and ``bottom`` (w,), with the rows of corners there.

    ``plain`` (w + 1,) are the corners of the upper seam that only one line passes.
    """

    top: NDArray[np.bool_]
    bottom: NDArray[np.bool_]
    top_row: int
    bottom_row: int
    plain: NDArray[np.bool_]

    @classmethod
    def of(cls, band: Band) -> "_Seams":
        upper, lower = np.pad(band.above, 1), np.pad(band.labels[0], 1)
        sides = (upper[1:] != upper[:-1]).astype(int) + (lower[1:] != lower[:-1])
        across = (upper != lower).astype(int)
        plain = sides + across[1:] + across[:-1] == 2
        top, bottom = (
            (row == edge) & (row > 0) for row, edge in ((band.above, band.labels[0]), (band.below, band.labels[-1]))
        )
        return cls(top, bottom, band.row, band.row + len(band.labels), plain)

    def crossing(self, band: Band) -> NDArray[np.bool_]:
        """By region, whether it goes on beyond the band."""
        found = np.zeros(band.count + 1, bool)
        found[band.regions[0][self.top]] = True
        found[band.regions[-1][self.bottom]] = True
        return found

    def gone(self, rings: Rings) -> NDArray[np.bool_]:
        """Whether the piece from each point to the next lies on a seam, inside a region."""
        after = rings.points[next_point(rings.offsets)] if len(rings.points) else rings.points
        col = np.minimum(np.minimum(rings.points[:, 0], after[:, 0]), len(self.top) - 1)
        found = np.zeros(len(col), bool)
        for row, going in ((self.top_row, self.top), (self.bottom_row, self.bottom)):
            found |= (rings.points[:, 1] == row) & (after[:, 1] == row) & going[col]
        return found


def _first_pixels(band: Band) -> NDArray[np.int64]:
    """The first pixel of each region, as its position in the band; regions count from 1."""
    flat = band.regions.ravel()
    first = np.zeros(band.count + 1, np.int64)
    highest = np.maximum.accumulate(flat)
    new = np.flatnonzero(np.diff(highest, prepend=0))
    first[flat[new]] = new
    return first


def _whole(
    rings: Rings, wanted: NDArray[np.bool_], value: NDArray, first: NDArray[np.int64], totals: NDArray[np.float64]
) -> Polygons:
    """Polygons of regions that lie within a band, in their order."""
    areas = ring_areas(rings.points[:, 0].astype(np.int64), rings.points[:, 1].astype(np.int64), rings.offsets)
    chosen = np.flatnonzero(wanted & (value[rings.owner] > 0))
    order = chosen[np.lexsort((areas[chosen] < 0, rings.owner[chosen]))]
    owner, parts = np.unique(rings.owner[order], return_index=True)
    points, offsets = gathered(rings.points, rings.offsets, order)
    ends = np.concatenate([parts, [len(order)]])
    return Polygons(points, offsets, ends, value[owner].astype(np.uint8), first[owner], totals[owner])
