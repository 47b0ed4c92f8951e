"""LISS-IV and LISS-III: solar irradiances, and digital numbers to radiance and reflectance by the product's keys.

Radiances are mW cm-2 sr-1 um-1, ESUN mW cm-2 um-1, from NRSC's technical note RS-2/TN-July2011 (Keerthi and Senthil
Kumar). The metadata names no unit: Lmax and ESUN must stay in one system.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rsseg.errors import CalibrationWarning, InputError, UsageError
from rsseg.scene.radiometry import (
    MW_CM2_TO_W_M2,
    Affine,
    Calibration,
    Solar,
    earth_sun_distance,
    radiance_of_dn,
    reflectance_of_radiance,
)
from rsseg.scene.sensors.bandmeta import BandMeta
from rsseg.scene.source import Band


@dataclass(frozen=True)
class Instrument:
    """Name, and ESUN by solar spectrum and band number."""

    name: str
    esun: Mapping[Solar, Mapping[int, float]]


LISS4 = Instrument(
    "LISS-IV",
    {"thuillier": {2: 181.89, 3: 156.96, 4: 110.48}, "neckel-labs": {2: 185.33, 3: 157.77, 4: 111.36}},
)
LISS3 = Instrument(
    "LISS-III",
    {
        "thuillier": {2: 181.83, 3: 155.92, 4: 108.96, 5: 24.38},
        "neckel-labs": {2: 184.86, 3: 156.902, 4: 110.423, 5: 24.33},
    },
)


def calibrated(
    bands: tuple[Band, ...], meta: BandMeta, instrument: Instrument, calibration: Calibration
) -> tuple[Band, ...]:
    """The bands with scale and offset to reflectance (unitless) or radiance (W m-2 sr-1 um-1), and their constants.

    Raises: InputError for a key that is missing or makes no sense; UsageError for a choice the product does not have.
    """
    _warn_of_contradictions(bands, meta, calibration)
    dn_max = dn_max_of(meta, calibration)
    ranges = [(meta.number(f"{band.code}_Lmin"), _top_radiance(meta, band, calibration)) for band in bands]
    maps = [radiance_of_dn(lmin, lmax, dn_max) for lmin, lmax in ranges]
    constants = [[("lmin", f"{lmin:.10g}"), ("lmax", f"{lmax:.10g}")] for lmin, lmax in ranges]
    if calibration.quantity == "radiance":
        maps = [item.scaled(MW_CM2_TO_W_M2) for item in maps]
    else:
        distance, elevation = earth_sun_distance(meta.time("SceneCenterTime")), sun_elevation(meta)
        for i, esun in enumerate(_esun(bands, instrument, calibration)):
            maps[i] = maps[i].scaled(reflectance_of_radiance(esun, distance, elevation))
            constants[i].append(("esun", f"{esun:.10g}"))
    _warn_of_units(bands, maps, dn_max, calibration)
    return tuple(_with(b, m, tuple(c)) for b, m, c in zip(bands, maps, constants, strict=True))


def _with(band: Band, affine: Affine, constants: tuple[tuple[str, str], ...]) -> Band:
    return replace(band, scale=affine.gain, offset=affine.offset, constants=constants)


def dn_max_of(meta: BandMeta, calibration: Calibration) -> float:
    """The digital number of Lmax: 2^BitsPerPixel - 1, or what was asked for."""
    if calibration.dn_max is not None:
        return calibration.dn_max
    bits = meta.number("BitsPerPixel")
    if bits != int(bits) or not 1 <= bits <= 16:
        raise InputError(f"{meta.source} says BitsPerPixel= {bits:g}; 7 or 10 is usual, or give --dn-max")
    return 2.0 ** int(bits) - 1


def _top_radiance(meta: BandMeta, band: Band, calibration: Calibration) -> float:
    """Radiance at DNmax, and above Lmin."""
    key = f"{band.code}_Lmax" if calibration.radiance_from == "lmax" else f"{band.code}SaturationRadiance"
    if calibration.radiance_from == "saturation" and meta.get(key) is None:
        raise UsageError(f"{meta.source} has no {key}, as newer products have none; use --radiance-from lmax")
    value = meta.number(key)
    if value <= meta.number(f"{band.code}_Lmin"):
        raise InputError(f"{meta.source} says {key}= {value:g}, which is not above {band.code}_Lmin")
    return value


def sun_elevation(meta: BandMeta) -> float:
    """Sun elevation at the scene centre in degrees.

    Raises: InputError if the sun is not above the horizon.
    """
    elevation = meta.number("SunElevationAtCenter")
    if not 0 < elevation <= 90:
        raise InputError(
            f"{meta.source} says SunElevationAtCenter= {elevation:g}; reflectance needs a sun above the horizon"
        )
    return elevation


def _esun(bands: tuple[Band, ...], instrument: Instrument, calibration: Calibration) -> list[float]:
    table = [instrument.esun[calibration.solar][int(band.code[1:])] for band in bands]
    if calibration.esun is None:
        return table
    if len(calibration.esun) != len(bands):
        names = ", ".join(band.name for band in bands)
        raise UsageError(f"--esun has {len(calibration.esun)} values, one is wanted for each of {names}")
    for own, usual, band in zip(calibration.esun, table, bands, strict=True):
        if not usual / 3 < own < usual * 3:
            raise UsageError(
                f"--esun {own:g} for {band.name} is far from {usual:g} mW cm-2 um-1; values in W m-2 um-1 are ten "
                "times as large, divide them by 10"
            )
    return list(calibration.esun)


def _warn_of_contradictions(bands: tuple[Band, ...], meta: BandMeta, calibration: Calibration) -> None:
    differing = []
    for band in bands:
        lmax, saturation = meta.get(f"{band.code}_Lmax"), meta.get(f"{band.code}SaturationRadiance")
        if lmax and saturation and meta.number(f"{band.code}_Lmax") != meta.number(f"{band.code}SaturationRadiance"):
            differing.append(f"{band.name} {float(lmax):g} or {float(saturation):g}")
    if differing:
        used = "Lmax" if calibration.radiance_from == "lmax" else "saturation radiance"
        warnings.warn(
            f"{meta.source} gives Lmax and another saturation radiance ({', '.join(differing)}); {used} is used, "
            "--radiance-from chooses",
            CalibrationWarning,
            stacklevel=5,
        )
    if (meta.get("SatID") or "").upper() in ("IRS-P6", "IRS-R1", "P6") and calibration.esun is None:
        warnings.warn(
            f"{meta.source} is of Resourcesat-1, for which the ESUN of Resourcesat-2 are used; --esun gives others",
            CalibrationWarning,
            stacklevel=5,
        )


def _warn_of_units(bands: tuple[Band, ...], maps: Sequence[Affine], dn_max: float, calibration: Calibration) -> None:
    """Lmax in W m-2 would give reflectances ten times too large, and the file names no unit."""
    for band, affine in zip(bands, maps, strict=True):
        top = affine.gain * dn_max + affine.offset
        if calibration.quantity == "reflectance" and top > 5:
            warnings.warn(
                f"the largest DN of {band.name} is a reflectance of {top:.1f}: the sun is very low, or Lmax is not in "
                "mW cm-2 sr-1 um-1",
                CalibrationWarning,
                stacklevel=5,
            )
