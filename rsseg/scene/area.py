"""How large pixels are on the ground."""

from math import atanh, sqrt
from typing import Any

import numpy as np

from rsseg.errors import GridError
from rsseg.scene.grid import Grid


def pixel_areas(grid: Grid) -> np.ndarray:
    """The area of a pixel of each row of a grid: (height,) float64, in square metres.

    In a geographic CRS a pixel is cut from the ellipsoid by two meridians and two parallels, so that the pixels of a
    band of latitude add up to it exactly; the closed form is that of the authalic latitude (Snyder 1987, equation
    3-12). In a projected CRS it is the area in the plane, which is as true as the projection: near enough for UTM, and
    too large by 1 / cos(latitude)^2 for Web Mercator.

    Raises: GridError if the grid has no CRS, or is turned in a geographic one, where the pixels of a row differ.
    """
    if grid.crs is None:
        raise GridError("the raster has no CRS, so that nothing says how large its pixels are on the ground")
    from pyproj import CRS

    crs = CRS.from_wkt(grid.crs)
    horizontal = crs.sub_crs_list[0] if crs.is_compound else crs
    a, b, _, d, e, _ = grid.transform
    unit = horizontal.axis_info[0].unit_conversion_factor if horizontal.axis_info else 1.0
    if not horizontal.is_geographic:
        return np.full(grid.height, abs(a * e - b * d) * unit * unit)
    if b != 0 or d != 0:
        raise GridError("the raster is turned in a geographic CRS, where the pixels of a row differ in area; warp it")
    return _on_ellipsoid(grid, horizontal, unit)


def known_pixel_areas(grid: Grid) -> np.ndarray | None:
    """``pixel_areas``, or None where nothing says how large pixels are."""
    try:
        return pixel_areas(grid)
    except GridError:
        return None


def pixel_metres(grid: Grid) -> tuple[float, float] | None:
    """Height and width of a pixel in metres, in a projected CRS; None in any other, and without one."""
    if grid.crs is None:
        return None
    from pyproj import CRS

    crs = CRS.from_wkt(grid.crs)
    if not crs.is_projected:
        return None
    height, width = grid.pixel_size
    unit = crs.axis_info[0].unit_conversion_factor
    return height * unit, width * unit


def _on_ellipsoid(grid: Grid, crs: Any, unit: float) -> np.ndarray:
    """Pixel areas by row, (height,) in square metres; ``unit`` turns the CRS's angles into radians."""
    flattening = 1 / crs.ellipsoid.inverse_flattening if crs.ellipsoid.inverse_flattening else 0.0
    eccentricity = sqrt(flattening * (2 - flattening))
    edges = grid.transform[5] + grid.transform[4] * np.arange(grid.height + 1)
    # rows of a global grid may reach half a pixel over a pole, where there is no ground
    sines = np.sin(np.clip(edges * unit, -np.pi / 2, np.pi / 2))
    zone = np.array([_authalic(float(sine), eccentricity) for sine in sines])
    polar = crs.ellipsoid.semi_major_metre**2 * (1 - eccentricity**2)
    return np.asarray(np.abs(np.diff(zone)) * polar * abs(grid.transform[0]) * unit / 2)


def _authalic(sine: float, eccentricity: float) -> float:
    """The integral that areas between parallels are differences of; ``sine`` is that of the latitude."""
    if eccentricity == 0:
        return 2 * sine
    product = eccentricity * sine
    return sine / (1 - product * product) + atanh(product) / eccentricity
