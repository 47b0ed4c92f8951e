"""The outline of a raster in WGS84 longitude and latitude, as GeoJSON."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.affinity import translate
from shapely.geometry import box, mapping
from shapely.geometry.polygon import orient

from rsseg.scene.grid import Grid

PIECES = 16
"""Pieces of an edge: a straight edge of a scene is bent in longitude and latitude."""

DIGITS = 7
"""Decimals of a degree: a centimetre."""


def footprint(grid: Grid) -> tuple[dict[str, Any], list[float]] | None:
    """A grid's outline and its box (west, south, east, north), both in degrees.

    An outline across the 180th meridian is cut there into two polygons, and the west of its box is then greater than
    its east (RFC 7946, sections 3.1.9 and 5.2); one around a pole becomes the cap down to its lowest latitude. None
    for a grid without a CRS, or of one that has no place on the globe.
    """
    ring = _ring(grid)
    if ring is None:
        return None
    lon, lat = np.unwrap(ring[:, 0], period=360), ring[:, 1]
    if abs(lon[-1] - lon[0]) > 180:
        return _cap(lat)
    outline = shapely.make_valid(shapely.Polygon(np.column_stack([lon, lat])))
    # a whole turn is taken off together, so that the middle lies between -180 and 180
    outline = translate(outline, -360 * math.floor((outline.bounds[0] + outline.bounds[2] + 360) / 720))
    parts = [(outline & box(west, -90, west + 360, 90), west + 180) for west in (-540, -180, 180)]
    pieces = [orient(piece) for part, turn in parts for piece in _polygons(translate(part, -turn))]
    west, south, east, north = outline.bounds
    bounds = [(west + 180) % 360 - 180, south, east if east <= 180 else east - 360, north]
    return _geometry(pieces), [round(side, DIGITS) for side in bounds]


def _ring(grid: Grid) -> NDArray[np.float64] | None:
    """The outline's points (n, 2), closed, in longitude and latitude."""
    if grid.crs is None:
        return None
    height, width = grid.shape
    corners = [(0, 0), (height, 0), (height, width), (0, width), (0, 0)]
    steps = np.linspace(0, 1, PIECES, endpoint=False)[:, None]
    edges = [(1 - steps) * np.array(a) + steps * np.array(b) for a, b in pairwise(corners)]
    places = [grid.xy(float(row), float(col)) for row, col in np.concatenate([*edges, np.array(corners[:1])])]
    try:
        change = Transformer.from_crs(CRS.from_wkt(grid.crs), CRS.from_epsg(4326), always_xy=True)
        lon, lat = change.transform(*np.array(places).T)
    except ProjError:
        return None
    points = np.column_stack([lon, lat])
    return points if np.isfinite(points).all() else None


def _cap(lat: NDArray[np.float64]) -> tuple[dict[str, Any], list[float]]:
    north = float(lat.mean()) > 0
    bounds = [-180.0, float(lat.min()) if north else -90.0, 180.0, 90.0 if north else float(lat.max())]
    return _geometry([orient(box(*bounds))]), [round(side, DIGITS) for side in bounds]


def _polygons(shape: Any) -> list[Any]:
    parts = getattr(shape, "geoms", [shape])
    return [part for part in parts if part.geom_type == "Polygon" and not part.is_empty]


def _geometry(pieces: list[Any]) -> dict[str, Any]:
    whole = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    return {"type": whole.geom_type, "coordinates": _rounded(mapping(whole)["coordinates"])}


def _rounded(value: Any) -> Any:
    return [_rounded(item) for item in value] if isinstance(value, tuple | list) else round(value, DIGITS)
