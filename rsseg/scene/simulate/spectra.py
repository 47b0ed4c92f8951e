"""What the classes look like: top-of-atmosphere reflectance in green, red and near infrared.

Levels follow what LISS-IV sees over central India; textures are canopies, roofs, field rows and reed beds at 5 m.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rsseg.scene.simulate.landcover import BARE, BUILT_UP, FOREST, WATER, WETLAND, Cover
from rsseg.scene.simulate.noise import Floats, fractal, hashes, mix, salt, smooth, uniform
from rsseg.scene.simulate.parcels import cells

Table = NDArray[np.float64]
KINDS = 1024
"""Number of different fields, and of different roofs."""

_WATER, _SILT = (0.094, 0.062, 0.036), (0.026, 0.040, 0.022)
_REED, _POOL = (0.086, 0.066, 0.205), (0.097, 0.075, 0.065)
_LEAVES, _LITTER = (0.068, 0.047, 0.265), (0.098, 0.092, 0.185)
_CANOPY, _GROVE, _SOIL = (0.082, 0.050, 0.385), (0.070, 0.048, 0.290), (0.118, 0.142, 0.196)
_LEAF_HUE, _SOIL_HUE = (0.05, -0.03, 0.12), (-0.06, 0.12, 0.05)
"""How far leaves and soils vary from field to field, as a share of their reflectance."""
_CANE = 4
"""Sugar cane and orchards among the uses of fields: nearly as dark as forests."""
_SAND, _LATERITE = (0.168, 0.200, 0.258), (0.128, 0.175, 0.235)
_STREET, _HEDGE = (0.122, 0.124, 0.140), (0.080, 0.064, 0.225)
_BLOCK = (9.5, 13.0)
"""Houses between streets, in pixels across and along the quarter."""
_HAZE = (0.012, 0.007, 0.003)


@dataclass(frozen=True)
class Light:
    """The sun at the scene centre: degrees above the horizon, and clockwise from north."""

    elevation: float
    azimuth: float


def reflectance(seed: int, land: Cover, day: date, light: Light) -> Floats:
    """Reflectance before the sensor: (3, height, width) float32, green, red and near infrared."""
    bands = _fields(seed, land, day)
    for value, paint in ((WATER, _water), (WETLAND, _wetland), (FOREST, _forest), (BUILT_UP, _town), (BARE, _bare)):
        mask = land.classes == value
        if mask.any():
            for band, painted in zip(bands, paint(seed, land, day, light), strict=True):
                np.copyto(band, painted, where=mask)
    result = np.stack(bands)
    result *= _shade(land, light)
    return _haze(seed, land, day, result)


def _blend(first: tuple[float, ...], second: tuple[float, ...], share: Floats) -> list[Floats]:
    """Per band, ``first`` where ``share`` is 0 and ``second`` where it is 1."""
    return [np.float32(a) + share * np.float32(b - a) for a, b in zip(first, second, strict=True)]


def _year(day: date) -> float:
    """The share of the year that has passed."""
    return (day.timetuple().tm_yday - 1) / 365.25


def _bump(time: Table, start: Table | float, peak: Table | float, end: Table | float) -> Table:
    """A season's growth: 0 before ``start`` and after ``end``, 1 at ``peak`` (shares of a year, wrapping around)."""
    since = (time - start) % 1.0
    up, down = np.asarray(peak - start) % 1.0, np.asarray(end - peak) % 1.0
    rise, fall = np.clip(since / up, 0, 1), np.clip(1 - (since - up) / down, 0, 1)
    smoothstep = np.minimum(rise, fall)
    return smoothstep * smoothstep * (3 - 2 * smoothstep)


@lru_cache(maxsize=8)
def field_table(seed: int, day: date) -> tuple[Floats, ...]:
    """Green, red, near infrared and row contrast of each kind of field on a day: four arrays of 2 ``KINDS``.

    Uses: kharif crops (monsoon), rabi crops (winter), both, cotton, sugar cane and orchards, fallow. The first
    ``KINDS`` are irrigated land, the others live on rain.
    """
    draws = uniform(hashes(np.arange(2 * KINDS), np.arange(7), salt(seed, "field"))).astype(np.float64)
    use, late, vigour, soil, rows, hue, clay = draws.T
    time = _year(day) - 0.05 * (late - 0.5)
    kharif = _bump(time, 0.48, 0.66, 0.80)
    rabi = _bump(time, 0.83, 0.09, 0.25)
    cotton = _bump(time, 0.46, 0.72, 0.02)
    cane = 0.62 + 0.25 * np.cos(2 * np.pi * (time - 0.72))
    growth = np.stack([kharif, rabi, np.maximum(kharif, rabi), cotton, cane, np.full_like(time, 0.04)])
    irrigated = np.searchsorted([0.08, 0.38, 0.74, 0.81, 0.95], use, side="right")
    rainfed = np.searchsorted([0.34, 0.48, 0.58, 0.78, 0.84], use, side="right")
    kind = np.where(np.arange(2 * KINDS) < KINDS, irrigated, rainfed)
    seasons = np.take_along_axis(growth, kind[None], axis=0)[0]
    green = np.clip(seasons, 0.03, 1) * (0.6 + 0.5 * vigour)
    table = []
    for canopy, grove, ground, tint, stain in zip(_CANOPY, _GROVE, _SOIL, _LEAF_HUE, _SOIL_HUE, strict=True):
        earth = ground * (0.72 + 0.64 * soil) * (1 + stain * (clay - 0.5))
        leaves = np.where(kind == _CANE, grove, canopy) * (1 + tint * (hue - 0.5))
        table.append(earth + green * (leaves - earth))
    contrast = (0.02 + 0.10 * rows**2) * (0.5 + seasons)
    return tuple(column.astype(np.float32) for column in (*table, contrast))


