"""Rasters and products of odd shapes and values, from the file to the label map."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from products import UTM50, make_liss4, some_numbers, zipped
from tiny import blocks_scene

from rsseg.scene.raster import open_raster

Run = Callable[..., tuple[int, str, str]]

NORTH_UP = rasterio.Affine(5, 0, 500_000, 0, -5, 2_000_000)
PATCH = ("--patch", "4", "--stride", "4", "--classes", "4")


def write(path: Path, values: NDArray[Any], **profile: Any) -> Path:
    """Values (bands, H, W) as a GeoTIFF; ``profile`` overrides its grid and nodata."""
    count, height, width = values.shape
    given = {"count": count, "height": height, "width": width, "dtype": values.dtype.name, "crs": UTM50}
    with rasterio.open(path, "w", driver="GTiff", **{**given, "transform": NORTH_UP, **profile}) as dataset:
        dataset.write(values)
    return path


def trained(rsseg: Run, scene: Path, *options: object) -> Path:
    model = scene.parent / f"{scene.stem}.safetensors"
    code, _, said = rsseg("train", "kmeans", scene, "-o", model, "-q", *PATCH, *options)
    assert code == 0, said
    return model


def labelled(rsseg: Run, scene: Path, model: Path, *options: object) -> NDArray[np.uint8]:
    output = scene.parent / f"{scene.stem}_labels.tif"
    code, _, said = rsseg("segment", scene, "--model", model, "-o", output, "-q", "--overwrite", *options)
    assert code == 0, said
    with open_raster(output) as dataset:
        return dataset.read(1)


def refused(result: tuple[int, str, str], *outputs: Path) -> str:
    """The one sentence of a command that failed and left nothing behind."""
    code, out, said = result
    assert code in (1, 2) and out == ""
    line = said.strip().splitlines()[-1]
    assert line.startswith(("rsseg: ", "Error: ")) and "Traceback" not in said and "--debug shows" not in said
    for output in outputs:
        assert not list(output.parent.glob(f"*{output.stem}*"))
    return line


@pytest.fixture(scope="module")
def values() -> NDArray[Any]:
    return blocks_scene(32, 48, block=8, noise=2)[0].astype(np.uint16)


@pytest.fixture
def plain(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> tuple[Path, NDArray[np.uint8]]:
    """A model of an ordinary scene, and the scene's labels."""
    scene = write(tmp_path / "plain.tif", values)
    model = trained(rsseg, scene)
    labels = labelled(rsseg, scene, model)
    assert len(np.unique(labels)) == 4
    return model, labels


# -- where pixels lie


def test_grids_of_any_kind_label_alike(
    rsseg: Run, tmp_path: Path, values: NDArray[Any], plain: tuple[Path, NDArray[np.uint8]]
) -> None:
    model, expected = plain
    grids: dict[str, dict[str, Any]] = {
        "no_crs": {"crs": None, "transform": rasterio.Affine.identity()},
        "no_crs_but_a_place": {"crs": None},
        "degrees": {"crs": "EPSG:4326", "transform": rasterio.Affine(5e-5, 0, 77, 0, -5e-5, 13)},
        "oblong": {"transform": rasterio.Affine(5, 0, 500_000, 0, -7.5, 2_000_000)},
        "turned": {"transform": NORTH_UP * rasterio.Affine.rotation(30)},
    }
    for name, profile in grids.items():
        scene = write(tmp_path / f"{name}.tif", values, **profile)
        np.testing.assert_array_equal(labelled(rsseg, scene, model), expected)
        with open_raster(scene) as before, open_raster(tmp_path / f"{name}_labels.tif") as after:
            assert (before.crs, before.transform) == (after.crs, after.transform)


def test_a_south_up_scene_labels_as_the_flipped_one(
    rsseg: Run, tmp_path: Path, values: NDArray[Any], plain: tuple[Path, NDArray[np.uint8]]
) -> None:
    model, expected = plain
    upward = rasterio.Affine(5, 0, 500_000, 0, 5, 2_000_000 - 5 * values.shape[1])
    scene = write(tmp_path / "south.tif", values[:, ::-1], transform=upward)
    np.testing.assert_array_equal(labelled(rsseg, scene, model), expected[::-1])
    with open_raster(tmp_path / "south_labels.tif") as dataset:
        assert dataset.transform == upward


def test_a_transform_without_area_is_refused(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> None:
    scene = write(tmp_path / "flat.tif", values, transform=rasterio.Affine(5, 0, 5e5, 5, 0, 2e6))
    assert "pixels have no area" in refused(rsseg("info", scene))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 40)])
