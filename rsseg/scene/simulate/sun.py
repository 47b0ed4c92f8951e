"""Where the sun stands, by the Astronomical Almanac's low-precision series (0.01 degrees, 1950 to 2050)."""

from datetime import UTC, datetime
from math import asin, atan2, cos, degrees, radians, sin, tan

J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


def days(time: datetime) -> float:
    """Days from J2000 to a time in UTC."""
    return (time - J2000).total_seconds() / 86400


def position(time: datetime, latitude: float, longitude: float) -> tuple[float, float]:
    """Elevation and azimuth (clockwise from north) of the sun in degrees, without refraction."""
    n = days(time)
    anomaly = radians(357.528 + 0.9856003 * n)
    ecliptic = radians(280.460 + 0.9856474 * n + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    tilt = radians(23.439 - 4e-7 * n)
    ascension = atan2(cos(tilt) * sin(ecliptic), cos(ecliptic))
    declination = asin(sin(tilt) * sin(ecliptic))
    sidereal = radians(15 * (18.697374558 + 24.06570982441908 * n) + longitude)
    hour, phi = sidereal - ascension, radians(latitude)
    elevation = asin(sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(hour))
    azimuth = atan2(-sin(hour), tan(declination) * cos(phi) - sin(phi) * cos(hour))
    return degrees(elevation), degrees(azimuth) % 360