def _fields(seed: int, land: Cover, day: date) -> list[Floats]:
    green, red, nir, contrast = field_table(seed, day)
    plots = land.parcels
    kind = (plots.field & np.uint32(KINDS - 1)).astype(np.intp)
    kind += KINDS * _rainfed(seed, land)
    period = np.float32(2.4) + (plots.field >> np.uint32(30)).astype(np.float32) * np.float32(0.5)
    phase = plots.across / period
    phase -= np.floor(phase)
    rows = (np.abs(phase - np.float32(0.5)) - np.float32(0.25)) * contrast[kind]
    rows += np.float32(0.045) * smooth(land.rows, land.cols, 8, salt(seed, "tilth"))
    hedge = np.clip(np.float32(1.1) - plots.border, 0, 1)
    hedge *= (plots.region & np.uint32(3)).astype(np.float32) * np.float32(0.25)
    bands = []
    for table, sign, border in zip((green, red, nir), (0.8, 0.3, 1.6), _HEDGE, strict=True):
        band = table[kind]
        band *= 1 + np.float32(sign) * rows
        band += hedge * (np.float32(border) - band)
        bands.append(band)
    return bands


def _rainfed(seed: int, land: Cover) -> NDArray[np.bool_]:
    """The fields without irrigation: nearly all in some regions, few in others."""
    coarse = land.lattice
    canals = coarse.upsample(coarse.inner(fractal(coarse.rows, coarse.cols, (5600, 1500), seed, "canals")))
    return uniform(mix(land.parcels.field ^ np.uint32(0xA511E9B3))) > np.float32(0.55) + np.float32(0.28) * canals


def _water(seed: int, land: Cover, day: date, light: Light) -> list[Floats]:
    """Clear in the middle of lakes, silty along banks and after the monsoon."""
    monsoon = 0.5 + 0.5 * np.cos(2 * np.pi * (_year(day) - 0.65))
    silt = np.float32(0.25 + 0.7 * monsoon) + np.float32(0.22) * smooth(land.rows, land.cols, 420, salt(seed, "silt"))
    silt += np.clip(np.float32(0.5) - np.float32(0.06) * land.depth, 0, 1)
    silt += np.float32(0.06) * smooth(land.rows, land.cols, 30, salt(seed, "eddies"))
    return _blend(_WATER, tuple(a + b for a, b in zip(_WATER, _SILT, strict=True)), np.clip(silt, 0, 1.6))


def _wetland(seed: int, land: Cover, day: date, light: Light) -> list[Floats]:
    """Reeds and pools in patches of 20 to 80 m."""
    wet = 0.5 + 0.5 * np.cos(2 * np.pi * (_year(day) - 0.75))
    mottle = fractal(land.rows, land.cols, (14, 5.5), seed, "reeds")
    share = np.clip(np.float32(0.42 + 0.18 * wet) + np.float32(0.42) * mottle, 0, 1)
    return _blend(_REED, _POOL, share)


def _forest(seed: int, land: Cover, day: date, light: Light) -> list[Floats]:
    """Crowns lit from the sun's side, gaps, and stands that shed their leaves in spring."""
    name = salt(seed, "crowns")
    down, across = _towards_sun(light)
    crowns = smooth(land.rows, land.cols, 3.4, name)
    lit = crowns - smooth(land.rows + 1.3 * down, land.cols + 1.3 * across, 3.4, name)
    bare = 0.15 + 0.55 * float(_bump(np.asarray(_year(day)), 0.0, 0.28, 0.46))
    stand = smooth(land.rows, land.cols, 60, salt(seed, "stand"))
    litter = np.clip(np.float32(bare) * (1 + np.float32(0.5) * stand) - np.float32(0.08) * crowns, 0, 1)
    shade = np.clip(1 + np.float32(0.17) * lit + np.float32(0.05) * crowns, 0.45, 1.5)
    return [band * shade for band in _blend(_LEAVES, _LITTER, litter)]