def test_scenes_smaller_than_a_patch_are_refused_by_option(
    rsseg: Run, tmp_path: Path, shape: tuple[int, int], plain: tuple[Path, NDArray[np.uint8]]
) -> None:
    scene = write(tmp_path / "thin.tif", some_numbers(shape, fill=False))
    assert rsseg("info", scene)[0] == 0
    model = tmp_path / "thin_model.safetensors"
    assert "--patch" in refused(rsseg("train", "kmeans", scene, "-o", model, "-q", *PATCH), model)
    target = tmp_path / "thin_labels.tif"
    said = refused(rsseg("segment", scene, "--model", plain[0], "-o", target, "-q"), target)
    assert "patch" in said and "4" in said


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1)])
def test_products_of_one_row_or_pixel_are_converted(rsseg: Run, tmp_path: Path, shape: tuple[int, int]) -> None:
    product = make_liss4(tmp_path / "p", numbers=some_numbers(shape, fill=False))
    code, _, said = rsseg("toa", product, "-o", tmp_path / "toa.tif", "-q")
    assert code == 0, said
    with open_raster(tmp_path / "toa.tif") as dataset:
        assert dataset.shape == shape and dataset.read().min() > 0


def test_a_scene_of_70_000_columns(rsseg: Run, tmp_path: Path) -> None:
    wide = np.tile(blocks_scene(4, 1000, block=4, noise=2)[0].astype(np.uint16), (1, 1, 70))
    scene = write(tmp_path / "wide.tif", wide)
    labels = labelled(rsseg, scene, trained(rsseg, scene))
    assert labels.shape == (4, 70_000)
    np.testing.assert_array_equal(labels[:, :1000], labels[:, -1000:])
    product = make_liss4(tmp_path / "p", numbers=wide)
    assert rsseg("toa", product, "-o", tmp_path / "toa.tif", "-q")[0] == 0
    with open_raster(tmp_path / "toa.tif") as dataset:
        assert dataset.shape == (4, 70_000)


# -- what pixels hold


def test_values_that_are_no_number_are_no_data(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> None:
    odd = values.astype(np.float64) / 255
    odd[0, :8, :8], odd[1, 8:16, :8], odd[2, 16:24, :8] = np.nan, np.inf, -np.inf
    scene = write(tmp_path / "odd.tif", odd)
    labels = labelled(rsseg, scene, trained(rsseg, scene))
    assert (labels[:24, :8] == 0).all()
    assert (labels[:, 8:] > 0).all() and (labels[24:] > 0).all()


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint64", "float32", "float64", "uint8"])
def test_every_type_of_number_labels_alike(
    rsseg: Run, tmp_path: Path, values: NDArray[Any], plain: tuple[Path, NDArray[np.uint8]], dtype: str
) -> None:
    scene = write(tmp_path / "typed.tif", values.astype(dtype))
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(units="uncalibrated")
    np.testing.assert_array_equal(labelled(rsseg, scene, plain[0]), plain[1])


def test_negative_and_saturated_values_are_values(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> None:
    odd = values.astype(np.int16)
    odd[:, :8, :8], odd[:, 8:16, :8] = -3000, 32767
    labels = labelled(rsseg, scene := write(tmp_path / "odd.tif", odd), trained(rsseg, scene))
    assert (labels > 0).all()
    assert len(np.unique(labels[:16, :8])) == 2


def test_a_band_without_data_makes_the_pixel_so(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> None:
    holes = values.copy()
    holes[1, :8, :8] = 9999
    scene = write(tmp_path / "holes.tif", holes, nodata=9999)
    labels = labelled(rsseg, scene, trained(rsseg, scene))
    np.testing.assert_array_equal(labels == 0, holes[1] == 9999)


def test_bands_of_different_nodata_each_count(rsseg: Run, tmp_path: Path, values: NDArray[Any]) -> None:
    holes, nodata = values.copy(), (7001, 7002, 7003)
    for band, value in enumerate(nodata):
        holes[band, :8, 8 * band : 8 * band + 8] = value
        write(tmp_path / f"{band}.tif", holes[band : band + 1], nodata=value)
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band + 1}"><NoDataValue>{value}</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{band}.tif</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, value in enumerate(nodata)
    )
    scene = tmp_path / "stack.vrt"
    scene.write_text(f'<VRTDataset rasterXSize="48" rasterYSize="32">{bands}</VRTDataset>')
    labels = labelled(rsseg, scene, trained(rsseg, scene))
    assert (labels[:8, :24] == 0).all() and (labels[8:] > 0).all() and (labels[:8, 24:] > 0).all()


@pytest.mark.parametrize("fill", [np.nan, np.inf])
def test_a_scene_without_a_valid_pixel_is_refused(rsseg: Run, tmp_path: Path, fill: float) -> None:
    scene = write(tmp_path / "void.tif", np.full((3, 16, 16), fill, np.float32))
    assert rsseg("info", scene)[0] == 0
    model = tmp_path / "void_model.safetensors"
    assert "valid" in refused(rsseg("train", "kmeans", scene, "-o", model, "-q", *PATCH), model)


def test_an_empty_scene_is_labelled_as_no_data(
    rsseg: Run, tmp_path: Path, plain: tuple[Path, NDArray[np.uint8]]
) -> None:
    scene = write(tmp_path / "void.tif", np.full((3, 16, 16), 9, np.uint16), nodata=9)
    assert not labelled(rsseg, scene, plain[0]).any()


def test_a_constant_scene_is_one_cluster_and_said(rsseg: Run, tmp_path: Path) -> None:
    scene = write(tmp_path / "even.tif", np.full((3, 32, 32), 100, np.uint16))
    model = tmp_path / "even.safetensors"
    code, _, said = rsseg("train", "kmeans", scene, "-o", model, "-q", *PATCH)
    assert code == 0 and "1 of 4 clusters are used" in said
    assert np.unique(labelled(rsseg, scene, model)).size == 1


def test_more_clusters_than_kinds_of_pixels(rsseg: Run, tmp_path: Path) -> None:
    """Two kinds of pixels for four clusters: two clusters stay empty, and the map has two values."""
    halves = np.full((3, 32, 32), 100, np.uint16)
    halves[:, :, 16:] = 200
    scene = write(tmp_path / "halves.tif", halves)
    labels = labelled(rsseg, scene, trained(rsseg, scene))
    assert len(np.unique(labels[:, :16])) == len(np.unique(labels[:, 16:])) == 1
    assert labels[0, 0] != labels[0, 31]


@pytest.mark.parametrize("odd", ["palette", "one-bit"])
def test_pictures_are_read_as_numbers(rsseg: Run, tmp_path: Path, odd: str) -> None:
    kinds = (blocks_scene(32, 32, block=8)[1] % 2).astype(np.uint8)[np.newaxis]
    scene = write(tmp_path / "odd.tif", kinds, **({"nbits": 1} if odd == "one-bit" else {}))
    if odd == "palette":
        with rasterio.open(scene, "r+") as dataset:
            dataset.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 255, 0, 255)})
    labels = labelled(rsseg, scene, trained(rsseg, scene, "--classes", "2"))
    assert [len(np.unique(labels[kinds[0] == kind])) for kind in (0, 1)] == [1, 1]


