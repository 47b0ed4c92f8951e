"""Plain rasters as scenes: what their values are, which pixels are valid, what bands are called."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import UTM50, write_band
from rasterio.enums import ColorInterp

from rsseg.errors import InputError, UsageError
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene


def write(path: Path, values: np.ndarray, *, driver: str = "GTiff", **options: object) -> Path:
    profile = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    transform = rasterio.Affine(5, 0, 5e5, 0, -5, 2e6)
    with rasterio.open(path, "w", driver=driver, crs=UTM50, transform=transform, **profile, **options) as dataset:
        dataset.write(values)
    return path


def numbers(dtype: str = "uint16", bands: int = 3) -> np.ndarray:
    return np.arange(bands * 6 * 8).reshape(bands, 6, 8).astype(dtype)


def test_bare_integers_are_uncalibrated_and_bands_are_numbers(tmp_path: Path) -> None:
    scene = open_scene(write(tmp_path / "scene.tif", numbers()))
    assert (scene.units, scene.band_names, scene.name) == ("uncalibrated", ("1", "2", "3"), "scene")
    assert scene.scales.tolist() == [1, 1, 1] and scene.offsets.tolist() == [0, 0, 0]


def test_floats_are_reflectance(tmp_path: Path) -> None:
    scene = open_scene(write(tmp_path / "a.tif", numbers("float32") / 200))
    assert (scene.units, scene.dtype) == ("reflectance", "float32")


def test_a_scale_tag_makes_reflectance(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers())
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,) * 3, (-0.1,) * 3
    scene = open_scene(path)
    assert (scene.units, scene.bands[0].scale, scene.bands[0].offset) == ("reflectance", 1e-4, -0.1)


@pytest.mark.parametrize(("scale", "expected"), [((1e-3,), (1e-3, 0)), ((2e-4, -0.2), (2e-4, -0.2))])
def test_a_scale_that_is_given_overrides(tmp_path: Path, scale: tuple, expected: tuple) -> None:
    path = write(tmp_path / "a.tif", numbers())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(units="radiance")
    assert open_scene(path).units == "radiance"
    scene = open_scene(path, scale=scale)
    assert (scene.units, (scene.bands[2].scale, scene.bands[2].offset)) == ("reflectance", expected)
    with pytest.raises(UsageError):
        open_scene(path, scale=(0,))


def test_bands_by_name_number_and_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers())
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("green", "Red", "nir")
    scene = open_scene(path, bands=["nir", "red"])
    assert scene.band_names == ("nir", "Red")
    with scene.open() as reader:
        values, _ = reader.read(scene.grid.window)
    np.testing.assert_array_equal(values, numbers()[[2, 1]])
    with scene.select(["2"]).open() as reader:
        np.testing.assert_array_equal(reader.read(scene.grid.window)[0], numbers()[[1]])
    with pytest.raises(UsageError, match="has no band blue; its bands are green, Red, nir"):
        open_scene(path, bands=["blue"])
    with pytest.raises(UsageError, match="has no band 4"):
        open_scene(path, bands=["4"])
    with pytest.raises(UsageError, match="given twice"):
        open_scene(path, bands=["nir", "3"])


def test_descriptions_that_are_not_unique_fall_back_to_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers())
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("band", "band", "nir")
    assert open_scene(path).band_names == ("1", "2", "nir")


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint16", 7), ("int16", -9999), ("uint8", 0), ("float32", -3.4028234663852886e38)]
)
def test_nodata_in_any_band_makes_a_pixel_invalid(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = np.full((2, 4, 4), 50, dtype=dtype)
    values[1, 2, 3] = nodata
    with open_scene(write(tmp_path / "a.tif", values, nodata=nodata)).open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    assert np.argwhere(~valid).tolist() == [[2, 3]]


@pytest.mark.parametrize("nodata", [300, -1, 7.5])
def test_nodata_that_the_type_cannot_hold_is_no_pixel(tmp_path: Path, nodata: float) -> None:
    source = write(tmp_path / "b.tif", numbers("uint8", 1))
    path = tmp_path / "a.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="6"><VRTRasterBand dataType="Byte" band="1">'
        f"<NoDataValue>{nodata}</NoDataValue><SimpleSource><SourceFilename>{source}</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with open_scene(path).open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    assert valid.all()


def test_values_that_are_not_finite_are_invalid(tmp_path: Path) -> None:
    values = numbers("float32")
    values[0, 1, 1], values[2, 2, 2] = np.nan, np.inf
    with open_scene(write(tmp_path / "a.tif", values, nodata=np.nan)).open() as reader:
        _, valid = reader.read(reader.scene.grid.window)
    assert np.argwhere(~valid).tolist() == [[1, 1], [2, 2]]


def test_alpha_is_a_mask_and_no_band(tmp_path: Path) -> None:
    values = numbers("uint8", 4)
    values[3] = 255
    values[3, 4, 4] = 0
    path = write(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp[3] == ColorInterp.alpha
    scene = open_scene(path)
    assert len(scene.bands) == 3
    with scene.open() as reader:
        _, valid = reader.read(scene.grid.window)
    assert np.argwhere(~valid).tolist() == [[4, 4]]


@pytest.mark.parametrize(("driver", "name"), [("PNG", "a.png"), ("ENVI", "a.img"), ("HFA", "a.img"), ("COG", "a.tif")])
def test_usual_formats_are_read(tmp_path: Path, driver: str, name: str) -> None:
    source = write(tmp_path / "source.tif", numbers("uint8"))
    rasterio.shutil.copy(source, tmp_path / name, driver=driver)
    scene = open_scene(tmp_path / name)
    with scene.open() as reader:
        np.testing.assert_array_equal(reader.read(scene.grid.window)[0], numbers("uint8"))


def test_no_crs_is_fine(tmp_path: Path) -> None:
    write_band(tmp_path / "a.tif", numbers()[0], crs=None)
    assert open_scene(tmp_path / "a.tif").grid.crs is None


def test_what_does_not_fit_a_raster_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", numbers())
    with pytest.raises(UsageError, match="plain raster"):
        open_scene(path, calibration=Calibration(dn_max=255))
    with pytest.raises(UsageError, match="--fill"):
        open_scene(path, fill="any")
    with pytest.raises(InputError, match="complex"):
        open_scene(write(tmp_path / "c.tif", numbers("complex64")))
    with pytest.raises(InputError, match="does not exist"):
        open_scene(tmp_path / "none.tif")


def test_a_truncated_raster_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((1, 300, 300), np.uint16))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"a\.tif"), open_scene(path).open() as reader:
        reader.read(reader.scene.grid.window)
