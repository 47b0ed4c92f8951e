"""rsseg toa through real files: golden values, the reflectance raster's contract, refusals that leave nothing."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import (
    LISS4_META,
    LISS4_META_PLAIN,
    landsat_mtl,
    make_landsat,
    make_liss3,
    make_liss4,
    real_landsat,
    some_numbers,
    with_keys,
    zipped,
)

from rsseg.errors import CalibrationWarning, InputError, UsageError
from rsseg.pipeline.stages.toa import toa
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene

Run = Callable[..., tuple[int, str, str]]

GOLDEN = {100: (0.09398, 0.09843, 0.09373), 500: (0.46990, 0.49217, 0.46863), 1023: (0.96141, 1.00698, 0.95883)}


def golden_product(folder: Path) -> Path:
    """The golden digital numbers in the first columns, one a column."""
    numbers = some_numbers((20, 24))
    for col, dn in enumerate(GOLDEN):
        numbers[:, 10:, col] = dn
    return make_liss4(folder, numbers=numbers)


def physical(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values (bands, H, W) float64 by the file's own scale and offset, and the mask (H, W)."""
    with rasterio.open(path) as dataset:
        values = dataset.read().astype(np.float64)
        scales, offsets = np.array(dataset.scales), np.array(dataset.offsets)
        return values * scales[:, None, None] + offsets[:, None, None], dataset.dataset_mask() != 0


@pytest.mark.parametrize(("dtype", "tolerance"), [("uint16", 0.5e-4 + 1e-5), ("float32", 1e-5)])
def test_golden_reflectances_through_the_file(tmp_path: Path, rsseg: Run, dtype: str, tolerance: float) -> None:
    product, out = golden_product(tmp_path / "p"), tmp_path / "toa.tif"
    code, _, err = rsseg("toa", product, "-o", out, "--dtype", dtype)
    assert (code, err) == (0, "")
    values, _ = physical(out)
    for col, expected in enumerate(GOLDEN.values()):
        np.testing.assert_allclose(values[:, 15, col], expected, atol=tolerance)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_every_pixel_equals_the_formula_within_half_a_count(tmp_path: Path, dtype: str) -> None:
    product = make_liss4(tmp_path / "p", shape=(530, 70))  # more than one strip
    toa(product, tmp_path / "toa.tif", dtype=dtype)  # type: ignore[arg-type]
    scene = open_scene(product)
    with scene.open() as reader:
        numbers, valid = reader.read(scene.grid.window)
    expected = numbers * scene.scales[:, None, None] + scene.offsets[:, None, None]
    values, mask = physical(tmp_path / "toa.tif")
    np.testing.assert_array_equal(mask, valid)
    assert 0 < valid.mean() < 1
    error = np.abs(values - expected)[:, valid].max()
    assert error <= (0.5e-4 + 1e-12 if dtype == "uint16" else 1e-7)


def test_the_contract_of_the_reflectance_raster(tmp_path: Path, rsseg: Run) -> None:
    product = golden_product(tmp_path / "p")
    assert rsseg("toa", product, "-o", tmp_path / "new" / "toa.tif")[0] == 0
    with rasterio.open(tmp_path / "new" / "toa.tif") as dataset, rasterio.open(product / "BAND2.tif") as source:
        assert dataset.descriptions == ("green", "red", "nir")
        assert dataset.dtypes == ("uint16",) * 3
        assert set(dataset.scales) == {1e-4} and set(dataset.offsets) == {-0.1}
        assert set(dataset.nodatavals) == {65535}
        assert (dataset.transform, dataset.crs) == (source.transform, source.crs)
        assert dataset.block_shapes == [(512, 512)] * 3
        tags = dataset.tags()
    expected = {
        "AREA_OR_POINT": "Area",
        "units": "reflectance",
        "quantity": "top-of-atmosphere reflectance",
        "sensor": "LISS-IV",
        "satellite": "IRS-R2",
        "agency": "NRSC",
        "time": "2018-10-02T02:28:28.043361Z",
        "sun_elevation": "69.402093",
        "sun_azimuth": "97.798450",
        "earth_sun_distance": "1.001004",
        "dn_max": "1023",
        "radiance_from": "lmax",
        "solar": "thuillier",
        "lmax_green": "52",
        "lmin_nir": "0",
        "esun_red": "156.96",
        "scene": "202601121",
    }
    assert expected.items() <= tags.items()
    assert tags["software"].startswith("rsseg ")


