"""From digital numbers to radiance and top-of-atmosphere reflectance, as affine maps a band.

L = Lmin + (Lmax - Lmin) DN / DNmax and rho = pi L d^2 / (ESUN sin(sun elevation)). Lmax and ESUN must be in one system:
here mW cm-2 sr-1 um-1 and mW cm-2 um-1, as Resourcesat products and NRSC's tables give them.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rsseg.errors import UsageError

Quantity = Literal["reflectance", "radiance"]
RadianceFrom = Literal["lmax", "saturation"]
Solar = Literal["thuillier", "neckel-labs"]

MW_CM2_TO_W_M2 = 10.0
"""1 mW cm-2 is 10 W m-2."""


@dataclass(frozen=True)
class Calibration:
    """The choices among the calibrations that suppliers and users disagree on.

    Attributes:
        quantity: top-of-atmosphere reflectance, or radiance in W m-2 sr-1 um-1.
        radiance_from: radiance at ``dn_max`` is Lmax, or the saturation radiance that older products also carry.
        solar: the spectrum behind the built-in ESUN values.
        esun: own ESUN values in mW cm-2 um-1, one a band in the order of the bands in use.
        dn_max: the digital number of Lmax; None is 2^bits - 1 from the product.
    """

    quantity: Quantity = "reflectance"
    radiance_from: RadianceFrom = "lmax"
    solar: Solar = "thuillier"
    esun: tuple[float, ...] | None = None
    dn_max: float | None = None

    def __post_init__(self) -> None:
        if self.dn_max is not None and not (math.isfinite(self.dn_max) and self.dn_max > 0):
            raise UsageError(f"--dn-max {self.dn_max} must be a positive number, such as 1023")
        for value in self.esun or ():
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"--esun {value} must be a positive number in mW cm-2 um-1, such as 181.89")


@dataclass(frozen=True)
class Affine:
    """value = gain * DN + offset."""

    gain: float
    offset: float

    def scaled(self, factor: float) -> "Affine":
        """The map with both numbers multiplied."""
        return Affine(self.gain * factor, self.offset * factor)


def radiance_of_dn(lmin: float, lmax: float, dn_max: float) -> Affine:
    """Radiance from DN, in the unit of ``lmin`` and ``lmax``."""
    return Affine((lmax - lmin) / dn_max, lmin)


def reflectance_of_radiance(esun: float, distance: float, sun_elevation: float) -> float:
    """The factor pi d^2 / (ESUN sin(elevation)); distance in astronomical units, elevation in degrees."""
    return math.pi * distance**2 / (esun * math.sin(math.radians(sun_elevation)))


def earth_sun_distance(time: datetime) -> float:
    """Earth-Sun distance in astronomical units at a UTC time, by the Astronomical Almanac's short series."""
    days = (time.replace(tzinfo=None) - datetime(2000, 1, 1, 12)).total_seconds() / 86400
    g = math.radians(357.529 + 0.98560028 * days)
    return 1.00014 - 0.01671 * math.cos(g) - 0.00014 * math.cos(2 * g)
