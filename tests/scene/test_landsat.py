"""Landsat products: both collections' keys, real scenes, bands on other grids, and Level 2."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import SUN_ELEVATION, landsat_mtl, make_landsat, real_landsat, some_numbers, write_band, zipped

from rsseg.errors import InputError, UsageError
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene
from rsseg.scene.sensors.mtl import Mtl

SIN = math.sin(math.radians(SUN_ELEVATION))


@pytest.mark.parametrize("collection", [1, 2])
def test_reflectance_by_the_products_coefficients(tmp_path: Path, collection: int) -> None:
    scene = open_scene(make_landsat(tmp_path / "p", mtl=landsat_mtl(collection=collection)))
    assert scene.band_names == ("green", "red", "nir")
    for band in scene.bands:
        assert band.scale * 20000 + band.offset == pytest.approx((2e-5 * 20000 - 0.1) / SIN, rel=1e-12)
    assert scene.tags["sensor"] == "Landsat-8"
    assert scene.tags["earth_sun_distance"] == "0.9953272"
    assert scene.tags["time"] == "2014-10-22T04:37:48.7052949Z"


def test_radiance_by_the_products_coefficients(tmp_path: Path) -> None:
    scene = open_scene(make_landsat(tmp_path / "p"), calibration=Calibration(quantity="radiance"))
    assert (scene.units, scene.bands[0].scale, scene.bands[0].offset) == ("radiance", 1.1466e-2, -57.32959)


def test_band_names_follow_the_satellite(tmp_path: Path) -> None:
    bands = (1, 2, 3, 4, 5, 7)
    eight = open_scene(make_landsat(tmp_path / "8", bands=bands, mtl=landsat_mtl(satellite=9)))
    five = open_scene(make_landsat(tmp_path / "5", bands=bands, mtl=landsat_mtl(satellite=5, collection=1)))
    assert eight.band_names == ("coastal", "blue", "green", "red", "nir", "swir2")
    assert five.band_names == ("blue", "green", "red", "nir", "swir1", "swir2")


def test_pan_and_cirrus_are_read_only_when_named(tmp_path: Path) -> None:
    product = make_landsat(tmp_path / "p", bands=(3, 4, 5, 9))
    write_band(product / "SCENE_B8.TIF", some_numbers((80, 100), 1)[0], transform=rasterio.Affine(15, 0, 0, 0, -15, 0))
    assert open_scene(product).band_names == ("green", "red", "nir")
    assert open_scene(product, bands=["pan"]).grid.shape == (80, 100)
    assert open_scene(product, bands=["nir", "cirrus"]).band_names == ("nir", "cirrus")
    with pytest.raises(InputError, match="different grids"):
        open_scene(product, bands=["nir", "pan"])


def test_zero_in_any_band_is_fill(tmp_path: Path) -> None:
    stack = some_numbers((40, 50))
    stack[1, 30, 30] = 0
    with open_scene(make_landsat(tmp_path / "p", numbers=dict(zip((3, 4, 5), stack, strict=True)))).open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    np.testing.assert_array_equal(valid, (stack != 0).all(axis=0))


def test_all_bands_zero_is_a_choice_that_does_not_depend_on_the_bands(tmp_path: Path) -> None:
    stack = some_numbers((40, 50))
    stack[1, 30, 30] = 0
    product = make_landsat(tmp_path / "p", numbers=dict(zip((3, 4, 5), stack, strict=True)))
    with open_scene(product, fill="all", bands=["red"]).open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    np.testing.assert_array_equal(valid, (stack != 0).any(axis=0))


def test_a_zip_and_the_metadata_file_are_ways_in(tmp_path: Path) -> None:
    product = make_landsat(tmp_path / "p")
    assert open_scene(zipped(product, tmp_path / "p.zip", "inner")).name == "LC08_TEST"
    assert open_scene(product / "SCENE_MTL.txt").name == "LC08_TEST"


def test_text_and_json_say_the_same() -> None:
    text = Mtl.parse(landsat_mtl(), "a")
    tree = Mtl.parse(json.dumps({"LANDSAT_METADATA_FILE": text.groups}), "b")
    assert tree.number("SUN_ELEVATION", "IMAGE_ATTRIBUTES") == text.number("SUN_ELEVATION", "IMAGE_ATTRIBUTES")
    assert text.text("SPACECRAFT_ID", "IMAGE_ATTRIBUTES") == "LANDSAT_8"


def test_both_forms_beside_each_other_are_one_product(tmp_path: Path) -> None:
    product = make_landsat(tmp_path / "p")
    groups = Mtl.parse(landsat_mtl(), "a").groups
    (product / "SCENE_MTL.json").write_text(json.dumps({"LANDSAT_METADATA_FILE": groups}))
    assert open_scene(product).name == "LC08_TEST"


def test_level_2_is_recognised_and_its_own_scale_used(tmp_path: Path) -> None:
    scene = open_scene(make_landsat(tmp_path / "p", mtl=landsat_mtl(level="L2SP")))
    assert (scene.origin, scene.units) == ("level-2", "reflectance")
    # neither the Level-1 coefficients of the same file nor the sun
    assert (scene.bands[0].scale, scene.bands[0].offset) == (2.75e-5, -0.2)
    with pytest.raises(UsageError, match="radiance cannot be had"):
        open_scene(tmp_path / "p", calibration=Calibration(quantity="radiance"))


@pytest.mark.parametrize("key", ["SUN_ELEVATION", "REFLECTANCE_MULT_BAND_4", "REFLECTANCE_ADD_BAND_5", "SPACECRAFT_ID"])
def test_a_missing_key_is_named_never_replaced(tmp_path: Path, key: str) -> None:
    mtl = "\n".join(line for line in landsat_mtl().splitlines() if key not in line)
    with pytest.raises(InputError, match=rf"SCENE_MTL\.txt.*{key}"):
        open_scene(make_landsat(tmp_path / "p", mtl=mtl))


def test_a_sun_below_the_horizon_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="SUN_ELEVATION"):
        open_scene(make_landsat(tmp_path / "p", mtl=landsat_mtl(elevation=-4)))


def test_other_satellites_and_choices_are_refused(tmp_path: Path) -> None:
    product = make_landsat(tmp_path / "p")
    for choice in (Calibration(dn_max=1023), Calibration(solar="neckel-labs"), Calibration(esun=(1.0, 1.0, 1.0))):
        with pytest.raises(UsageError, match="own coefficients"):
            open_scene(product, calibration=choice)
    (product / "SCENE_MTL.txt").write_text(landsat_mtl().replace("LANDSAT_8", "LANDSAT_2").replace("OLI_TIRS", "MSS"))
    with pytest.raises(InputError, match="LANDSAT_2 MSS"):
        open_scene(product)


def test_surface_reflectance_files_beside_a_level_1_mtl_are_named(tmp_path: Path) -> None:
    product = make_landsat(tmp_path / "p", bands=(4,))
    (product / "SCENE_B4.TIF").rename(product / "SCENE_sr_band4.tif")
    with pytest.raises(InputError, match="surface reflectance"):
        open_scene(product)
    (product / "SCENE_sr_band4.tif").unlink()
    with pytest.raises(InputError, match=r"none of the band files .*SCENE_B3\.TIF"):
        open_scene(product)


def test_a_real_scene_with_json_metadata(data: Path, tmp_path: Path) -> None:
    scene = open_scene(real_landsat(data, tmp_path / "p", "LC80460282016177LGN00"))
    assert scene.band_names == ("blue", "green", "red")
    assert scene.name == "LC80460282016177LGN00"
    with scene.open() as reader:
        _, valid = reader.read(scene.grid.window)
    assert valid.mean() == pytest.approx(0.68, abs=0.01)
