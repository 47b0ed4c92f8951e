"""The formula, its golden values, and every fault that public code was seen to have."""

import math
from datetime import datetime

import numpy as np
import pytest

from rsseg.errors import UsageError
from rsseg.scene.encoding import ENCODINGS, Converter
from rsseg.scene.radiometry import Calibration, earth_sun_distance, radiance_of_dn, reflectance_of_radiance
from rsseg.scene.source import Band

TIME = datetime(2018, 10, 2, 2, 28, 28, 43361)
ELEVATION = 69.402093
LMAX = {"green": 52.0, "red": 47.0, "nir": 31.5}
ESUN = {"green": 181.89, "red": 156.96, "nir": 110.48}
GOLDEN = {100: (0.09398, 0.09843, 0.09373), 500: (0.46990, 0.49217, 0.46863), 1023: (0.96141, 1.00698, 0.95883)}


def reflectance(dn: float, band: str) -> float:
    radiance = radiance_of_dn(0.0, LMAX[band], 1023)
    factor = reflectance_of_radiance(ESUN[band], earth_sun_distance(TIME), ELEVATION)
    return (radiance.gain * dn + radiance.offset) * factor


def test_golden_reflectances() -> None:
    for dn, expected in GOLDEN.items():
        assert [reflectance(dn, band) for band in LMAX] == pytest.approx(expected, abs=1e-5)


FAULTS = {
    "ESUN in W with Lmax in mW": lambda rho: rho / 10,
    "DNmax 65535": lambda rho: rho * 1023 / 65535,
    "DNmax 1024": lambda rho: rho * 1023 / 1024,
    "divided by d squared": lambda rho: rho / earth_sun_distance(TIME) ** 4,
    "distance left out": lambda rho: rho / earth_sun_distance(TIME) ** 2,
    "days counted as radians": lambda rho: rho / earth_sun_distance(TIME) ** 2 * 0.983**2,
    "times cos of the elevation": lambda rho: (
        rho * math.sin(math.radians(ELEVATION)) / math.cos(math.radians(ELEVATION))
    ),
    "sun left out": lambda rho: rho * math.sin(math.radians(ELEVATION)),
    "DN x 0.0001": lambda rho: 1023e-4,
    "saturation radiance": lambda rho: rho * 47.5614 / 52,
    "the other solar spectrum": lambda rho: rho * 181.89 / 185.33,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_golden_values_would_catch_the_faults_of_public_code(fault: str) -> None:
    assert abs(FAULTS[fault](reflectance(1023, "green")) - GOLDEN[1023][0]) > 5e-5


def test_distance_is_the_almanacs() -> None:
    assert earth_sun_distance(TIME) == pytest.approx(1.001004, abs=5e-7)
    # Landsat's own distances differ from the short series by up to 6e-5
    assert earth_sun_distance(datetime(2014, 10, 22, 4, 37, 48)) == pytest.approx(0.9953272, abs=6e-5)
    assert earth_sun_distance(datetime(2016, 6, 25, 18, 55, 50)) == pytest.approx(1.0165183, abs=6e-5)


def test_distance_has_its_sign_and_season_right() -> None:
    days = [earth_sun_distance(datetime(2023, month, 4)) for month in (1, 4, 7, 10)]
    assert days[0] == pytest.approx(0.9833, abs=1e-4)
    assert days[2] == pytest.approx(1.0167, abs=1e-4)
    assert days[0] < days[1] < days[2] > days[3]


@pytest.mark.parametrize("choice", [{"dn_max": 0}, {"dn_max": float("nan")}, {"esun": (181.89, -1.0)}])
def test_senseless_choices_are_refused(choice: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Calibration(**choice)  # type: ignore[arg-type]


BANDS = (Band("green", "", scale=9.397e-4, offset=-0.02), Band("nir", "", scale=2e-5, offset=-0.12))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
@pytest.mark.parametrize("stored", ["uint16", "float32"])
def test_conversion_equals_the_formula_pixel_by_pixel(dtype: str, stored: str) -> None:
    random = np.random.default_rng(0)
    high = 1000 if dtype == "float32" else min(1000, int(np.iinfo(dtype).max))
    low = 0 if dtype.startswith(("u", "f")) else -100
    values = random.integers(low, high, (2, 7, 9)).astype(dtype)
    valid = random.random((7, 9)) < 0.8
    encoding = ENCODINGS["reflectance", stored]  # type: ignore[index]
    result = Converter(BANDS, np.dtype(dtype), encoding)(values, valid)
    assert result.dtype == stored
    for b, r, c in np.ndindex(values.shape):
        got = float(result[b, r, c])
        if not valid[r, c]:
            assert math.isnan(got) if stored == "float32" else got == 65535
            continue
        expected = float(values[b, r, c]) * BANDS[b].scale + BANDS[b].offset
        error = abs(got * encoding.scale + encoding.offset - max(expected, encoding.limits[0]))
        assert error <= (encoding.scale / 2 + 1e-12 if stored == "uint16" else 1e-7)


def test_uint16_reflectance_keeps_zeros_and_negatives_and_never_meets_nodata() -> None:
    encoding = ENCODINGS["reflectance", "uint16"]
    stored = encoding.store(np.array([-5.0, -0.1, -0.05, 0.0, 1.2, 6.4534, 60.0]))
    assert stored.tolist() == [0, 0, 500, 1000, 13000, 65534, 65534]


def test_clipping_is_explicit() -> None:
    band = (Band("green", "", scale=0.01, offset=-0.05),)
    values, valid = np.array([[[0, 50, 200]]], np.uint16), np.ones((1, 3), bool)
    encoding = ENCODINGS["reflectance", "float32"]
    np.testing.assert_allclose(Converter(band, values.dtype, encoding)(values, valid)[0, 0], [-0.05, 0.45, 1.95])
    clipped = Converter(band, values.dtype, encoding, clip=True)(values, valid)
    np.testing.assert_allclose(clipped[0, 0], [0, 0.45, 1])
