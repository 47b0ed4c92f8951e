"""Polygons on the pixels of a grid."""

import numpy as np
import shapely

from rsseg.scene.grid import Grid
from rsseg.scene.polygons import burnt, near

GRID = Grid(4, 6, (10.0, 0.0, 0.0, 0.0, -10.0, 40.0))


def test_a_pixel_has_the_value_of_the_last_polygon_that_holds_its_centre() -> None:
    shapes = [(shapely.box(0, 0, 34, 40), 3), (shapely.box(26, 0, 60, 20), 7)]
    wanted = np.array([[3, 3, 3, 0, 0, 0]] * 2 + [[3, 3, 3, 7, 7, 7]] * 2)
    np.testing.assert_array_equal(burnt(shapes, GRID), wanted)
    np.testing.assert_array_equal(burnt(shapes[::-1], GRID)[2:], [[3, 3, 3, 7, 7, 7]] * 2)
    assert burnt([], GRID, "int32").dtype == np.int32 and not burnt([], GRID).any()


def test_a_decimated_grid_has_larger_pixels() -> None:
    found = burnt([(shapely.box(0, 20, 20, 40), 1)], GRID, shape=(2, 3))
    np.testing.assert_array_equal(found, [[1, 0, 0], [0, 0, 0]])


def test_boxes_that_only_touch_are_near() -> None:
    boxes = np.array([[-5.0, 0, 0, 5], [-5, 0, -1, 5], [10, 10, 20, 20], [60, 40, 70, 50], [0, 41, 5, 50]])
    assert near(boxes, GRID).tolist() == [0, 2, 3]