def test_what_is_written_is_opened_as_reflectance(tmp_path: Path) -> None:
    toa(golden_product(tmp_path / "p"), tmp_path / "toa.tif")
    scene = open_scene(tmp_path / "toa.tif", bands=["nir"])
    assert (scene.units, scene.tags["sensor"]) == ("reflectance", "LISS-IV")
    with scene.open() as reader:
        values, valid = reader.read(scene.grid.window)
    assert values[0, 15, 1] * scene.bands[0].scale + scene.bands[0].offset == pytest.approx(0.46863, abs=6e-5)
    assert not valid[0, 0] and valid[15, 1]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_radiance_in_watts(tmp_path: Path, rsseg: Run, dtype: str) -> None:
    product, out = golden_product(tmp_path / "p"), tmp_path / "radiance.tif"
    assert rsseg("toa", product, "-o", out, "--quantity", "radiance", "--dtype", dtype)[0] == 0
    values, _ = physical(out)
    np.testing.assert_allclose(values[:, 15, 2], [520, 470, 315], atol=0.011)
    assert open_scene(out).units == "radiance"
    with rasterio.open(out) as dataset:
        assert "solar" not in dataset.tags()


def test_zero_inside_the_scene_is_a_value(tmp_path: Path) -> None:
    numbers = some_numbers((10, 12), fill=False)
    numbers[2, 5, 5] = 0
    numbers[:, 6, 6] = 0
    toa(make_liss4(tmp_path / "p", numbers=numbers), tmp_path / "all.tif")
    values, mask = physical(tmp_path / "all.tif")
    assert mask[5, 5] and values[2, 5, 5] == pytest.approx(0, abs=1e-12)
    assert not mask[6, 6] and mask.sum() == mask.size - 1
    toa(tmp_path / "p", tmp_path / "any.tif", fill="any")
    assert not physical(tmp_path / "any.tif")[1][5, 5]


def test_reflectance_above_one_is_kept_unless_clipping_is_asked(tmp_path: Path, rsseg: Run) -> None:
    product = golden_product(tmp_path / "p")
    rsseg("toa", product, "-o", tmp_path / "a.tif")
    rsseg("toa", product, "-o", tmp_path / "b.tif", "--clip")
    assert physical(tmp_path / "a.tif")[0][1, 15, 2] == pytest.approx(1.00698, abs=6e-5)
    assert physical(tmp_path / "b.tif")[0][1, 15, 2] == pytest.approx(1)


def test_bounds_cut_out_whole_pixels(tmp_path: Path, rsseg: Run) -> None:
    product = golden_product(tmp_path / "p")
    grid = open_scene(product).grid
    (left, top), (right, bottom) = grid.xy(10, 2), grid.xy(18, 13)
    toa(product, tmp_path / "whole.tif")
    code, _, err = rsseg("toa", product, "-o", tmp_path / "cut.tif", "--bounds", left, bottom, right, top)
    assert code == 0, err
    np.testing.assert_array_equal(
        physical(tmp_path / "cut.tif")[0], physical(tmp_path / "whole.tif")[0][:, 10:18, 2:13]
    )
    with rasterio.open(tmp_path / "cut.tif") as dataset:
        assert dataset.bounds == pytest.approx((left, bottom, right, top))
    code, _, err = rsseg("toa", product, "-o", tmp_path / "none.tif", "--bounds", 0, 0, 1, 1)
    assert code == 2 and "do not touch" in err


def test_bands_are_chosen_and_ordered(tmp_path: Path, rsseg: Run) -> None:
    product = golden_product(tmp_path / "p")
    rsseg("toa", product, "-o", tmp_path / "a.tif", "--bands", "nir,green")
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.descriptions == ("nir", "green")
        assert "lmax_red" not in dataset.tags()
    np.testing.assert_allclose(physical(tmp_path / "a.tif")[0][:, 15, 1], [0.46863, 0.46990], atol=6e-5)