def test_complex_numbers_are_refused(rsseg: Run, tmp_path: Path) -> None:
    scene = write(tmp_path / "wave.tif", np.ones((3, 16, 16), np.complex64))
    assert "complex64 values; integers or floats" in refused(rsseg("info", scene))
    product = make_liss4(tmp_path / "p")
    write(product / "BAND3.tif", np.ones((1, 64, 80), np.complex64))
    assert "complex64 values; integers or floats" in refused(rsseg("info", product))


# -- products


def test_a_product_that_is_all_fill_is_refused(rsseg: Run, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", numbers=np.zeros((3, 16, 16), np.uint16))
    target = tmp_path / "toa.tif"
    assert "no valid pixel" in refused(rsseg("toa", product, "-o", target, "-q"), target)


def test_a_cut_band_stops_the_conversion_and_leaves_nothing(rsseg: Run, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p", shape=(600, 500))
    band = product / "BAND3.tif"
    band.write_bytes(band.read_bytes()[:400_000])
    target = tmp_path / "out" / "toa.tif"
    target.parent.mkdir()
    assert "BAND3.tif" in refused(rsseg("toa", product, "-o", target, "-q"), target)
    assert "BAND3.tif" in refused(rsseg("toa", zipped(product, tmp_path / "p.zip"), "-o", target, "-q"), target)


def test_a_band_of_another_size_is_refused(rsseg: Run, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p")
    write(product / "BAND3.tif", np.ones((1, 64, 81), np.uint16))
    target = tmp_path / "toa.tif"
    assert "different grids" in refused(rsseg("toa", product, "-o", target, "-q"), target)


def test_bands_that_lie_about_their_size_leave_nothing(rsseg: Run, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "p")
    target = tmp_path / "toa.tif"
    for height, words in ((300_000, "but has only"), (6000, "truncated or damaged")):
        for number in (2, 3, 4):
            band = product / f"BAND{number}.tif"
            raw = bytearray(band.read_bytes())
            start = struct.unpack_from("<I", raw, 4)[0]
            for tag, value in ((256, height), (257, height)):
                entry = (
                    start
                    + 2
                    + next(at for at in range(0, 600, 12) if raw[start + 2 + at] + 256 * raw[start + 3 + at] == tag)
                )
                struct.pack_into("<HHII", raw, entry, tag, 4, 1, value)
            band.write_bytes(raw)
        assert words in refused(rsseg("toa", product, "-o", target, "-q"), target)
