"""BAND_META.txt of a simulated product: the keys of a Resourcesat-2 file, in their order and spelling."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from rsseg.scene.sensors.bandmeta import MONTHS

if TYPE_CHECKING:
    from rsseg.scene.simulate.product import Product

META_NAME = "BAND_META.txt"
_GROUND_SPEED = 6650.0
"""Metres a second along the track."""


def meta_text(product: Product) -> str:
    """The file's text; every number follows from the product."""
    from rsseg.scene.simulate.footprint import LEAN
    from rsseg.scene.simulate.product import LMAX, ZONE

    height, width = product.size
    day = _date(product.time)
    heading = f"{180 + LEAN:.6f}"
    half = timedelta(seconds=height * product.grid.pixel_size[0] / _GROUND_SPEED / 2)
    first, last = product.time - half, product.time + half
    entries = [
        ("ProductID", product.number),
        ("SatID", "IRS-R2"),
        ("Sensor", "L4FX"),
        ("SubScene", "A"),
        ("GenAgency", "SIMULATED"),
        ("Path", "100"),
        ("Row", "057"),
        ("SegmentNumber", ""),
        ("SessionNumber", "1"),
        ("StripNumber", ""),
        ("SceneNumber", ""),
        ("DateOfPass", day),
        ("NoOfBands", "3"),
        ("BandNumbers", "234"),
        ("PassType", "SSRD"),
        ("DateOfDump", day),
        ("BytesPerPixel", "2"),
        ("BitsPerPixel", "10"),
        ("GenerationDateTime", _time(product.time + timedelta(days=2), 0)),
        ("ProdCode", "STUC00GTD"),
        ("ProdType", "GEOREF"),
        ("InputResolutionAlong", "  5.80"),
        ("InputResolutionAcross", "  5.80"),
        ("OutputResolutionAlong", "  5.00"),
        ("OutputResolutionAcross", "  5.00"),
        ("Season", MONTHS[product.day.month - 1]),
        ("ImageFormat", "GEOTIFF"),
        ("ProcessingLevel", "STD"),
        ("ResampCode", "CC"),
        ("NoScans", str(height)),
        ("NoPixels", str(width)),
        ("StartPixel", "0"),
        ("MapProjection", "UTM"),
        ("Ellipsoid", "WGS_84"),
        ("Datum", "WGS84"),
        ("MapOriginLat", "  0.000000"),
        ("MapOriginLon", f"{6 * ZONE - 183:.6f}"),
        *_corners(product),
        ("StandardParallel1", ""),
        ("StandardParallel2", ""),
        ("FalseEasting", "500000.000000"),
        ("FalseNorthing", "  0.000000"),
        ("ZoneNo", str(ZONE)),
        ("SceneCenterTime", _time(product.time, 6)),
        ("SceneCenterRoll", "  0.000000"),
        ("SceneCenterPitch", "  0.000000"),
        ("SceneCenterYaw", "  0.000000"),
        ("SunAziumthAtCenter", f"{product.light.azimuth:.6f}"),
        ("SunElevationAtCenter", f"{product.light.elevation:.6f}"),
        ("ImageHeadingAngle", heading),
        ("IncidenceAngle", "  0.000000"),
        ("SatelliteAltitude", "822.000000"),
        ("Tiltangle", "  0.000000"),
        ("DEMCorrection", "YES"),
        ("SourceOfOrbit", "3"),
        ("SourceOfAttitude", "1"),
        ("ImagingDirection", "D"),
        *((f"B{band}_Lmin", "  0.0000") for band in (2, 3, 4)),
        *((f"B{band}_Lmax", f"{top:8.4f}") for band, top in zip((2, 3, 4), LMAX, strict=True)),
        ("Shift%", "0"),
        ("SatelliteHeadingAngle", heading),
        ("SceneStartTime", _time(first, 9)),
        ("SceneEndTime", _time(last, 9)),
        ("ProductSceneStartTime", _time(first, 6)),
        ("ProductSceneEndTime", _time(last, 6)),
        ("GhostCorrection", "FALSE"),
    ]
    return "".join(f"{key}= {value}".rstrip() + "\n" for key, value in entries)


def _corners(product: Product) -> list[tuple[str, str]]:
    """Raster and image corners, and map coordinates: centres of the corner pixels, as the supplier gives them."""
    height, width = product.size
    centres = [(0.5, 0.5), (0.5, width - 0.5), (height - 0.5, width - 0.5), (height - 0.5, 0.5)]
    entries: list[tuple[str, str]] = []
    for kind, points in (("Prod", centres), ("Image", list(product.footprint.corners))):
        for name, (lon, lat) in zip(("UL", "UR", "LR", "LL"), product.lonlat(points), strict=True):
            entries += [(f"{kind}{name}Lat", f"{lat:10.6f}"), (f"{kind}{name}Lon", f"{lon:10.6f}")]
    for name, (row, col) in zip(("UL", "UR", "LR", "LL"), centres, strict=True):
        x, y = product.grid.xy(row, col)
        entries += [(f"Prod{name}MapX", f"{x:.6f}"), (f"Prod{name}MapY", f"{y:.6f}")]
    lon, lat = product.centre
    return [*entries, ("SceneCenterLat", f"{lat:10.6f}"), ("SceneCenterLon", f"{lon:10.6f}")]


def _date(time: datetime) -> str:
    return f"{time.day:02d}-{MONTHS[time.month - 1]}-{time.year}"


def _time(time: datetime, digits: int) -> str:
    fraction = f".{time.microsecond:06d}000"[: digits + 1] if digits else ""
    return f"{_date(time)} {time:%H:%M:%S}{fraction}"
