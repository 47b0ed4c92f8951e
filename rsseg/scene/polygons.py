"""Polygons from a vector file, on a raster's coordinate system."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj.exceptions import ProjError
from rasterio.features import rasterize
from rasterio.warp import transform_bounds

from rsseg.errors import GridError, InputError
from rsseg.scene.grid import Grid
from rsseg.scene.raster import gdal_errors
from rsseg.scene.vectors import check_vector

PIECES = 64
"""Edges are cut to this part of the raster's diagonal before they change their CRS: what is straight in one coordinate
system is bent in another, by 60 m over a scene of 90 km at 20 degrees latitude, and by 2 cm over such a piece."""


def layer_of(path: Path) -> str:
    """The one layer of geometries of a vector file.

    Raises: InputError if there are none, or several, or if the file is of a kind that names others.
    """
    check_vector(path)
    layers = [name for name, kind in pyogrio.list_layers(path) if kind is not None]
    if not layers:
        raise InputError(f"{path} is a table without geometries; give a GeoPackage, GeoJSON or Shapefile")
    if len(layers) != 1:
        found = ", ".join(layers)
        raise InputError(f"{path} has {len(layers)} layers of geometries ({found}); save the one to use as a file")
    return str(layers[0])


def box_text(box: Any) -> str:
    """Bounds (left, bottom, right, top) as a text."""
    return "({:.10g}, {:.10g}, {:.10g}, {:.10g})".format(*box)


def area_polygons(path: Path, grid: Grid, owner: Path) -> list[shapely.Geometry]:
    """The polygons of a file near a grid, in the grid's CRS; attributes do not count.

    Args:
        path: any vector file that pyogrio reads, of one layer.
        grid: what the polygons are laid on.
        owner: the raster of the grid, for messages.

    Raises: InputError if the file cannot be read or has no polygon; GridError if a CRS is missing, or if no polygon
    meets the grid.
    """
    frame = _read(path)
    if grid.crs is None or frame.crs is None:
        nameless = owner if grid.crs is None else path
        laid = f"{path} cannot be laid on it" if nameless == owner else f"it cannot be laid on {owner}"
        raise GridError(f"{nameless} has no CRS, so that {laid}; set it")
    own_box = tuple(float(side) for side in frame.total_bounds)
    near = frame if frame.crs == grid.crs else _moved(frame, grid, path)
    left, bottom, right, top = grid.bounds
    found = [shape for shape in near.geometry if shape.intersects(shapely.box(left, bottom, right, top))]
    if not found:
        raise GridError(_no_touch(path, own_box, frame.crs, grid, owner))
    return found


def near(boxes: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """Positions of the boxes (n, 4) that meet a grid: left, bottom, right, top in its CRS."""
    left, bottom, right, top = grid.bounds
    return np.flatnonzero(
        (boxes[:, 0] <= right) & (boxes[:, 2] >= left) & (boxes[:, 1] <= top) & (boxes[:, 3] >= bottom)
    )


def burnt(
    shapes: Sequence[tuple[Any, int]], grid: Grid, dtype: str = "uint8", shape: tuple[int, int] | None = None
) -> NDArray:
    """The values of polygons on the pixels whose centre they hold, 0 elsewhere; of several the last one's: (h, w).

    Args:
        shapes: polygons in the grid's CRS, and their values.
        shape: height and width of the result, where the grid is to be decimated.
    """
    height, width = shape or grid.shape
    if not shapes:
        return np.zeros((height, width), dtype)
    step = rasterio.Affine.scale(grid.width / width, grid.height / height)
    found: NDArray = rasterize(
        shapes, out_shape=(height, width), transform=rasterio.Affine(*grid.transform) @ step, dtype=dtype
    )
    return found


def _read(path: Path) -> Any:
    try:
        frame = geopandas.read_file(path, layer=layer_of(path), columns=[])
    except (DataSourceError, DataLayerError) as problem:
        reason = " ".join(str(problem).split())
        raise InputError(
            f"cannot read polygons from {path} ({reason}); give a GeoPackage, GeoJSON or Shapefile"
        ) from None
    kept = frame.geometry.geom_type.isin(("Polygon", "MultiPolygon")) & ~frame.geometry.is_empty
    frame = frame[kept]
    if frame.empty:
        raise InputError(f"{path} has no polygon; points and lines have no area")
    frame.geometry = shapely.make_valid(shapely.force_2d(frame.geometry.to_numpy()))
    return frame


def _moved(frame: Any, grid: Grid, path: Path) -> Any:
    """The parts of polygons that lie around a grid, in its CRS; far away coordinates may have no place in it."""
    with gdal_errors(f"bring {path} to the scene's CRS", GridError):
        box = np.array(transform_bounds(grid.crs, frame.crs, *grid.bounds, densify_pts=101))
    if box[0] > box[2]:
        raise GridError(
            f"the scene crosses the 180th meridian in the CRS of {path}; save the polygons in the scene's CRS"
        )
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    around = shapely.box(*(box[:2] - 0.1 * sides), *(box[2:] + 0.1 * sides))
    cut = shapely.segmentize(frame.geometry.intersection(around).to_numpy(), float(np.hypot(*sides)) / PIECES)
    near = geopandas.GeoDataFrame(geometry=cut, crs=frame.crs)
    near = near[~near.geometry.is_empty]
    try:
        moved = near.to_crs(grid.crs)
    except ProjError as problem:
        raise GridError(f"cannot bring {path} to the scene's CRS ({problem})") from None
    return moved[np.isfinite(moved.bounds.to_numpy()).all(axis=1)] if len(moved) else moved


def _no_touch(path: Path, box: tuple[float, ...], crs: Any, grid: Grid, owner: Path) -> str:
    """What to say of polygons elsewhere: both boxes, in the grid's CRS where the polygons have a place in it."""
    told = f"in {box_text(box)} of {crs.name}"
    try:
        moved = transform_bounds(crs.to_wkt(), grid.crs, *box, densify_pts=21)
    except Exception:  # of any kind: this is a message only
        moved = (np.inf,) * 4
    if np.isfinite(moved).all():
        told = f"in {box_text(moved)}"
    return f"no polygon of {path} touches {owner}: they lie {told}, the scene in {box_text(grid.bounds)}"
