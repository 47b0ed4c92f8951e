"""Landsat 4 to 9, Level 1 by the coefficients of its MTL file, and Level 2 recognised as what it is.

Top-of-atmosphere reflectance is (REFLECTANCE_MULT DN + REFLECTANCE_ADD) / sin(sun elevation), as in USGS's Landsat data
users handbooks; DN 0 is fill in every band, since calibrated values start at 1.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from rsseg.errors import InputError, UsageError
from rsseg.scene.radiometry import Affine, Calibration
from rsseg.scene.sensors.bandfiles import clean_name, common_grid
from rsseg.scene.sensors.container import Container
from rsseg.scene.sensors.mtl import Mtl
from rsseg.scene.shown import shown
from rsseg.scene.source import Band, Fill, Scene, Units, select_bands

META = re.compile(r"_MTL\.(TXT|JSON)$", re.IGNORECASE)

OLI = {1: "coastal", 2: "blue", 3: "green", 4: "red", 5: "nir", 6: "swir1", 7: "swir2", 8: "pan", 9: "cirrus"}
TM = {1: "blue", 2: "green", 3: "red", 4: "nir", 5: "swir1", 7: "swir2", 8: "pan"}
BAND_NAMES = {4: TM, 5: TM, 7: TM, 8: OLI, 9: OLI}
"""Satellite -> band number -> name; thermal bands hold no reflectance and are left out."""

ON_REQUEST = ("pan", "cirrus")
"""Bands on another grid, or that see no land: read only when named."""

FILES = ("PRODUCT_CONTENTS", "PRODUCT_METADATA")
IMAGE = ("IMAGE_ATTRIBUTES", "PRODUCT_METADATA")
LEVEL1 = ("LEVEL1_RADIOMETRIC_RESCALING", "RADIOMETRIC_RESCALING")
LEVEL2 = ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS",)
"""Groups of keys, Collection 2 first, then Collection 1 and before."""


def open_landsat(
    container: Container,
    meta_name: str,
    *,
    bands: Sequence[str] | None = None,
    calibration: Calibration,
    fill: Fill | None = None,
) -> Scene:
    """The product described by ``meta_name`` as a scene calibrated on the fly; Level 2 is surface reflectance.

    Raises: InputError if a key or file is missing or the product is of another kind; UsageError for a band or
    a calibration it does not have.
    """
    mtl = _read(container, meta_name)
    level2 = _is_level2(mtl)
    _refuse_choices(container, calibration, level2)
    every = _bands(container, meta_name, mtl, level2)
    default = tuple(band for band in every if band.name not in ON_REQUEST) or every
    chosen = default if bands is None else select_bands((*default, *_rest(every, default)), bands, container.path)
    grid, dtype = common_grid(chosen)
    units: Units = "reflectance" if level2 else calibration.quantity
    return Scene(
        name=clean_name(_name(mtl, meta_name)),
        path=container.path,
        grid=grid,
        bands=_calibrated(chosen, mtl, calibration, level2),
        dtype=dtype,
        units=units,
        fill=fill or "any",
        tags=_tags(mtl, level2),
        origin="level-2" if level2 else "level-1",
        all_bands=default if set(chosen) <= set(default) else chosen,
    )


def read_tags(container: Container, meta_name: str) -> dict[str, str]:
    """The scene's tags without its bands. Raises: InputError."""
    mtl = _read(container, meta_name)
    return _tags(mtl, _is_level2(mtl))


def _read(container: Container, meta_name: str) -> Mtl:
    name = f"{shown(container.path, 500)}: {shown(PurePosixPath(meta_name).name)}"
    return Mtl.parse(container.read_text(meta_name), name)


def _is_level2(mtl: Mtl) -> bool:
    return (mtl.get("PROCESSING_LEVEL", *FILES) or "L1").upper().startswith("L2")


def _rest(every: tuple[Band, ...], default: tuple[Band, ...]) -> tuple[Band, ...]:
    return tuple(band for band in every if band not in default)


def _refuse_choices(container: Container, calibration: Calibration, level2: bool) -> None:
    """Choices that only Resourcesat products leave open."""
    if replace(calibration, quantity="reflectance") != Calibration():
        raise UsageError(
            f"{container.path} is a Landsat product, which carries its own coefficients; "
            "--radiance-from, --solar, --esun and --dn-max do not apply"
        )
    if level2 and calibration.quantity == "radiance":
        raise UsageError(f"{container.path} holds surface reflectance (Level 2), from which radiance cannot be had")


