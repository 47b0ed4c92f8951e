"""rsseg info: what was recognised, in words and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import LISS4_META, make_landsat, make_liss4, some_numbers, write_band, zipped
from rasterio.crs import CRS

from rsseg.pipeline.stages.info import crs_name
from rsseg.pipeline.stages.toa import toa

Run = Callable[..., tuple[int, str, str]]


def test_a_product_as_json(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p", shape=(64, 80))
    code, out, err = rsseg("info", zipped(product, tmp_path / "p.zip", "x"), "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["recognised"] == "LISS-IV product of digital numbers (Level 1)"
    assert (answer["name"], answer["height"], answer["width"], answer["dtype"]) == ("202601121", 64, 80, "uint16")
    assert (answer["crs"], answer["pixel_size"]) == ("WGS 84 / UTM zone 50N", [5, 5])
    assert answer["bounds"] == pytest.approx([768871.443084, -50430, 769271.443084, -50110])
    assert answer["valid_share_estimated"] == pytest.approx(15 / 16)
    assert answer["tags"]["time"] == "2018-10-02T02:28:28.043361Z"
    green = answer["bands"][0]
    assert (green["name"], green["code"], green["lmax"], green["esun"]) == ("green", "B2", 52, 181.89)
    assert green["scale"] == pytest.approx(0.96141 / 1023, abs=1e-8)
    low, middle, high = green["percentiles_2_50_98_estimated"]
    assert 0 < low < middle < high < 1
    assert answer["warnings"] == []


def test_a_product_in_words(tmp_path: Path, rsseg: Run) -> None:
    code, out, err = rsseg("info", make_liss4(tmp_path / "p", meta=LISS4_META))
    assert (code, err) == (0, "")
    assert out.startswith("202601121: LISS-IV product of digital numbers (Level 1)\n")
    for words in ("93.8% (estimated)", "sun_elevation", "69.402093", "green (B2)", "lmax 52", "warning", "47.5614"):
        assert words in out


def test_the_choices_of_toa_are_shown(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p")
    _, out, _ = rsseg("info", product, "--quantity", "radiance", "--bands", "nir", "--json")
    answer = json.loads(out)
    assert answer["units"] == "radiance"
    assert [band["name"] for band in answer["bands"]] == ["nir"]
    assert answer["bands"][0]["scale"] == pytest.approx(315 / 1023)
    code, _, err = rsseg("info", product, "--radiance-from", "saturation")
    assert code == 2 and "SaturationRadiance" in err


def test_numbers_above_dn_max_are_warned_of(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p", numbers=some_numbers((30, 30)) * np.uint16(16))
    _, out, _ = rsseg("info", product, "--json")
    assert any("above the DNmax of 1023" in text for text in json.loads(out)["warnings"])


def test_rasters_products_and_levels_are_told_apart(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p")
    toa(product, tmp_path / "toa.tif")
    write_band(tmp_path / "bare.tif", some_numbers((9, 9))[0], crs=None)
    said = {name: rsseg("info", tmp_path / name)[1] for name in ("toa.tif", "bare.tif", "p")}
    assert "raster of LISS-IV" in said["toa.tif"] and "units               reflectance" in said["toa.tif"]
    assert "uncalibrated" in said["bare.tif"] and "crs                 none" in said["bare.tif"]
    _, out, _ = rsseg("info", make_landsat(tmp_path / "landsat"))
    assert "Landsat-8 product of digital numbers (Level 1)" in out and "reflectance_mult 2e-05" in out
    _, out, _ = rsseg("info", tmp_path / "bare.tif", "--scale", "0.001,-0.1", "--json")
    assert json.loads(out)["units"] == "reflectance"


def test_a_scene_of_fill_alone_is_described(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p", numbers=np.zeros((3, 9, 9), np.uint16))
    code, out, _ = rsseg("info", product, "--json")
    answer = json.loads(out)
    assert code == 0 and answer["valid_share_estimated"] == 0
    assert "percentiles_2_50_98_estimated" not in answer["bands"][0]


def test_info_writes_nothing(tmp_path: Path, rsseg: Run) -> None:
    product = make_liss4(tmp_path / "p")
    before = sorted(tmp_path.rglob("*"))
    rsseg("info", product)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_no_scene_is_one_sentence(tmp_path: Path, rsseg: Run) -> None:
    for name in ("none", "notes.txt"):
        (tmp_path / "notes.txt").write_text("hello")
        code, out, err = rsseg("info", tmp_path / name)
        assert (code, out) == (1, "") and name in err and len(err.splitlines()) == 1


def test_a_crs_is_named_by_its_own_words() -> None:
    assert crs_name(None) is None
    assert crs_name(CRS.from_epsg(32650).to_wkt()) == "WGS 84 / UTM zone 50N"
    assert (
        rasterio.crs.CRS.from_wkt(CRS.from_epsg(4326).to_wkt()) and crs_name(CRS.from_epsg(4326).to_wkt()) == "WGS 84"
    )
