"""The committed sample products are what the generator makes, and every class is in them."""

import shlex
from datetime import date
from pathlib import Path
from zipfile import ZipFile

import geopandas
import numpy as np
import pytest
import rasterio

from rsseg.scene.grid import Window
from rsseg.scene.simulate.landcover import CLASSES
from rsseg.scene.simulate.metadata import meta_text
from rsseg.scene.simulate.product import Product
from rsseg.scene.simulate.reference import reference_polygons

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
PRODUCTS = {
    "liss4_january": Product((440, 480), 2, date(2020, 1, 24), (400, 1480)),
    "liss4_march": Product((440, 480), 2, date(2020, 3, 12), (540, 1380)),
}
EVERYWHERE = Window(0, 0, 440, 480)


def bands_and_meta(name: str) -> tuple[np.ndarray, str]:
    folder = SAMPLES / name
    if folder.is_dir():
        names = [str(folder / f"BAND{band}.tif") for band in (2, 3, 4)]
        meta = (folder / "BAND_META.txt").read_text()
    else:
        inner = f"BH_{PRODUCTS[name].number}"
        names = [f"/vsizip/{SAMPLES / name}.zip/{inner}/BAND{band}.tif" for band in (2, 3, 4)]
        with ZipFile(SAMPLES / f"{name}.zip") as archive:
            meta = archive.read(f"{inner}/BAND_META.txt").decode()
    return np.stack([rasterio.open(path).read(1) for path in names]), meta


@pytest.mark.parametrize("name", PRODUCTS)
def test_files_equal_what_the_generator_makes(name: str) -> None:
    product = PRODUCTS[name]
    numbers, classes = product.render(EVERYWHERE)
    stored, meta = bands_and_meta(name)
    np.testing.assert_array_equal(stored, numbers)
    assert meta == meta_text(product)
    with rasterio.open(SAMPLES / f"{name}_truth.tif") as truth:
        np.testing.assert_array_equal(truth.read(1), classes)
        assert tuple(truth.transform)[:6] == product.grid.transform


@pytest.mark.parametrize("name", PRODUCTS)
def test_reference_equals_what_the_generator_makes(name: str) -> None:
    stored, made = geopandas.read_file(SAMPLES / f"{name}_reference.gpkg"), reference_polygons(PRODUCTS[name])
    assert list(stored["class"]) == list(made["class"]) and list(stored["value"]) == list(made["value"])
    assert stored.geometry.geom_equals_exact(made.geometry, 1e-6).all()
    assert (stored["class"].value_counts() >= 8).all() and stored["class"].nunique() == len(CLASSES)


@pytest.mark.parametrize("name", PRODUCTS)
def test_each_class_covers_four_percent(name: str) -> None:
    with rasterio.open(SAMPLES / f"{name}_truth.tif") as truth:
        counts = np.bincount(truth.read(1).ravel(), minlength=7)[1:]
    assert counts.min() >= 0.04 * counts.sum() and counts.max() <= 0.4 * counts.sum()


@pytest.mark.parametrize("text", ["make.sh", "README.md"])
def test_written_commands_are_those_of_this_test(text: str) -> None:
    commands = [shlex.split(line) for line in (SAMPLES / text).read_text().splitlines() if " simulate -o " in line]
    assert len(commands) == len(PRODUCTS)
    for command, (name, product) in zip(commands, PRODUCTS.items(), strict=True):
        said = {word: command[i + 1] for i, word in enumerate(command[:-1]) if word.startswith("-")}
        assert Path(said["-o"]).stem == name
        assert said["--size"] == f"{product.size[0]}x{product.size[1]}" and said["--seed"] == str(product.seed)
        assert said["--date"] == product.day.isoformat() and said["--shift"] == "{},{}".format(*product.origin)
