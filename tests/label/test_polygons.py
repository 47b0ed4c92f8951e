"""Outlines, sieve and seams, against slow loops and against GDAL's own polygons."""

from collections.abc import Iterator

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import shapes as gdal_shapes

from rsseg.label.polygons import bands, polygons
from rsseg.label.polygons_parts import Polygons
from rsseg.label.polygons_sieve import sieve
from rsseg.label.polygons_trace import Band, regions_of, ring_areas, trace

Labels = NDArray[np.uint8]
Found = list[tuple[int, int, float, shapely.Polygon]]


def cut(labels: Labels, height: int) -> Iterator[Labels]:
    return (labels[row : row + height] for row in range(0, len(labels), height))


def shapes_of(lot: Polygons) -> Iterator[shapely.Polygon]:
    for polygon in range(len(lot)):
        rings = range(lot.parts[polygon], lot.parts[polygon + 1])
        outer, *holes = (lot.points[lot.rings[ring] : lot.rings[ring + 1]] for ring in rings)
        yield shapely.Polygon(outer, holes)


def traced(labels: Labels, strip: int = 512, **options: object) -> Found:
    """(value, first pixel, pixels, polygon) of every polygon."""
    found: Found = []
    for lot in polygons(cut(labels, strip), **options):  # type: ignore[arg-type]
        values = zip(lot.value.tolist(), lot.first.tolist(), lot.totals[:, 0].tolist(), shapes_of(lot), strict=True)
        found += values
    return found


def keys(found: Found) -> list[tuple[int, int, float, bytes]]:
    return sorted((value, first, pixels, shapely.normalize(shape).wkb) for value, first, pixels, shape in found)


def random_map(seed: int, limit: int = 26) -> Labels:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, limit, 2)
    return rng.integers(seed % 2, rng.integers(2, 5), (height, width), np.uint8)


def slow_sieve(labels: Labels, minimum: int) -> Labels:
    """One region at a time, the smallest first, the regions found anew after each."""
    labels = labels.copy()
    while True:
        regions = regions_of(labels)
        sizes = np.bincount(regions.ravel())
        for region in np.argsort(sizes, kind="stable")[1:]:
            if sizes[region] < minimum and (best := slow_best(labels, regions == region)):
                labels[regions == region] = best
                break
        else:
            return labels


def slow_best(labels: Labels, inside: NDArray[np.bool_]) -> int:
    """The label beside a region that it shares most sides with; 0 if there is none, or if it holds no data."""
    beside: dict[int, int] = {}
    if labels[inside][0] == 0:
        return 0
    for row, col in np.argwhere(inside):
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            place = row + down, col + right
            if min(place) >= 0 and place[0] < inside.shape[0] and place[1] < inside.shape[1] and not inside[place]:
                beside[int(labels[place])] = beside.get(int(labels[place]), 0) + 1
    beside.pop(0, None)
    return min(beside, key=lambda label: (-beside[label], label), default=0)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("strip", [1, 2, 5, 512])
def test_the_sieve_is_that_of_a_slow_loop_whatever_the_strips(seed: int, strip: int) -> None:
    labels = random_map(seed, 18)
    minimum = 2 + seed
    found = np.concatenate(list(sieve(cut(labels, strip), minimum)))
    assert np.array_equal(found, slow_sieve(labels, minimum))
    assert np.array_equal(found > 0, labels > 0)


def test_a_small_region_goes_where_most_of_its_border_is_not_to_the_largest_neighbour() -> None:
    labels = np.full((9, 9), 1, np.uint8)
    labels[:, 5:] = 2
    labels[3:6, 5] = 3  # three sides on 1, five on 2
    labels[4, 3] = 2  # four sides on 1
    found = np.concatenate(list(sieve([labels], 4)))
    assert (found[3:6, 5] == 2).all() and found[4, 3] == 1


def test_islands_stay() -> None:
    labels = np.zeros((5, 5), np.uint8)
    labels[2, 2] = 7
    assert np.array_equal(np.concatenate(list(sieve([labels], 99))), labels)


def test_the_sieve_keeps_few_rows() -> None:
    """Rows leave as soon as nothing in them can change: memory does not grow with the height."""
    labels = np.random.default_rng(0).integers(1, 4, (400, 40), np.uint8)
    taken = 0

    def rows() -> Iterator[Labels]:
        nonlocal taken
        for strip in cut(labels, 10):
            taken += len(strip)
            yield strip

    given = 0
    for part in sieve(rows(), 9):
        given += len(part)
        assert taken - given < 60
    assert given == 400


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_those_of_gdal(seed: int) -> None:
    labels = random_map(seed)
    ours = traced(labels)
    theirs = [(int(value), shapely.geometry.shape(shape)) for shape, value in gdal_shapes(labels, mask=labels > 0)]
    assert len(ours) == len(theirs)

    def corners(shape: shapely.Polygon) -> tuple[float, ...]:
        return (*shape.bounds, shape.area, shape.length)

    assert sorted((value, corners(shape)) for value, _, _, shape in ours) == sorted(
        (value, corners(shape)) for value, shape in theirs
    )
    for value, _, _, shape in ours:
        same = [other for number, other in theirs if number == value and corners(other) == corners(shape)]
        assert any(shape.equals(other) for other in same)


