"""Boundaries and the boundary displacement error against loops over pixels."""

import numpy as np
import pytest

from rsseg.errors import InputError
from rsseg.label.metrics.boundary import boundary, boundary_displacement_error


def blobs(rng: np.random.Generator, shape: tuple[int, int] = (14, 11), missing: float = 0.0) -> np.ndarray:
    """Rectangles of three classes, some pixels without data."""
    labels = np.ones(shape, np.uint8)
    for value in (2, 3, 2):
        row, col = rng.integers(0, shape[0] - 4), rng.integers(0, shape[1] - 4)
        labels[row : row + 4, col : col + 5] = value
    labels[rng.random(shape) < missing] = 0
    return labels


def slow_boundary(labels: np.ndarray) -> list[tuple[int, int]]:
    """A pixel with a neighbour of another region; where there is none, the frame of all regions' rectangle."""
    height, width = labels.shape
    found = []
    for row, col in np.argwhere(labels):
        around = [(row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)]
        values = [labels[r, c] for r, c in around if 0 <= r < height and 0 <= c < width]
        if any(value not in (0, labels[row, col]) for value in values):
            found.append((row, col))
    if found:
        return found
    rows, cols = np.nonzero(labels)
    box = [(r, c) for r in range(rows.min(), rows.max() + 1) for c in range(cols.min(), cols.max() + 1)]
    return [(r, c) for r, c in box if r in (rows.min(), rows.max()) or c in (cols.min(), cols.max())]


def slow_error(a: np.ndarray, b: np.ndarray) -> float:
    known = (a > 0) & (b > 0)
    first, second = slow_boundary(a * known), slow_boundary(b * known)

    def distance(origin: list[tuple[int, int]], target: list[tuple[int, int]]) -> float:
        nearest = [min(np.hypot(r - y, c - x) for y, x in target) for r, c in origin]
        return sum(nearest) / len(nearest)

    return (distance(first, second) + distance(second, first)) / 2


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.6])
def test_it_equals_a_loop_over_pixels(missing: float, rng: np.random.Generator) -> None:
    for _ in range(5):
        a, b = blobs(rng, missing=missing), blobs(rng, missing=missing)
        assert np.argwhere(boundary(a)).tolist() == sorted(map(list, slow_boundary(a)))
        assert boundary_displacement_error(a, b) == pytest.approx(slow_error(a, b))


def test_a_map_higher_than_the_rows_taken_at_once(rng: np.random.Generator) -> None:
    a, b = np.ones((1100, 3), np.uint8), np.ones((1100, 3), np.uint8)
    a[[100, 900]] = 2
    b[[103, 906]] = 2
    assert boundary_displacement_error(a, b) == pytest.approx(slow_error(a, b))


def test_a_line_moved_by_some_pixels_is_that_far_away() -> None:
    a, b = np.ones((20, 30), np.uint8), np.ones((20, 30), np.uint8)
    a[:, 10:], b[:, 14:] = 2, 2
    assert boundary_displacement_error(a, b) == pytest.approx(3.5)  # two pixels thick: 4 and 3 away
    assert boundary_displacement_error(a, b) == boundary_displacement_error(b, a)
    assert boundary_displacement_error(a, a) == 0


def test_one_pixel_lines_are_boundaries_to_their_middle() -> None:
    labels = np.ones((5, 5), np.uint8)
    labels[:, 2] = 2
    assert boundary(labels).all(axis=0).tolist() == [False, True, True, True, False]


def test_labels_are_compared_for_being_unequal_only(rng: np.random.Generator) -> None:
    a, b = blobs(rng), blobs(rng)
    renumbered = np.array([0, 250, 3, 100], np.uint8)
    assert boundary_displacement_error(renumbered[a], b) == boundary_displacement_error(a, b)


def test_a_single_region_has_the_frame() -> None:
    one = np.ones((9, 9), np.uint8)
    assert boundary(one).sum() == 32
    dot = one.copy()
    dot[4, 4] = 2
    cross = [(4, 4), (3, 4), (5, 4), (4, 3), (4, 5)]
    frame = [(r, c) for r in range(9) for c in range(9) if r in (0, 8) or c in (0, 8)]
    there = np.mean([min(np.hypot(r - y, c - x) for y, x in frame) for r, c in cross])
    back = np.mean([min(np.hypot(r - y, c - x) for y, x in cross) for r, c in frame])
    assert boundary_displacement_error(dot, one) == pytest.approx((there + back) / 2)
    assert boundary_displacement_error(one, one) == 0


def test_a_margin_without_data_changes_nothing(rng: np.random.Generator) -> None:
    a, b = blobs(rng), np.full((14, 11), 5, np.uint8)
    wide = [np.pad(labels, ((3, 8), (20, 1))) for labels in (a, b)]
    assert boundary_displacement_error(*wide) == pytest.approx(boundary_displacement_error(a, b))


def test_data_next_to_no_data_is_no_boundary() -> None:
    labels = np.ones((6, 6), np.uint8)
    labels[:, 3:] = 2
    hole = labels.copy()
    hole[2, 0] = 0
    assert np.array_equal(boundary(hole), boundary(labels))


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(InputError, match="without a common pixel"):
        boundary_displacement_error(np.array([[1, 0]]), np.array([[0, 1]]))
