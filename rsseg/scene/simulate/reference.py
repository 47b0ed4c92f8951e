"""Reference polygons as an analyst would draw them: inside lakes, woods, town quarters and fields."""

from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
from numpy.typing import NDArray
from rasterio.features import geometry_mask
from rasterio.transform import Affine
from scipy.ndimage import binary_dilation, distance_transform_edt
from shapely.affinity import scale
from shapely.geometry import Polygon

from rsseg.scene.grid import Window
from rsseg.scene.raster import label_windows
from rsseg.scene.simulate.landcover import CLASSES, cover
from rsseg.scene.simulate.noise import hashes, salt, uniform
from rsseg.scene.simulate.product import Product

PER_CLASS = 10
"""Polygons wanted a class; fewer where the scene has no room for them."""
PURITY = 0.85
"""Least share of a polygon's pixels that are of its class."""
_TILE = 192
_TILES = 400
"""Side of the places looked at, in pixels, and the largest number of them."""
_REACH = (22.0, 17.0, 22.0, 12.0, 16.0, 18.0)
"""How far a polygon of each class may reach from its centre, in pixels."""
_ROOM = 4.0
"""Least distance in pixels of a polygon's centre from the border of its class."""
_GAP = 5
_CORNERS = 13


@dataclass
class _Place:
    """A part of the product: its window, the classes there (0 = fill), and what no polygon has taken."""

    window: Window
    classes: NDArray[np.uint8]
    free: NDArray[np.bool_]


def reference_polygons(product: Product) -> geopandas.GeoDataFrame:
    """Polygons with the fields ``class`` (a name) and ``value`` (1 to 6), in the product's CRS.

    Up to ``PER_CLASS`` a class, at most one of a class in each place and round, so that they spread over the scene.
    The work does not grow with the scene beyond some hundred places.
    """
    windows = _windows(product)
    places: list[_Place] = []
    found: dict[int, list[Polygon]] = {value: [] for value in range(1, len(CLASSES) + 1)}
    before = -1
    while before < (before := sum(map(len, found.values()))):
        for number, window in enumerate(windows):
            wanted = [value for value, polygons in found.items() if len(polygons) < PER_CLASS]
            if not wanted:
                break
            if number == len(places):
                places.append(_look(product, window))
            for value in wanted:
                polygon = _draw(places[number], value, product.seed, number)
                if polygon is not None:
                    found[value].append(polygon)
    rows = [
        {"class": CLASSES[value - 1], "value": value, "geometry": _on_map(polygon, product)}
        for value, polygons in found.items()
        for polygon in polygons
    ]
    return geopandas.GeoDataFrame(rows, columns=["class", "value", "geometry"], crs=product.grid.crs)


def write_reference(target: Path, polygons: geopandas.GeoDataFrame, product: Product) -> None:
    """Write a GeoPackage with the layer ``reference``; the same polygons give the same content, dates included."""
    stamp = product.time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": stamp})
    try:
        polygons.to_file(target, layer="reference", driver="GPKG", engine="pyogrio")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _windows(product: Product) -> list[Window]:
    """Places all over the product, in random order."""
    tiles = [
        Window(strip.row, col, strip.height, min(_TILE, strip.width - col))
        for strip in label_windows(product.grid, _TILE)
        for col in range(0, strip.width, _TILE)
    ]
    order = np.argsort(hashes(np.arange(len(tiles)), np.zeros(1, np.int64), salt(product.seed, "places"))[:, 0])
    return [tiles[i] for i in order[:_TILES]]


def _look(product: Product, window: Window) -> _Place:
    inside = product.footprint.mask(window)
    classes = cover(product.seed, product.absolute(window)).classes * inside
    return _Place(window, classes, inside)


def _draw(place: _Place, value: int, seed: int, number: int) -> Polygon | None:
    """A polygon of class ``value`` in (column, row) pixels of the product, or None where there is no room."""
    mask = (place.classes == value) & place.free
    room = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    if room.max() < _ROOM:
        return None
    # what is still free tells the rounds apart
    name = salt(seed, f"hand/{value}/{number}/{place.free.sum()}")
    draws = uniform(hashes(np.zeros(1, np.int64), np.arange(2 + 2 * _CORNERS), name))[0]
    candidates = np.flatnonzero(room >= max(_ROOM, 0.6 * room.max()))
    row, col = np.divmod(candidates[int(draws[0] * len(candidates))], mask.shape[1])
    shape = _outline(mask, (row + 0.5, col + 0.5), _REACH[value - 1], draws[1:])
    for _ in range(4):
        taken = ~geometry_mask([shape], mask.shape, Affine.identity())
        if taken.sum() >= 12 and place.free[taken].all() and mask[taken].mean() >= PURITY:
            place.free &= ~binary_dilation(taken, iterations=_GAP)
            return Polygon([(x + place.window.col, y + place.window.row) for x, y in shape.exterior.coords])
        shape = scale(shape, 0.8, 0.8, origin=(col + 0.5, row + 0.5))
    return None


def _outline(mask: NDArray[np.bool_], centre: tuple[float, float], reach: float, draws: NDArray[np.float32]) -> Polygon:
    """A star-shaped polygon around ``centre``: in each direction roughly as far as the class goes, by a loose hand."""
    corners = []
    reach *= 0.6 + 0.5 * float(draws[0])
    for k in range(_CORNERS):
        angle = 2 * np.pi * (k + 0.6 * float(draws[1 + k])) / _CORNERS
        step = np.sin(angle), np.cos(angle)
        distance = _extent(mask, centre, step, reach) * (0.76 + 0.24 * float(draws[1 + _CORNERS + k]))
        corners.append((centre[1] + distance * step[1], centre[0] + distance * step[0]))
    return Polygon(corners)


def _extent(mask: NDArray[np.bool_], centre: tuple[float, float], step: tuple[float, float], reach: float) -> float:
    """How far one can go from ``centre`` within the mask, at most ``reach``."""
    distance = 1.0
    while distance < reach:
        row, col = int(centre[0] + distance * step[0]), int(centre[1] + distance * step[1])
        if not (0 <= row < mask.shape[0] and 0 <= col < mask.shape[1] and mask[row, col]):
            return distance - 0.5
        distance += 0.5
    return reach


def _on_map(polygon: Polygon, product: Product) -> Polygon:
    """A polygon in (column, row) pixels as one in map coordinates, to the centimetre."""
    points = (product.grid.xy(row, col) for col, row in polygon.exterior.coords)
    return Polygon([(round(x, 2), round(y, 2)) for x, y in points])
