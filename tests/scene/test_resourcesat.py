"""Resourcesat products: where the files lie, what breaks parsers, and the calibration through the real file path."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import (
    LISS3_META,
    LISS4_META,
    LISS4_META_PLAIN,
    LISS4_TRANSFORM,
    make_liss3,
    make_liss4,
    some_numbers,
    with_keys,
    write_band,
    zipped,
)
from rasterio.crs import CRS

from rsseg.errors import CalibrationWarning, InputError, UsageError
from rsseg.scene.grid import Window
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene
from rsseg.scene.sensors.bandmeta import BandMeta, parse_time

GOLDEN = {100: (0.09398, 0.09843, 0.09373), 500: (0.46990, 0.49217, 0.46863), 1023: (0.96141, 1.00698, 0.95883)}


def reflectances(path: Path, dn: float, calibration: Calibration = Calibration()) -> list[float]:  # noqa: B008
    scene = open_scene(path, calibration=calibration)
    return [band.scale * dn + band.offset for band in scene.bands]


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return make_liss4(tmp_path / "BH_202601121")


# -- the calibration


def test_golden_reflectances(product: Path) -> None:
    for dn, expected in GOLDEN.items():
        assert reflectances(product, dn) == pytest.approx(expected, abs=1e-5)


def test_liss3_uses_its_own_solar_irradiances(tmp_path: Path) -> None:
    scene = open_scene(make_liss3(tmp_path / "p"))
    assert scene.band_names == ("green", "red", "nir", "swir1")
    assert scene.tags["sensor"] == "LISS-III"
    assert [dict(band.constants)["esun"] for band in scene.bands] == ["181.83", "155.92", "108.96", "24.38"]
    assert [dict(band.constants)["lmax"] for band in scene.bands] == ["52", "47", "31.5", "7.5"]


def test_the_sensor_key_decides_not_the_file_names(tmp_path: Path) -> None:
    three_bands = with_keys(LISS3_META, BandNumbers="234", NoOfBands="3")
    scene = open_scene(make_liss4(tmp_path / "p", meta=three_bands))
    assert scene.tags["sensor"] == "LISS-III"


def test_contradicting_radiances_are_warned_of_and_the_choice_is_recorded(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=LISS4_META)
    with pytest.warns(CalibrationWarning, match=r"green 52 or 47\.5614, red 47 or 45\.699\)") as caught:
        scene = open_scene(product)
    assert len(caught) == 1
    assert scene.tags["radiance_from"] == "lmax"
    with pytest.warns(CalibrationWarning, match="saturation radiance is used"):
        saturation = open_scene(product, calibration=Calibration(radiance_from="saturation"))
    ratios = [a.scale / b.scale for a, b in zip(saturation.bands, scene.bands, strict=True)]
    assert ratios == pytest.approx([47.5614 / 52, 45.699 / 47, 1])
    assert saturation.tags["radiance_from"] == "saturation"


def test_newer_products_without_saturation_radiance_say_so_when_asked(product: Path) -> None:
    with pytest.raises(UsageError, match=r"B2SaturationRadiance.*--radiance-from lmax"):
        open_scene(product, calibration=Calibration(radiance_from="saturation"))


def test_the_choices_change_what_they_should(product: Path) -> None:
    usual = reflectances(product, 500)
    neckel = reflectances(product, 500, Calibration(solar="neckel-labs"))
    assert neckel == pytest.approx(np.multiply(usual, np.divide([181.89, 156.96, 110.48], [185.33, 157.77, 111.36])))
    charter = reflectances(product, 500, Calibration(dn_max=1024))
    assert charter == pytest.approx(np.multiply(usual, 1023 / 1024))
    own = reflectances(product, 500, Calibration(esun=(180.0, 150.0, 110.0)))
    assert own == pytest.approx(np.multiply(usual, np.divide([181.89, 156.96, 110.48], [180, 150, 110])))


def test_radiance_is_in_watts(product: Path) -> None:
    scene = open_scene(product, calibration=Calibration(quantity="radiance"))
    assert scene.units == "radiance"
    assert [band.scale * 1023 + band.offset for band in scene.bands] == pytest.approx([520, 470, 315])


def test_lmin_is_not_assumed_to_be_zero(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, B2_Lmin="-1.5"))
    scene = open_scene(product, calibration=Calibration(quantity="radiance"))
    green = scene.bands[0]
    assert (green.offset, green.scale * 1023 + green.offset) == (pytest.approx(-15), pytest.approx(520))


def test_own_irradiances_follow_the_bands_in_use(product: Path) -> None:
    scene = open_scene(product, bands=["nir", "green"], calibration=Calibration(esun=(110.48, 181.89)))
    assert [band.scale * 100 for band in scene.bands] == pytest.approx([0.09373, 0.09398], abs=5e-6)
    with pytest.raises(UsageError, match="2 values, one is wanted for each of green, red, nir"):
        open_scene(product, calibration=Calibration(esun=(110.48, 181.89)))


def test_irradiances_in_watts_are_refused(product: Path) -> None:
    with pytest.raises(UsageError, match="divide them by 10"):
        open_scene(product, calibration=Calibration(esun=(1818.9, 1569.6, 1104.8)))


def test_radiances_in_watts_are_warned_of(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, B2_Lmax="520"))
    with pytest.warns(CalibrationWarning, match="largest DN of green is a reflectance of 9.6"):
        open_scene(product)


def test_bits_come_from_the_key(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, BitsPerPixel="7", BytesPerPixel="1"))
    assert reflectances(product, 127) == pytest.approx(GOLDEN[1023], abs=1e-5)
    assert open_scene(product).tags["dn_max"] == "127"


def test_resourcesat_1_has_no_irradiances_of_its_own(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, SatID="IRS-P6"))
    with pytest.warns(CalibrationWarning, match="Resourcesat-1"):
        open_scene(product)


NEEDED = ["Sensor", "BandNumbers", "BitsPerPixel", "SceneCenterTime", "SunElevationAtCenter", "B3_Lmin", "B3_Lmax"]


@pytest.mark.parametrize("value", [None, "", "-NA-"])
@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named_never_replaced(tmp_path: Path, key: str, value: str | None) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, **{key: value}))
    with pytest.raises(InputError, match=rf"BAND_META\.txt.* {key}\b"):
        open_scene(product)


WRONG = {
    "B2_Lmax": ["high", "nan", "0"],
    "SunElevationAtCenter": ["-3", "0", "97", "1e400"],
    "SceneCenterTime": ["02-OKT-2018 02:28:28", "2018", "31-FEB-2018 00:00:00"],
    "BitsPerPixel": ["0", "10.5", "64"],
    "BandNumbers": ["235", "22", "none"],
    "Sensor": ["AWIF", "PAN"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_senseless_value_is_named(tmp_path: Path, key: str, value: str) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, **{key: value}))
    with pytest.raises(InputError, match=key):
        open_scene(product)


def test_radiance_needs_no_sun(tmp_path: Path) -> None:
    meta = with_keys(LISS4_META_PLAIN, SunElevationAtCenter=None, SceneCenterTime=None)
    scene = open_scene(make_liss4(tmp_path / "p", meta=meta), calibration=Calibration(quantity="radiance"))
    assert "time" not in scene.tags


# -- the metadata file


def test_the_parser_meets_what_breaks_parsers() -> None:
    text = (
        "ViewAngle = 0.049276 \nDEMCorrection=YES\nShift%= 0\nSegmentNumber= \nStripNumber= -NA-\nNote= a = b\n\njunk\n"
    )
    meta = BandMeta.parse(text, "file")
    assert meta.number("ViewAngle") == 0.049276
    assert (meta.get("DEMCorrection"), meta.get("Shift%"), meta.get("Note")) == ("YES", "0", "a = b")
    assert meta.get("SegmentNumber") is None and meta.get("StripNumber") is None and meta.get("junk") is None


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_both_spellings_of_the_azimuth_are_one_key(tmp_path: Path, ending: str) -> None:
    old = BandMeta.parse(LISS4_META.replace("\n", ending), "file")
    new = BandMeta.parse(LISS3_META.replace("\n", ending), "file")
    assert (old.number("SunAzimuthAtCenter"), new.number("SunAzimuthAtCenter")) == (97.79845, 59.889207)
    assert old.number("SunAziumthAtCenter") == 97.79845


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("02-OCT-2018", datetime(2018, 10, 2)),
        ("02-OCT-2018 02:28:28.043361", datetime(2018, 10, 2, 2, 28, 28, 43361)),
        ("30-SEP-2019 14:01:47.444000052", datetime(2019, 9, 30, 14, 1, 47, 444000)),
        ("1-jan-2020 00:00:05", datetime(2020, 1, 1, 0, 0, 5)),
        ("31-DEC-2016 23:59:60.5", datetime(2017, 1, 1, 0, 0, 0, 500000)),
        ("02-OCT-2018 02:28:28.04", datetime(2018, 10, 2, 2, 28, 28, 40000)),
    ],
)
def test_times_of_every_length(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


def test_odd_bytes_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p")
    text = (product / "BAND_META.txt").read_bytes()
    (product / "BAND_META.txt").write_bytes(b"\xef\xbb\xbf" + text + b"Remark= \xb0\xff\n")
    assert open_scene(product).tags["satellite"] == "IRS-R2"


def test_transform_and_crs_come_from_the_geotiff(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, ProdULMapX="1", ZoneNo="7", ProdULMapY="2"))
    grid = open_scene(product).grid
    assert grid.transform == tuple(LISS4_TRANSFORM)[:6]
    # a southern scene with a negative northing keeps it
    assert grid.bounds[3] == -50110
    assert CRS.from_wkt(grid.crs) == CRS.from_epsg(32650)


# -- the files


@pytest.mark.parametrize("inside", ["", "BH_202601121", "202601121/202601121", "a/b/c/d"])
def test_a_zip_is_read_in_place_at_any_depth(tmp_path: Path, product: Path, inside: str) -> None:
    archive = zipped(product, tmp_path / "scene with spaces.ZIP", inside)
    before = sorted(tmp_path.iterdir())
    scene = open_scene(archive)
    assert scene.name == "202601121"
    with scene.open() as packed, open_scene(product).open() as plain:
        window = Window(3, 5, 40, 50)
        for a, b in zip(packed.read(window), plain.read(window), strict=True):
            np.testing.assert_array_equal(a, b)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("inside", ["x", "x/y"])
def test_a_folder_is_searched_recursively(tmp_path: Path, inside: str) -> None:
    make_liss4(tmp_path / "top" / inside, meta_name="band_meta.TXT")
    assert open_scene(tmp_path / "top").grid.shape == (64, 80)


def test_the_metadata_file_itself_names_the_product(product: Path) -> None:
    assert open_scene(product / "BAND_META.txt").band_names == ("green", "red", "nir")


def test_band_files_are_found_in_any_case(product: Path) -> None:
    (product / "BAND3.tif").rename(product / "band3.TIF")
    assert open_scene(product).bands[1].path.endswith("band3.TIF")


def test_attribute_copies_of_macos_are_no_second_product(tmp_path: Path, product: Path) -> None:
    (product / "__MACOSX").mkdir()
    (product / "__MACOSX" / "BAND_META.txt").write_text("junk")
    (product / "._BAND_META.txt").write_text("junk")
    assert open_scene(zipped(product, tmp_path / "a.zip", "p")).name == "202601121"


def test_several_products_are_listed(tmp_path: Path) -> None:
    make_liss4(tmp_path / "top" / "a")
    make_liss4(tmp_path / "top" / "b")
    with pytest.raises(InputError, match=r"holds 2 products .*a/BAND_META\.txt"):
        open_scene(tmp_path / "top")


@pytest.mark.parametrize(
    ("meta", "files"),
    [(with_keys(LISS4_META_PLAIN, ProdCode="STPC00GOD"), "BAND{}.tif"), (LISS4_META_PLAIN, "BAND{}_RPC.tif")],
)
def test_the_ortho_kit_is_refused_by_name(tmp_path: Path, meta: str, files: str) -> None:
    product = make_liss4(tmp_path / "p", meta=meta)
    for number in (2, 3, 4):
        (product / f"BAND{number}.tif").rename(product / files.format(number))
    with pytest.raises(InputError, match="ortho-kit"):
        open_scene(product)
    if "RPC" in files:
        with pytest.raises(InputError, match="ortho-kit"):
            open_scene(product / files.format(2))


def test_a_missing_band_file_is_named(product: Path) -> None:
    (product / "BAND3.tif").unlink()
    with pytest.raises(InputError, match=r"has no BAND3\.tif"):
        open_scene(product)


def test_a_folder_or_archive_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"neither BAND_META\.txt"):
        open_scene(tmp_path / "empty")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 not all of it")
    with pytest.raises(InputError, match=r"broken\.zip.*damaged"):
        open_scene(tmp_path / "broken.zip")


@pytest.mark.parametrize(
    "change",
    [
        lambda v: (v[:-1], {}),
        lambda v: (v, {"transform": LISS4_TRANSFORM @ rasterio.Affine.translation(1, 0)}),
        lambda v: (v, {"crs": CRS.from_epsg(32651)}),
    ],
    ids=["size", "place", "crs"],
)
def test_bands_on_different_grids_are_refused(product: Path, change: Callable[[np.ndarray], tuple]) -> None:
    values, options = change(some_numbers((64, 80))[0])
    write_band(product / "BAND4.tif", values, **options)
    with pytest.raises(InputError, match=r"BAND2\.tif .* and BAND4\.tif .* lie on different grids"):
        open_scene(product)


def test_scale_is_not_for_products(product: Path) -> None:
    with pytest.raises(UsageError, match="its own calibration"):
        open_scene(product, scale=[1e-4])


# -- pixels


def dn_with_zeros() -> np.ndarray:
    numbers = some_numbers((20, 30), fill=False)
    numbers[:, :5] = 0
    numbers[2, 10, 10] = 0  # dark water in the near infrared, inside the scene
    return numbers


def test_only_pixels_with_all_bands_zero_are_fill(tmp_path: Path) -> None:
    numbers = dn_with_zeros()
    with open_scene(make_liss4(tmp_path / "p", numbers=numbers)).open() as reader:
        values, valid = reader.read(reader.scene.grid.window)
    np.testing.assert_array_equal(values, numbers)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(valid, (numbers != 0).any(axis=0))


@pytest.mark.parametrize("bands", [["nir"], ["nir", "green"], ["3"], ["B4", "B2"]])
def test_choosing_bands_does_not_change_which_pixels_are_valid(tmp_path: Path, bands: list[str]) -> None:
    numbers = dn_with_zeros()
    with open_scene(make_liss4(tmp_path / "p", numbers=numbers), bands=bands).open() as reader:
        values, valid = reader.read(reader.scene.grid.window)
    np.testing.assert_array_equal(values[0], numbers[2])
    np.testing.assert_array_equal(valid, (numbers != 0).any(axis=0))


def test_any_band_zero_is_fill_on_request(tmp_path: Path) -> None:
    numbers = dn_with_zeros()
    with open_scene(make_liss4(tmp_path / "p", numbers=numbers), fill="any").open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    assert not valid[10, 10]
    np.testing.assert_array_equal(valid, (numbers != 0).all(axis=0))


def test_a_decimated_read_takes_pixels_as_they_are(product: Path) -> None:
    with open_scene(product).open() as reader:
        values, valid = reader.read(reader.scene.grid.window, (16, 20))
        full, _ = reader.read(reader.scene.grid.window)
    assert values.shape == (3, 16, 20) and valid.shape == (16, 20)
    assert np.isin(values, full).all()


def test_a_truncated_band_is_named_when_it_is_read(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", shape=(200, 200))
    path = product / "BAND3.tif"
    path.write_bytes(path.read_bytes()[:-30000])
    with (
        open_scene(product).open() as reader,
        pytest.raises(InputError, match=r"BAND3\.tif: it is truncated or damaged"),
    ):
        reader.read(reader.scene.grid.window)
