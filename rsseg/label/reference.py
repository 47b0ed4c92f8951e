"""What a map is compared with: polygons with a class field, or a raster of classes."""

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import geopandas
import numpy as np
import pyogrio
import rasterio
from pyogrio.errors import DataSourceError
from rasterio.features import rasterize

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import IntegerRaster, Resample
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import label_windows


class Reference(Protocol):
    """Classes on a map's grid; a context manager for one thread at a time.

    ``classes`` are the names; a pixel of class ``classes[i]`` reads as ``i + 1``.
    """

    path: Path
    classes: tuple[str, ...]

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no reference."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_reference(
    path: Path, grid: Grid, owner: Path, field: str | None = None, resample: Resample | None = None
) -> Reference:
    """Open a reference on a grid.

    Args:
        path: a file of polygons, or a raster of classes.
        grid: the grid of the map.
        owner: the map, or the scene that will be mapped, for messages.
        field: the polygons' class field.
        resample: "nearest" to allow a raster on another grid.

    Raises: InputError if it is neither; UsageError if the field is missing; GridError if it does not fit the grid.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if is_vector(path):
        if grid.crs is None:
            raise GridError(f"{owner} has no CRS, so that the polygons of {path} cannot be laid on it; set it")
        return PolygonReference(path, grid, field)
    reference = RasterReference(path, grid, resample)
    if field is not None:
        reference.__exit__()
        raise UsageError(f"{path} is a raster and has no field {field!r}; leave out --field")
    return reference


class RasterReference(IntegerRaster):
    """A raster of classes, of any whole numbers; 0 and nodata are no reference.

    Its values are read through once, to number the classes; names come from its category names.
    """

    def __init__(self, path: Path, grid: Grid, resample: Resample | None = None) -> None:
        super().__init__(path, grid, resample)
        try:
            self.values = self._all_values()
        except BaseException:
            self._stack.close()
            raise
        self.classes = tuple(self.names.get(int(value), f"class {value}") for value in self.values)

    def _all_values(self) -> np.ndarray:
        found = np.empty(0, np.int64)
        for window in label_windows(self.grid):
            found = np.union1d(found, _distinct(self.read_integers(window)))
            if found.size > 256:
                raise InputError(f"{self.path} has more than 255 values; a reference raster holds classes")
        found = found[found != 0]
        if found.size == 0:
            raise GridError(f"{self.path} has no reference pixel on the map: all are 0 or no data")
        return found

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no reference."""
        values = self.read_integers(window)
        if values.dtype == np.uint8:
            codes = np.zeros(256, np.uint8)
            codes[self.values] = np.arange(1, len(self.values) + 1)
            return codes[values]
        position = np.searchsorted(self.values, values)
        return np.where(values == 0, 0, position + 1).astype(np.uint8)


class PolygonReference:
    """Polygons, burnt window by window into the map's grid; a pixel belongs to a polygon that holds its centre.

    Where polygons of two classes overlap, the later one in the file counts. Polygons without a value in the field are
    left out.
    """

    def __init__(self, path: Path, grid: Grid, field: str | None) -> None:
        self.path, self.grid = path, grid
        frame = _read_polygons(path, field)
        values = frame[field]
        wanted = sorted(values.unique(), key=_by_name)
        if len(wanted) > 255:
            raise UsageError(f"field {field!r} of {path} has {len(wanted)} values; a class field has at most 255")
        self.classes = tuple(_text(value) for value in wanted)
        self._codes = values.map({value: code for code, value in enumerate(wanted, 1)}).to_numpy()
        self._shapes = _on_crs(frame, grid, path).geometry
        if not self._near(grid.window).size:
            raise GridError(_no_touch(path, self._shapes.total_bounds, grid))

    def read(self, window: Window) -> np.ndarray:
        """Class codes of a window: (h, w) uint8, 0 where there is no polygon."""
        return self._burnt(window, self._codes, "uint8")

    def polygons(self, window: Window) -> np.ndarray:
        """Which polygon holds a pixel, numbered from 1 in the order of the file: (h, w) int32, 0 for none."""
        return self._burnt(window, np.arange(1, len(self._codes) + 1), "int32")

    def _burnt(self, window: Window, values: np.ndarray, dtype: str) -> np.ndarray:
        """Each polygon's value on the pixels that it holds, 0 elsewhere."""
        near = self._near(window)
        if not near.size:
            return np.zeros((window.height, window.width), dtype)
        burnt: np.ndarray = rasterize(
            zip(self._shapes.iloc[near], values[near], strict=True),
            out_shape=(window.height, window.width),
            transform=rasterio.Affine(*self.grid.crop(window).transform),
            dtype=dtype,
        )
        return burnt

    def _near(self, window: Window) -> np.ndarray:
        """Positions of the polygons whose box meets the window, in file order."""
        left, bottom, right, top = self.grid.crop(window).bounds
        box = self._shapes.bounds.to_numpy()
        meets = (box[:, 0] <= right) & (box[:, 2] >= left) & (box[:, 1] <= top) & (box[:, 3] >= bottom)
        return np.flatnonzero(meets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def check_touches(reference: Reference, table: np.ndarray, grid: Grid) -> None:
    """Refuse a reference without a pixel on the labelled part of a map.

    Args:
        table: (clusters + 1, classes + 1) contingency of map against reference, no data included.

    Raises: GridError.
    """
    if table[1:, 1:].any():
        return
    if table[:, 1:].any():
        raise GridError(f"{reference.path} lies only where the map has no data; nothing can be compared")
    raise GridError(
        f"{reference.path} holds the centre of no pixel of the map, whose bounds are {_box(grid.bounds)}; "
        "its polygons may be smaller than the pixels"
    )


def _distinct(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:  # ten times faster than sorting
        return np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    return np.unique(values)


def is_vector(path: Path) -> bool:
    """Whether a reference is polygons rather than a raster."""
    try:
        return len(pyogrio.list_layers(path)) > 0
    except DataSourceError:
        return False


def _read_polygons(path: Path, field: str | None) -> Any:
    frame = geopandas.read_file(path, layer=_layer(path))
    fields = [name for name in frame.columns if name != frame.geometry.name]
    if field is None or field not in fields:
        problem = "--field says which field holds the class" if field is None else f"it has no field {field!r}"
        raise UsageError(f"{path}: {problem}; its fields are {', '.join(fields) or 'none'}")
    polygons = frame.geometry.geom_type.isin(("Polygon", "MultiPolygon")) & ~frame.geometry.is_empty
    frame = frame[polygons & frame[field].notna()]
    if frame.empty:
        raise InputError(f"{path} has no polygon with a value in field {field!r}")
    return frame


def _layer(path: Path) -> str:
    layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    if len(layers) != 1:
        found = ", ".join(layers) or "none"
        raise InputError(f"{path} has {len(layers)} layers of geometries ({found}); save the polygons as a file of one")
    return str(layers[0])


def _on_crs(frame: Any, grid: Grid, path: Path) -> Any:
    if frame.crs is None or grid.crs is None:
        nameless = path if frame.crs is None else "the map"
        raise GridError(f"{nameless} has no CRS, so that polygons and map cannot be laid on each other; set its CRS")
    return frame.to_crs(grid.crs)


def _no_touch(path: Path, box: Any, grid: Grid) -> str:
    return f"no polygon of {path} touches the map: they lie in {_box(box)}, the map in {_box(grid.bounds)}"


def _box(box: Any) -> str:
    return "({:.10g}, {:.10g}, {:.10g}, {:.10g})".format(*box)


def _by_name(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, int | float | np.number) else (True, str(value))


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