@pytest.mark.parametrize("seed", range(20))
def test_seams_and_strips_change_nothing(seed: int) -> None:
    labels = random_map(seed)
    whole = keys(traced(labels))
    for rows in (1, 2, 3, 7):
        for strip in (1, 4, 512):
            assert keys(traced(labels, strip, rows=rows)) == whole


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 509]), st.sampled_from([0.0, 0.8, 2.0, 5.0]))
@settings(max_examples=60, deadline=None)
def test_polygons_are_valid_and_share_their_borders(seed: int, rows: int, tolerance: float) -> None:
    labels = random_map(seed)
    found = traced(labels, rows=rows, tolerance=tolerance)
    shapes = [shape for *_, shape in found]
    assert all(shape.is_valid and shape.area > 0 for shape in shapes)
    assert shapely.coverage_is_valid(shapes)
    assert len(found) == len(np.unique(regions_of(labels)[labels > 0]))
    assert sum(pixels for _, _, pixels, _ in found) == np.count_nonzero(labels)
    if tolerance == 0:
        assert all(shape.area == pixels for _, _, pixels, shape in found)
    if labels.all():
        assert sum(shape.area for shape in shapes) == pytest.approx(labels.size, abs=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 509])
def test_a_region_that_meets_itself_in_a_corner_has_a_hole_there(rows: int) -> None:
    """Across the seam or within a band: rings that cross themselves would be no valid polygon."""
    labels = np.ones((4, 4), np.uint8)
    labels[1, 2] = labels[2, 1] = 2
    shapes = {value: shape for value, _, _, shape in traced(labels, rows=rows)}
    assert shapes[1].is_valid and shapes[1].area == 14
    assert sorted(shapely.area(shapely.polygons(ring)) for ring in shapes[1].interiors) == [1, 1]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_ring_that_closes_through_corners_across_a_seam(rows: int) -> None:
    labels = np.array([[1, 1, 1, 0], [1, 2, 1, 1], [1, 1, 2, 1], [0, 1, 1, 1]], np.uint8)
    labels[1, 3] = 2
    found = [shape for value, _, _, shape in traced(labels, rows=rows) if value == 1]
    assert all(shape.is_valid for shape in found)
    assert keys(traced(labels, rows=rows)) == keys(traced(labels))


def test_steps_of_pixels_become_straight_lines() -> None:
    labels = np.where(np.add.outer(np.arange(40), np.arange(40)) < 40, 1, 2).astype(np.uint8)
    rough, smooth = traced(labels), traced(labels, tolerance=1.0)
    assert shapely.get_num_coordinates(rough[0][3]) > 80
    assert shapely.get_num_coordinates(smooth[0][3]) <= 8
    assert smooth[0][3].area + smooth[1][3].area == 1600


def test_small_regions_survive_a_coarse_tolerance() -> None:
    labels = np.ones((30, 30), np.uint8)
    labels[4, 4] = labels[10:12, 20] = 2
    found = traced(labels, tolerance=20.0)
    assert sorted(value for value, *_ in found) == [1, 2, 2]
    assert all(shape.is_valid and shape.area > 0 for *_, shape in found)


def test_the_order_is_that_of_bands_and_first_pixels() -> None:
    labels = random_map(3)
    found = traced(labels)
    assert [first for _, first, _, _ in found] == sorted(first for _, first, _, _ in found)
    assert all(labels.ravel()[first] == value for value, first, _, _ in found)


def test_rings_run_clockwise_in_the_raster_and_holes_the_other_way() -> None:
    labels = np.ones((3, 3), np.uint8)
    labels[1, 1] = 0
    (band,) = bands([labels])
    assert isinstance(band, Band)
    rings = trace(band)
    areas = ring_areas(rings.points[:, 0].astype(float), rings.points[:, 1].astype(float), rings.offsets)
    assert sorted(areas) == [-1, 9]


def test_regions_are_numbered_by_first_pixel() -> None:
    regions = regions_of(random_map(5, 40))
    numbers, first = np.unique(regions, return_index=True)
    assert np.array_equal(numbers, np.arange(1, len(numbers) + 1))
    assert (np.diff(first) > 0).all()


def test_all_labels_up_to_255_and_no_data_are_regions() -> None:
    labels = np.array([[255, 0, 255]], np.uint8)
    assert regions_of(labels).tolist() == [[1, 2, 3]]
    assert [value for value, *_ in traced(labels)] == [255, 255]


def test_nothing_but_no_data_gives_no_polygon() -> None:
    assert traced(np.zeros((5, 3), np.uint8)) == []
    assert traced(np.zeros((5, 3), np.uint8), tolerance=1.0) == []
