"""The simulated product: its files, its calibration, its truth and reference polygons."""

import math
from datetime import date, datetime
from pathlib import Path
from zipfile import ZipFile

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.features import geometry_mask

from rsseg.errors import UsageError
from rsseg.pipeline.stages.simulate import simulate
from rsseg.scene.grid import Window
from rsseg.scene.sensors import open_scene
from rsseg.scene.simulate.landcover import CLASSES
from rsseg.scene.simulate.product import Product, ProductWriter

PRODUCT = Product((300, 340), 2, date(2020, 1, 24), (420, 1500))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("simulated") / "scene"
    simulate(target, PRODUCT)
    return target


def entries(folder: Path) -> dict[str, str]:
    lines = (folder / "BAND_META.txt").read_text().splitlines()
    return {key.strip(): value.strip() for key, value in (line.split("=", 1) for line in lines)}


def numbers_of(folder: Path) -> np.ndarray:
    return np.stack([rasterio.open(folder / f"BAND{band}.tif").read(1) for band in (2, 3, 4)])


def test_files_are_laid_out_as_the_suppliers(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["BAND2.tif", "BAND3.tif", "BAND4.tif", "BAND_META.txt"]
    for band in (2, 3, 4):
        with rasterio.open(folder / f"BAND{band}.tif") as dataset:
            assert dataset.dtypes == ("uint16",) and dataset.shape == (300, 340) and dataset.nodata is None
            assert dataset.block_shapes == [(1, 340)] and dataset.compression is None
            assert dataset.crs.to_epsg() == 32644 and dataset.res == (5.0, 5.0)
            assert (dataset.transform.c, dataset.transform.f) == (257500.0, 2397900.0)


def test_fill_is_zero_in_all_bands_and_nothing_else_is(folder: Path) -> None:
    numbers = numbers_of(folder)
    inside = PRODUCT.footprint.mask(Window(0, 0, 300, 340))
    np.testing.assert_array_equal((numbers > 0).all(0), inside)
    np.testing.assert_array_equal((numbers > 0).any(0), inside)
    assert numbers.max() <= 1023
    with rasterio.open(folder.with_name("scene_truth.tif")) as truth:
        np.testing.assert_array_equal(truth.read(1) > 0, inside)


def test_metadata_agree_with_the_raster(folder: Path) -> None:
    meta = entries(folder)
    assert (meta["NoScans"], meta["NoPixels"], meta["BitsPerPixel"]) == ("300", "340", "10")
    assert (meta["Sensor"], meta["GenAgency"], meta["BandNumbers"]) == ("L4FX", "SIMULATED", "234")
    assert [float(meta[f"B{band}_Lmax"]) for band in (2, 3, 4)] == [52.0, 47.0, 31.5]
    # map corners are pixel centres
    assert float(meta["ProdULMapX"]) == 257502.5 and float(meta["ProdULMapY"]) == 2397897.5
    assert float(meta["ProdLRMapX"]) == 257502.5 + 339 * 5 and float(meta["ProdLRMapY"]) == 2397897.5 - 299 * 5
    assert meta["DateOfPass"] == "24-JAN-2020" and meta["SceneCenterTime"].startswith("24-JAN-2020 05:1")
    assert 40 < float(meta["SunElevationAtCenter"]) < 44 and 140 < float(meta["SunAziumthAtCenter"]) < 152
    assert float(meta["ProdULLon"]) < float(meta["ImageULLon"]) < float(meta["SceneCenterLon"])


def test_calibration_gives_the_simulated_reflectance_back(folder: Path) -> None:
    """L = Lmax DN / 1023 and rho = pi L d^2 / (ESUN sin(elevation)), written out here from the file's keys."""
    meta, numbers = entries(folder), numbers_of(folder)
    month = {"JAN": 1}[meta["SceneCenterTime"][3:6]]
    clock = datetime.strptime(meta["SceneCenterTime"][12:], "%H:%M:%S.%f")
    time = clock.replace(year=2020, month=month, day=24)
    g = math.radians(357.529 + 0.98560028 * (time - datetime(2000, 1, 1, 12)).total_seconds() / 86400)
    distance = 1.00014 - 0.01671 * math.cos(g) - 0.00014 * math.cos(2 * g)
    assert distance == pytest.approx(0.9843, abs=2e-4)
    simulated, _ = PRODUCT.reflectance(Window(0, 0, 300, 340))
    valid = (numbers > 1).all(0) & (numbers < 1023).all(0)
    assert valid.mean() > 0.7
    for band, esun in enumerate((181.89, 156.96, 110.48)):
        top = float(meta[f"B{band + 2}_Lmax"])
        factor = math.pi * distance**2 / (esun * math.sin(math.radians(float(meta["SunElevationAtCenter"]))))
        step = factor * top / 1023
        error = np.abs(numbers[band] * step - simulated[band])[valid]
        assert error.max() <= 0.5 * step * 1.0001
        assert error.mean() == pytest.approx(0.25 * step, rel=0.05)


def test_reader_and_simulator_agree(folder: Path) -> None:
    scene = open_scene(folder)
    assert scene.band_names == ("green", "red", "nir")
    steps = [band.scale for band in scene.bands]
    np.testing.assert_allclose(steps, 1 / PRODUCT.dn_per_reflectance.astype(float), rtol=1e-6)
    assert all(band.offset == 0 for band in scene.bands)
    with scene.open() as reader:
        _, valid = reader.read(Window(0, 0, 300, 340))
    np.testing.assert_array_equal(valid, PRODUCT.footprint.mask(Window(0, 0, 300, 340)))


def test_products_overlap_on_the_same_land() -> None:
    other = Product((300, 340), 2, date(2020, 3, 12), (520, 1400))
    whole = Window(0, 0, 300, 340)
    (first, here), (second, there) = PRODUCT.render(whole), other.render(whole)
    mine, yours = here[100:, :240], there[:200, 100:]
    both = (mine > 0) & (yours > 0)
    assert both.mean() > 0.5
    np.testing.assert_array_equal(mine[both], yours[both])
    assert not np.array_equal(first[:, 100:, :240][:, both], second[:, :200, 100:][:, both])
    assert PRODUCT.number != other.number


def test_strips_of_any_height_make_the_same_product() -> None:
    numbers, truth = PRODUCT.render(Window(0, 0, 300, 340))
    for row, height in ((0, 1), (17, 40), (299, 1)):
        part, classes = PRODUCT.render(Window(row, 0, height, 340))
        np.testing.assert_array_equal(part, numbers[:, row : row + height])
        np.testing.assert_array_equal(classes, truth[row : row + height])


def test_truth_has_names_and_the_products_grid(folder: Path) -> None:
    with rasterio.open(folder.with_name("scene_truth.tif")) as truth, rasterio.open(folder / "BAND2.tif") as band:
        assert truth.transform == band.transform and truth.crs == band.crs and truth.nodata == 0
        assert truth.colormap(1)[1] == (0x2F, 0x6D, 0xB5, 255)
        np.testing.assert_array_equal(truth.read(1), PRODUCT.render(Window(0, 0, 300, 340))[1])
    table = folder.with_name("scene_truth.tif.aux.xml").read_text()
    assert all(name in table for name in CLASSES)


def test_reference_polygons_are_pure_and_apart(folder: Path) -> None:
    polygons = geopandas.read_file(folder.with_name("scene_reference.gpkg"))
    assert polygons.crs.to_epsg() == 32644 and polygons.is_valid.all()
    assert set(polygons["class"]) <= set(CLASSES) and polygons["class"].nunique() >= 5
    assert polygons["class"].value_counts().max() <= 10
    with rasterio.open(folder.with_name("scene_truth.tif")) as dataset:
        truth, transform = dataset.read(1), dataset.transform
    taken = np.zeros(truth.shape, int)
    for name, value, shape in zip(polygons["class"], polygons["value"], polygons.geometry, strict=True):
        inside = ~geometry_mask([shape], truth.shape, transform)
        assert CLASSES[value - 1] == name
        assert inside.sum() >= 10 and (truth[inside] == value).mean() >= 0.8
        taken += inside
    assert taken.max() == 1


def test_archive_holds_the_same_product(folder: Path, tmp_path: Path) -> None:
    made = [simulate(tmp_path / name, PRODUCT, zipped=True).product for name in ("a", "b.zip")]
    assert [path.name for path in made] == ["a.zip", "b.zip"] and (tmp_path / "b_truth.tif").exists()
    assert made[0].read_bytes() == made[1].read_bytes()
    with ZipFile(made[0]) as archive:
        for name in archive.namelist():
            assert archive.read(name) == (folder / name.rsplit("/")[-1]).read_bytes()
            assert name.startswith(f"BH_{PRODUCT.number}/")
    assert open_scene(made[0]).grid == open_scene(folder).grid


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: ProductWriter, numbers: np.ndarray, window: Window) -> None:
        if window.row > 0:
            raise OSError("disk full")

    monkeypatch.setattr(ProductWriter, "write", fail)
    for zipped in (False, True):
        with pytest.raises(OSError, match="disk full"):
            simulate(tmp_path / "scene", PRODUCT, zipped=zipped)
        assert list(tmp_path.iterdir()) == []


def test_existing_outputs_are_refused(tmp_path: Path) -> None:
    small = Product((40, 50))
    (tmp_path / "scene_truth.tif").write_text("mine")
    with pytest.raises(UsageError, match="--overwrite"):
        simulate(tmp_path / "scene", small)
    assert [path.name for path in tmp_path.iterdir()] == ["scene_truth.tif"]
    simulate(tmp_path / "scene", small, overwrite=True)
    assert (tmp_path / "scene" / "BAND4.tif").exists()


@pytest.mark.parametrize(("size", "origin"), [((8, 400), (0, 0)), ((400, 400), (500_000, 0)), ((64, 64), (0, -20_000))])
def test_impossible_products_are_refused(size: tuple[int, int], origin: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"--size|--shift"):
        Product(size, origin=origin)


@pytest.mark.parametrize("size", [(32, 32), (33, 900), (700, 40)])
def test_odd_sizes_work(size: tuple[int, int], tmp_path: Path) -> None:
    made = simulate(tmp_path / "odd", Product(size, 7, date(2021, 12, 31), (-50, -31)))
    assert 0.4 < made.valid < 1
    assert sum(made.shares.values()) == pytest.approx(1, abs=1e-3)
