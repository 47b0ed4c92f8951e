"""What a map is compared with: polygons or points with a class field, or a raster of classes."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import Resample
from rsseg.label.points import PointReference
from rsseg.label.reference_layers import POLYGONS, is_vector, read_layer
from rsseg.label.reference_polygons import PolygonReference
from rsseg.label.reference_raster import RasterReference
from rsseg.label.sample_design import read_points
from rsseg.label.split import Halves, Split
from rsseg.scene.grid import Grid, Window
from rsseg.scene.polygons import box_text

__all__ = [
    "PointReference",
    "PolygonReference",
    "RasterReference",
    "Reference",
    "Split",
    "check_touches",
    "is_vector",
    "open_reference",
]


class Reference(Protocol):
    """Classes on a map's grid; a context manager for one thread at a time.

    ``classes`` are the names; a pixel of class ``classes[i]`` reads as ``i + 1``. ``halves`` tells what a split came
    to; ``notes`` are sentences for the user: about the split, and about what lies outside the map.
    """

    path: Path
    classes: tuple[str, ...]
    halves: Halves | None

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no reference."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_reference(
    path: Path,
    grid: Grid,
    owner: Path,
    field: str | None = None,
    resample: Resample | None = None,
    split: Split | None = None,
) -> Reference:
    """Open a reference, or one part of it, on a grid.

    Args:
        path: a file of polygons or points, a table of points (.csv with row and col), or a raster of classes.
        grid: the grid of the map.
        owner: the map, or the scene that will be mapped, for messages.
        field: the polygons' or points' class field.
        resample: "nearest" to allow a raster on another grid.
        split: the part to read: polygons and points are split whole, class by class, a raster by blocks of 64 pixels.
            Both parts number the classes alike. None reads all.

    Raises: InputError if it is none of them; UsageError if the field is missing or the split impossible; GridError if
    it does not fit the grid.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix.lower() == ".csv":
        points = read_points(path, field)
        return PointReference(path, grid, points.rows, points.cols, points.field, np.arange(len(points.rows)), split)
    if is_vector(path):
        if grid.crs is None:
            raise GridError(f"{owner} has no CRS, so that the features of {path} cannot be laid on it; set it")
        frame = read_layer(path, field)
        assert field is not None  # read_layer refuses
        if frame.geom_type.isin(POLYGONS).all():
            return PolygonReference(path, grid, frame, field, split)
        return PointReference.of_layer(path, grid, frame, field, split)
    reference = RasterReference(path, grid, resample, split)
    if field is not None:
        reference.__exit__()
        raise UsageError(f"{path} is a raster and has no field {field!r}; leave out --field")
    return reference


def check_touches(reference: Reference, table: np.ndarray, grid: Grid) -> None:
    """Refuse a reference without a pixel on the labelled part of a map.

    Args:
        table: (clusters + 1, classes + 1) contingency of map against reference, no data included.

    Raises: GridError.
    """
    if table[1:, 1:].any():
        return
    if reference.halves is not None and not table[:, 1:].any():
        part = reference.halves.split.part
        raise GridError(f"part {part} of {reference.path} holds no pixel of the map; choose another share or seed")
    if table[:, 1:].any():
        raise GridError(f"{reference.path} lies only where the map has no data; nothing can be compared")
    raise GridError(
        f"{reference.path} holds the centre of no pixel of the map, whose bounds are {box_text(grid.bounds)}; "
        "its polygons may be smaller than the pixels"
    )
