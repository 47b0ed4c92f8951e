"""What QGIS itself makes of our files: it opens them with names and colours, and draws what the map says."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelmaps import grid_for
from matplotlib.image import imread
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from rsseg.pipeline.stages.vectorize import VectorizeSettings, vectorize
from rsseg.publish.labels import LabelClass, LabelMapWriter

pytestmark = pytest.mark.qgis

PYTHON = shutil.which("python3", path="/usr/bin") or "python3"
SCRIPT = Path(__file__).parents[1] / "qgis_render.py"
CLASSES = (
    LabelClass(1, "water", "#0000ff"),
    LabelClass(2, 'a "b" <c>\n&', "#00ff00"),
    LabelClass(7, "<script>alert(1)</script>; 水", "#804020"),
)


@pytest.fixture(autouse=True)
def qgis() -> None:
    if subprocess.run([PYTHON, "-c", "import qgis.core"], capture_output=True).returncode:
        pytest.skip("QGIS's Python modules are not installed (Debian: apt install python3-qgis)")


@pytest.fixture
def labels(tmp_path: Path) -> tuple[Path, NDArray[np.uint8]]:
    """A map of three classes and no data, in areas of 8 x 8 pixels."""
    coarse = np.random.default_rng(3).choice(np.array([0, 1, 2, 7], np.uint8), (12, 15))
    values = np.kron(coarse, np.ones((8, 8), np.uint8))
    with LabelMapWriter(tmp_path / "map.tif", grid_for(values.shape), CLASSES, tags={}) as writer:
        writer.write(values, writer.grid.window)
    return tmp_path / "map.tif", values


def shown(layer: Path, shape: tuple[int, ...]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """What QGIS says of a layer's style, and its picture (h, w, 4)."""
    picture = layer.with_suffix(".drawn.png")
    command = [PYTHON, SCRIPT, layer, shape[1], shape[0], picture]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    answer = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, env=environment)
    return json.loads(answer.stdout), (imread(picture) * 255).round().astype(np.uint8)


def expected(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colours = np.zeros((256, 3), np.uint8)
    for item in CLASSES:
        colours[item.value] = item.rgb
    return colours[values]


def test_the_raster_opens_named_and_is_drawn_as_it_is(labels: tuple[Path, NDArray[np.uint8]]) -> None:
    path, values = labels
    told, picture = shown(path, values.shape)
    assert told["classes"] == [[item.value, item.colour, item.name] for item in CLASSES]
    assert np.array_equal(picture[values > 0][:, :3], expected(values)[values > 0])
    assert (picture[values == 0] == picture[values == 0][0]).all()  # nothing is drawn: the paper


def test_the_polygons_open_named_and_are_drawn_as_the_raster(labels: tuple[Path, NDArray[np.uint8]]) -> None:
    path, values = labels
    target = path.with_name("polygons.gpkg")
    vectorize(path, target, VectorizeSettings(mmu_pixels=1))
    told, picture = shown(target, values.shape)
    assert sorted(told["classes"])[-3:] == [[item.value, item.colour, item.name] for item in CLASSES]
    assert told["features"] > 3
    inside = minimum_filter(values, 3) == maximum_filter(values, 3)  # the line around each polygon is drawn too
    where = inside & (values > 0)
    assert where.sum() > 2000 and np.array_equal(picture[where][:, :3], expected(values)[where])
