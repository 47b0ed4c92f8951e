"""Polygons of the regions of a label map, read once from top to bottom.

Maps are cut into bands of ``BAND`` rows, always at the same rows: memory is that of a band, of the regions that go on
below it and of what the sieve waits for, whatever the map's height. The strips in which the rows come change nothing.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import shapely
from numpy.typing import NDArray

from rsseg.label.polygons_join import Joiner
from rsseg.label.polygons_lots import Polygons
from rsseg.label.polygons_sieve import sieve
from rsseg.label.polygons_trace import Band, Rings, regions_of, ring_areas, trace

BAND = 509
"""Rows of a band. Simplified borders keep a corner at every seam; a prime keeps these off the patches' own borders."""

Labels = NDArray[np.uint8]
Sums = Callable[[Band], NDArray[np.float64]]
"""Sums over the pixels of each region of a band: (regions + 1, k); row 0 belongs to none."""


def pixel_counts(band: Band) -> NDArray[np.float64]:
    """The number of pixels of each region: (regions + 1, 1)."""
    return np.bincount(band.regions.ravel()).astype(np.float64)[:, None]


def polygons(
    strips: Iterable[Labels],
    minimum: int = 1,
    tolerance: float = 0.0,
    sums: Sums = pixel_counts,
    rows: int = BAND,
) -> Iterator[Polygons]:
    """Yield the polygons of a map, those that end in one band together, in the order of their first pixels.

    Neighbours have the same corners along their common border, and rings of one polygon touch in corners only. Without
    a tolerance they follow the pixels' sides.

    Args:
        strips: the map's rows, (h, w) uint8 strips of any heights, 0 for no data.
        minimum: pixels of the smallest region that is not given to a neighbour (``polygons_sieve``).
        tolerance: in pixels: a corner goes while the triangle that it makes with its neighbours is smaller than the
            square of this (Visvalingam and Whyatt 1993), unless lines would touch.
        sums: what is summed over each region.
        rows: the height of a band.
    """
    joiner = Joiner()
    for band in bands(sieve(strips, minimum), rows):
        yield joiner.add(band, outlines(band, tolerance), sums(band))


def bands(strips: Iterable[Labels], rows: int = BAND) -> Iterator[Band]:
    """Cut strips of any heights to bands, each with the row above and the row below it."""
    above: Labels | None = None
    waiting: Labels | None = None
    row = 0
    for labels in _recut(strips, rows):
        if waiting is not None:
            yield _band(row, waiting, above, labels[0])
            above, row = waiting[-1], row + len(waiting)
        waiting = labels
    if waiting is not None:
        yield _band(row, waiting, above, None)


def outlines(band: Band, tolerance: float) -> Rings:
    """The rings of a band's regions, simplified where there is a tolerance (in pixels).

    What lies on the seams is kept, so that bands fit together; so are regions however small they are.
    """
    if tolerance <= 0:
        return trace(band)
    # with what holds no data, there is a neighbour on both sides of every line
    rings = trace(band, empty=True)
    simple = shapely.coverage_simplify(_shapes(rings), tolerance, simplify_boundary=False)
    return _rings(simple)


def _band(row: int, labels: Labels, above: Labels | None, below: Labels | None) -> Band:
    none = np.zeros(labels.shape[1], np.uint8)
    return Band(row, labels, none if above is None else above, none if below is None else below, regions_of(labels))


def _recut(strips: Iterable[Labels], rows: int) -> Iterator[Labels]:
    parts: list[Labels] = []
    have = 0
    for strip in strips:
        while len(strip):
            taken = strip[: rows - have]
            strip = strip[len(taken) :]
            parts.append(taken)
            have += len(taken)
            if have == rows:
                yield np.concatenate(parts)
                parts, have = [], 0
    if parts:
        yield np.concatenate(parts)


def _shapes(rings: Rings) -> NDArray:
    """The polygons of all regions, by number."""
    areas = ring_areas(rings.points[:, 0].astype(np.int64), rings.points[:, 1].astype(np.int64), rings.offsets)
    lines = shapely.linearrings(
        rings.points.astype(float), indices=np.repeat(np.arange(len(areas)), np.diff(rings.offsets))
    )
    order = np.lexsort((areas < 0, rings.owner))
    return np.asarray(shapely.polygons(lines[order], indices=rings.owner[order] - 1))


def _rings(shapes: NDArray) -> Rings:
    """The rings of polygons; region i is polygon i - 1."""
    # with rows downwards, clockwise looks counter-clockwise to shapely
    lines, owner = shapely.get_rings(shapely.orient_polygons(shapes), return_index=True)
    points, ring = shapely.get_coordinates(lines, return_index=True)
    lengths = np.bincount(ring, minlength=len(lines))
    ends = np.cumsum(lengths)
    open_points = np.delete(points, ends - 1, axis=0).astype(np.int32)
    return Rings(open_points, np.concatenate([[0], np.cumsum(lengths - 1)]), (owner + 1).astype(np.int32))