def _satellite(mtl: Mtl) -> int:
    text = mtl.text("SPACECRAFT_ID", *IMAGE)
    match = re.search(r"LANDSAT_?([0-9])$", text)
    sensor = mtl.get("SENSOR_ID", *IMAGE) or ""
    if match is None or int(match[1]) not in BAND_NAMES or sensor.upper().startswith("MSS"):
        raise InputError(
            f"{mtl.source} is of {shown(text)} {shown(sensor)}; of Landsat, satellites 4 to 9 without MSS are read"
        )
    return int(match[1])


def _bands(container: Container, meta_name: str, mtl: Mtl, level2: bool) -> tuple[Band, ...]:
    """The reflective bands whose files are there; the rest of a product is often not kept."""
    bands, missing = [], []
    for number, name in BAND_NAMES[_satellite(mtl)].items():
        file_name = mtl.get(f"FILE_NAME_BAND_{number}", *FILES)
        if file_name is None:
            continue
        found = container.beside(meta_name, PurePosixPath(file_name).name)
        if found is None:
            missing.append(file_name)
        else:
            bands.append(Band(name, container.gdal_name(found), code=f"B{number}"))
    if bands:
        return tuple(bands)
    if container.matching(re.compile(r"_sr_band\d\.tif$", re.IGNORECASE)):
        raise InputError(
            f"{container.path} holds surface reflectance (*_sr_band*.tif), not the digital numbers of its MTL; "
            "stack these files into one raster and give --scale 0.0001"
        )
    listed = ", ".join(shown(name) for name in missing) or "no reflective band"
    raise InputError(f"{container.path} has none of the band files that its MTL names ({listed})")


def _calibrated(bands: tuple[Band, ...], mtl: Mtl, calibration: Calibration, level2: bool) -> tuple[Band, ...]:
    kind = "RADIANCE" if calibration.quantity == "radiance" else "REFLECTANCE"
    groups = LEVEL2 if level2 else LEVEL1
    # Level 2 is corrected for the sun already, and radiance does not depend on it
    sun = 1.0 if level2 or kind == "RADIANCE" else math.sin(math.radians(_sun_elevation(mtl)))
    result = []
    for band in bands:
        keys = [f"{kind}_{part}_BAND_{band.code[1:]}" for part in ("MULT", "ADD")]
        stored = Affine(*(mtl.number(key, *groups) for key in keys))
        if stored.gain <= 0:
            raise InputError(f"{mtl.source} says {keys[0]} = {stored.gain:g}; it must be above 0, get the file again")
        constants = ((f"{kind.lower()}_mult", f"{stored.gain:.10g}"), (f"{kind.lower()}_add", f"{stored.offset:.10g}"))
        scaled = stored.scaled(1 / sun)
        result.append(replace(band, scale=scaled.gain, offset=scaled.offset, constants=constants))
    return tuple(result)


def _sun_elevation(mtl: Mtl) -> float:
    elevation = mtl.number("SUN_ELEVATION", *IMAGE)
    if not 0 < elevation <= 90:
        raise InputError(f"{mtl.source} says SUN_ELEVATION = {elevation:g}; reflectance needs a sun above the horizon")
    return elevation


def _name(mtl: Mtl, meta_name: str) -> str:
    keys = ("LANDSAT_PRODUCT_ID", "LANDSAT_SCENE_ID")
    groups = (*FILES, "METADATA_FILE_INFO", "LEVEL1_PROCESSING_RECORD")
    found = (mtl.get(key, *groups) for key in keys)
    return next((text for text in found if text), META.sub("", PurePosixPath(meta_name).name))


def _tags(mtl: Mtl, level2: bool) -> dict[str, str]:
    wanted = {"satellite": "SPACECRAFT_ID", "instrument": "SENSOR_ID", "sun_elevation": "SUN_ELEVATION"}
    wanted |= {"sun_azimuth": "SUN_AZIMUTH", "earth_sun_distance": "EARTH_SUN_DISTANCE"}
    wanted |= {"path": "WRS_PATH", "row": "WRS_ROW"}
    tags = {name: value for name, key in wanted.items() if (value := mtl.get(key, *IMAGE)) is not None}
    tags["sensor"] = f"Landsat-{_satellite(mtl)}"
    tags["level"] = mtl.get("PROCESSING_LEVEL", *FILES) or mtl.get("DATA_TYPE", *FILES) or "unknown"
    tags["calibration"] = "surface reflectance of the supplier" if level2 else "coefficients of the MTL file"
    date, time = mtl.get("DATE_ACQUIRED", *IMAGE), mtl.get("SCENE_CENTER_TIME", *IMAGE)
    if date and time:
        tags["time"] = f"{date}T{time}"
    return tags
