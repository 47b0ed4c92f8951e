"""An area of interest: the part of a scene inside polygons.

The part is the smallest window of whole pixels around the polygons, so that its pixels are those of the full raster;
those whose centre lies in no polygon are invalid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from rsseg.errors import GridError
from rsseg.scene.grid import Grid, Window
from rsseg.scene.place import Place
from rsseg.scene.polygons import area_polygons, burnt, near
from rsseg.scene.raster import label_windows
from rsseg.scene.source import Scene


@dataclass(frozen=True, eq=False)
class Area:
    """Polygons on a raster: ``window`` of it is their part, ``grid`` the grid of that."""

    window: Window
    grid: Grid
    shapes: tuple[Any, ...]
    boxes: NDArray[np.float64]

    @classmethod
    def of(cls, shapes: Sequence[Any], grid: Grid) -> "Area":
        """The area of polygons in the CRS of a raster's grid, which they meet.

        Raises: UsageError if they only touch the grid from outside.
        """
        boxes = shapely.bounds(np.array(shapes, object))
        window = grid.window_of((*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()))
        return cls(window, grid.crop(window), tuple(shapes), boxes)

    def mask(self, window: Window, shape: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """Which pixels of a window of the part lie inside, by their centres; decimated to ``shape`` if given."""
        part = self.grid.crop(window)
        return np.asarray(burnt([(self.shapes[i], 1) for i in near(self.boxes, part)], part, shape=shape) != 0)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel's centre lies inside."""
        return not any(self.mask(window).any() for window in label_windows(self.grid))


def within(scene: Scene, polygons: Path) -> Scene:
    """The part of a scene inside the polygons of a file.

    Raises: InputError if the file cannot be read; GridError if polygons and scene cannot be laid on each other, or if
    no pixel's centre lies inside.
    """
    area = Area.of(area_polygons(polygons, scene.grid, scene.path), scene.grid)
    if area.is_empty:
        raise GridError(
            f"{polygons} holds the centre of no pixel of {scene.path}; its polygons are smaller than pixels"
        )
    place = scene.place or Place.whole(scene.grid)
    return replace(scene, grid=area.grid, area=area, place=place.part(area.window))