def _bare(seed: int, land: Cover, day: date, light: Light) -> list[Floats]:
    """Sand and rock waste: bright and smooth."""
    mineral = np.float32(0.5) + np.float32(0.4) * smooth(land.rows, land.cols, 380, salt(seed, "mineral"))
    bright = 1 + np.float32(0.055) * smooth(land.rows, land.cols, 26, salt(seed, "grain"))
    return [band * bright for band in _blend(_SAND, _LATERITE, np.clip(mineral, 0, 1))]


@lru_cache(maxsize=2)
def roof_table(seed: int) -> tuple[Floats, ...]:
    """Green, red and near infrared of what stands in a town, from gardens through yards to roofs: ``KINDS`` each."""
    draws = uniform(hashes(np.arange(KINDS), np.arange(3), salt(seed, "roof"))).astype(np.float64)
    place = np.arange(KINDS) / KINDS
    kinds = np.array(
        [
            (0.078, 0.060, 0.255),  # trees and gardens
            (0.140, 0.160, 0.220),  # yards and plots
            (0.118, 0.118, 0.130),  # old concrete, tar
            (0.122, 0.168, 0.222),  # tiles
            (0.196, 0.206, 0.226),  # concrete
            (0.290, 0.300, 0.315),  # metal sheet
        ]
    )
    kind = np.searchsorted([0.22, 0.38, 0.58, 0.71, 0.90], place, side="right")
    bright = 0.82 + 0.36 * draws[:, 0]
    return tuple((kinds[kind, band] * bright).astype(np.float32) for band in range(3))


def _town(seed: int, land: Cover, day: date, light: Light) -> list[Floats]:
    """Streets, houses of 10 to 15 m, larger halls in some quarters; greener and looser towards the edge."""
    plots = land.parcels
    houses = cells(plots.region, plots.along, plots.across, 2.2, 2.9)
    halls = cells(plots.region, plots.along, plots.across, 6.6, 8.7)
    place = uniform(np.where((halls & np.uint32(7)) == 0, halls, houses))
    blocks = uniform(cells(plots.region, plots.along, plots.across, *_BLOCK))
    # houses of a block are alike, and towards the centre the draw moves from gardens to roofs
    centre = np.clip(land.density * np.float32(0.02), 0, 1)
    place = np.float32(0.62) * place + np.float32(0.24) * blocks + np.float32(0.14) * centre
    kind = (place * np.float32(KINDS)).astype(np.intp)
    street = _street(plots.along, _BLOCK[1]) | _street(plots.across, _BLOCK[0]) | land.road
    return [
        np.where(street, np.float32(grey), table[kind]) for grey, table in zip(_STREET, roof_table(seed), strict=True)
    ]


def _street(position: Floats, spacing: float) -> NDArray[np.bool_]:
    cycle = position * np.float32(1 / spacing)
    return (cycle - np.floor(cycle)) < np.float32(1.3 / spacing)


def _towards_sun(light: Light) -> tuple[float, float]:
    """A step of one pixel towards the sun: rows down, columns across."""
    azimuth = np.radians(light.azimuth)
    return -float(np.cos(azimuth)), float(np.sin(azimuth))


def _shade(land: Cover, light: Light) -> Floats:
    """Terrain: cosine of the incidence angle over that of flat land, and the shadow that forests cast beside them."""
    down, across = _towards_sun(light)
    rise = down * land.shapes.slope_down + across * land.shapes.slope_across
    # slopes are metres a pixel of 5 m; ground that falls towards the sun is lit more
    tilt = 1 - (rise / np.float32(5)) / np.float32(np.tan(np.radians(light.elevation)))
    shade = land.lattice.upsample(np.clip(tilt, 0.4, 1.5).astype(np.float32))
    forest = land.classes == FOREST
    shadow = np.roll(forest, (-round(1.5 * down), -round(1.5 * across)), axis=(0, 1)) & ~forest
    shade[shadow] *= np.float32(0.8)
    return shade


def _haze(seed: int, land: Cover, day: date, bands: Floats) -> Floats:
    name = f"haze/{day.isoformat()}"
    coarse = land.lattice
    veil = 1 + 0.45 * coarse.inner(smooth(coarse.rows, coarse.cols, 2600, salt(seed, name)))
    veil = coarse.upsample(np.clip(veil, 0, 2.5).astype(np.float32))
    for band, path in zip(bands, _HAZE, strict=True):
        band += np.float32(path) * veil
    return bands
