"""Resourcesat-1/2/2A LISS-IV and LISS-III: BAND_META.txt beside one GeoTIFF a band.

Both instruments use the same file names; the key ``Sensor`` says which one it is.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from rsseg.errors import InputError
from rsseg.scene.radiometry import Calibration, earth_sun_distance
from rsseg.scene.sensors.bandfiles import clean_name, common_grid
from rsseg.scene.sensors.bandmeta import BandMeta
from rsseg.scene.sensors.container import Container
from rsseg.scene.sensors.liss import LISS3, LISS4, Instrument, calibrated, dn_max_of
from rsseg.scene.shown import shown
from rsseg.scene.source import Band, Fill, Scene, select_bands

META = re.compile(r"^BAND_META\.TXT$", re.IGNORECASE)

COPIED = {
    "satellite": "SatID",
    "product": "ProductID",
    "agency": "GenAgency",
    "path": "Path",
    "row": "Row",
    "sun_elevation": "SunElevationAtCenter",
    "sun_azimuth": "SunAzimuthAtCenter",
}
"""Tag -> key of what is handed on as it stands."""

BAND_NAMES = {2: "green", 3: "red", 4: "nir", 5: "swir1"}


def open_resourcesat(
    container: Container,
    meta_name: str,
    *,
    bands: Sequence[str] | None = None,
    calibration: Calibration,
    fill: Fill | None = None,
) -> Scene:
    """The product described by ``meta_name`` as a scene calibrated on the fly.

    Raises: InputError if a key or file is missing or the product is of another kind; UsageError for a band or
    a calibration it does not have.
    """
    meta = _read(container, meta_name)
    instrument = _instrument(meta)
    _refuse_ortho_kit(container, meta_name, meta)
    every = tuple(_band(container, meta_name, number) for number in _numbers(meta, instrument))
    grid, dtype = common_grid(every)
    chosen = every if bands is None else select_bands(every, bands, container.path)
    return Scene(
        name=clean_name(meta.get("OTSProductID") or meta.get("ProductID") or container.path.stem),
        path=container.path,
        grid=grid,
        bands=calibrated(chosen, meta, instrument, calibration),
        dtype=dtype,
        units=calibration.quantity,
        fill=fill or "all",
        tags=_tags(meta, instrument, calibration),
        origin="level-1",
        all_bands=every,
    )


def read_tags(container: Container, meta_name: str) -> dict[str, str]:
    """The scene's tags without its bands, by the default calibration. Raises: InputError."""
    meta = _read(container, meta_name)
    return _tags(meta, _instrument(meta), Calibration())


def _read(container: Container, meta_name: str) -> BandMeta:
    name = f"{shown(container.path, 500)}: {shown(PurePosixPath(meta_name).name)}"
    return BandMeta.parse(container.read_text(meta_name), name)


def _instrument(meta: BandMeta) -> Instrument:
    sensor = meta.text("Sensor")
    for start, instrument in (("L4", LISS4), ("L3", LISS3)):
        if sensor.upper().startswith(start):
            return instrument
    raise InputError(
        f"{meta.source} says Sensor= {shown(sensor)}; of Resourcesat only LISS-IV (L4..) and LISS-III (L3) are read"
    )


def _refuse_ortho_kit(container: Container, meta_name: str, meta: BandMeta) -> None:
    code = meta.get("ProdCode") or ""
    if code.upper().endswith("GOD") or container.beside(meta_name, "BAND2_RPC.tif"):
        raise InputError(
            f"{container.path} is an ortho-kit product (RPC, ProdCode {shown(code) or 'unknown'}), which lies on no "
            "map grid; order the georeferenced standard product (such as STUC00GTD), or orthorectify it first"
        )


def _numbers(meta: BandMeta, instrument: Instrument) -> list[int]:
    """The band numbers that the product says it holds, such as 234."""
    known = instrument.esun["thuillier"]
    text = meta.text("BandNumbers")
    numbers = [int(digit) for digit in text if digit in "0123456789"]
    if not numbers or any(number not in known for number in numbers) or len(set(numbers)) < len(numbers):
        raise InputError(f"{meta.source} says BandNumbers= {shown(text)}; {instrument.name} has bands {_words(known)}")
    return numbers


def _words(numbers: Mapping[int, float]) -> str:
    return ", ".join(str(number) for number in numbers)


def _band(container: Container, meta_name: str, number: int) -> Band:
    for file_name in (f"BAND{number}.tif", f"BAND{number}.tiff"):
        found = container.beside(meta_name, file_name)
        if found is not None:
            return Band(BAND_NAMES[number], container.gdal_name(found), code=f"B{number}")
    folder = PurePosixPath(meta_name).parent
    raise InputError(
        f"{container.path} has no {folder / f'BAND{number}.tif'}, which its BAND_META.txt lists; get it again"
    )


def _tags(meta: BandMeta, instrument: Instrument, calibration: Calibration) -> dict[str, str]:
    tags = {"sensor": instrument.name, "constants_unit": "lmin, lmax: mW cm-2 sr-1 um-1; esun: mW cm-2 um-1"}
    tags |= {name: value for name, key in COPIED.items() if (value := meta.get(key)) is not None}
    if meta.get("SceneCenterTime"):
        time = meta.time("SceneCenterTime")
        tags |= {"time": time.isoformat() + "Z", "earth_sun_distance": f"{earth_sun_distance(time):.6f}"}
    tags |= {"dn_max": f"{dn_max_of(meta, calibration):g}", "radiance_from": calibration.radiance_from}
    if calibration.quantity == "reflectance":
        tags["solar"] = "own" if calibration.esun else calibration.solar
    return tags