def test_a_zip_gives_the_bytes_of_its_folder(tmp_path: Path) -> None:
    product = golden_product(tmp_path / "p")
    toa(product, tmp_path / "a.tif")
    toa(zipped(product, tmp_path / "p.zip", "x/y"), tmp_path / "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "none"])
def test_cog_holds_the_same_values(tmp_path: Path, rsseg: Run, compress: str) -> None:
    product = make_liss4(tmp_path / "p", shape=(600, 700))
    toa(product, tmp_path / "plain.tif")
    code, _, err = rsseg("toa", product, "-o", tmp_path / "cog.tif", "--cog", "--compress", compress)
    assert code == 0, err
    with rasterio.open(tmp_path / "cog.tif") as cog, rasterio.open(tmp_path / "plain.tif") as plain:
        # GDAL marks the layout of compressed files only
        assert compress == "none" or cog.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert cog.overviews(1) == [2]
        np.testing.assert_array_equal(cog.read(), plain.read())
        assert (cog.scales, cog.offsets, cog.nodata) == (plain.scales, plain.offsets, plain.nodata)
        assert cog.descriptions == plain.descriptions and cog.tags() == plain.tags()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cog.tif", "p", "plain.tif"]


def test_choices_are_recorded(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p", meta=LISS4_META)
    words = ("--radiance-from", "saturation", "--esun", "181,157,110", "--dn-max", "1024", "--json")
    code, out, err = rsseg("toa", product, "-o", tmp_path / "a.tif", *words)
    assert code == 0 and "warning" in err and "--radiance-from" in err
    with rasterio.open(tmp_path / "a.tif") as dataset:
        tags = dataset.tags()
    wanted = {
        "radiance_from": "saturation",
        "solar": "own",
        "esun_red": "157",
        "dn_max": "1024",
        "lmax_green": "47.5614",
    }
    assert wanted.items() <= tags.items()
    answer = json.loads(out)
    assert answer["units"] == "reflectance" and answer["valid_share"] == pytest.approx(15 / 16)


def test_liss3_has_four_bands(tmp_path: Path) -> None:
    toa(make_liss3(tmp_path / "p"), tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.descriptions == ("green", "red", "nir", "swir1")


def test_seven_bit_products_of_bytes(tmp_path: Path) -> None:
    numbers = (some_numbers((20, 30)) // 9).astype(np.uint8)
    numbers[:, 10, 10] = 127
    meta = with_keys(LISS4_META_PLAIN, BitsPerPixel="7", BytesPerPixel="1")
    toa(make_liss4(tmp_path / "p", numbers=numbers, meta=meta), tmp_path / "a.tif")
    np.testing.assert_allclose(physical(tmp_path / "a.tif")[0][:, 10, 10], GOLDEN[1023], atol=6e-5)


def test_a_portal_name_ending_in_l2_is_still_digital_numbers(tmp_path: Path) -> None:
    toa(golden_product(tmp_path / "R2F02OCT2018038674014300076SSANSTUC00GTDA_L2"), tmp_path / "a.tif")
    assert physical(tmp_path / "a.tif")[0][0, 15, 1] == pytest.approx(0.46990, abs=6e-5)


# -- Landsat


def test_landsat_8_as_mapbox_computed_it(data: Path, tmp_path: Path) -> None:
    toa(real_landsat(data, tmp_path / "p", "LC81390452014295LGN00"), tmp_path / "a.tif", dtype="float32")
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.descriptions == ("nir",)
        values = dataset.read(1)
    with rasterio.open(data / "toa_landsat8" / "LC81390452014295_B5_TOA_expected.tif") as dataset:
        expected = dataset.read(1)
    valid = expected != 0
    np.testing.assert_array_equal(np.isfinite(values), valid)
    np.testing.assert_allclose(values[valid], expected[valid], rtol=0, atol=1e-6)


def test_landsat_8_of_three_bands_to_half_a_count(data: Path, tmp_path: Path) -> None:
    toa(real_landsat(data, tmp_path / "p", "LC80460282016177LGN00"), tmp_path / "a.tif")
    values, mask = physical(tmp_path / "a.tif")
    sine = math.sin(math.radians(62.58246948))
    for band, number in enumerate((2, 3, 4)):
        with rasterio.open(data / "toa_landsat8" / f"tiny_LC80460282016177LGN00_B{number}.TIF") as dataset:
            expected = (dataset.read(1) * 2e-5 - 0.1) / sine
        assert np.abs(values[band] - expected)[mask].max() <= 0.5e-4 + 1e-12


def test_surface_reflectance_never_goes_through_toa(tmp_path: Path, rsseg: Run) -> None:
    product = make_landsat(tmp_path / "p", mtl=landsat_mtl(level="L2SP"))
    code, _, err = rsseg("toa", product, "-o", tmp_path / "a.tif")
    assert code == 2 and "surface reflectance (Level 2) already" in err
    assert not (tmp_path / "a.tif").exists()


# -- refusals


def test_a_raster_that_is_reflectance_already_is_refused(tmp_path: Path, rsseg: Run) -> None:
    toa(golden_product(tmp_path / "p"), tmp_path / "a.tif")
    code, _, err = rsseg("toa", tmp_path / "a.tif", "-o", tmp_path / "b.tif")
    assert code == 2 and "reflectance already" in err


def test_a_bare_raster_is_refused_with_the_way_out(tmp_path: Path, rsseg: Run) -> None:
    product = golden_product(tmp_path / "p")
    code, _, err = rsseg("toa", product / "BAND2.tif", "-o", tmp_path / "b.tif")
    assert code == 2 and "BAND_META.txt" in err and "--scale" in err


def test_an_existing_output_is_kept_without_overwrite(tmp_path: Path, rsseg: Run) -> None:
    product, out = golden_product(tmp_path / "p"), tmp_path / "a.tif"
    out.write_text("precious")
    code, _, err = rsseg("toa", product, "-o", out)
    assert (code, out.read_text()) == (2, "precious") and "--overwrite" in err
    assert rsseg("toa", product, "-o", out, "--overwrite")[0] == 0
    assert physical(out)[1].any()


def break_product(product: Path, how: str) -> None:
    path = product / "BAND3.tif"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-40000])
    elif how == "text":
        path.write_text("404 not found")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    elif how == "fill":
        make_liss4(product, numbers=np.zeros((200, 220), np.uint16)[None].repeat(3, 0))
    elif how == "key":
        (product / "BAND_META.txt").write_text(with_keys(LISS4_META_PLAIN, SunElevationAtCenter=None))


BROKEN = {
    "truncated": "truncated or damaged",
    "text": "BAND3.tif",
    "empty": "is empty",
    "missing": "has no BAND3.tif",
    "fill": "no valid pixel",
    "key": "SunElevationAtCenter",
}


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_product_fails_in_one_sentence_and_leaves_nothing(
    tmp_path: Path, rsseg: Run, how: str, cog: bool
) -> None:
    product = make_liss4(tmp_path / "p", shape=(200, 220))
    break_product(product, how)
    out = tmp_path / "out"
    code, printed, err = rsseg("toa", product, "-o", out / "a.tif", *(["--cog"] if cog else []))
    assert (code, printed) == (1, "")
    assert BROKEN[how] in err and len(err.splitlines()) == 1 and "Traceback" not in err
    assert not out.exists() or not list(out.iterdir())


def test_errors_have_their_types(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", numbers=np.zeros((3, 9, 9), np.uint16))
    with pytest.raises(InputError, match="every pixel is fill"):
        toa(product, tmp_path / "a.tif")
    with pytest.raises(UsageError, match="--clip"):
        toa(product, tmp_path / "a.tif", clip=True, calibration=Calibration(quantity="radiance"))


def test_a_sun_close_to_the_horizon_is_warned_of(tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", meta=with_keys(LISS4_META_PLAIN, SunElevationAtCenter="6"))
    with pytest.warns(CalibrationWarning) as caught:
        toa(product, tmp_path / "a.tif")
    assert any("--dtype float32" in str(item.message) for item in caught)
    values, mask = physical(tmp_path / "a.tif")
    assert mask.mean() == pytest.approx(15 / 16)
    assert values[:, mask].max() == pytest.approx(6.4534)


def test_the_sample_product_converts(tmp_path: Path) -> None:
    sample = Path(__file__).resolve().parents[2] / "sample_data" / "liss4_january"
    if not sample.is_dir():
        pytest.skip("no sample_data")
    answer = toa(sample, tmp_path / "a.tif")
    assert answer["bands"] == ["green", "red", "nir"]
