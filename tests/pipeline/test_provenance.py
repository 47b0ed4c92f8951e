"""Where the files of a run came from, as its run.json tells."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import yaml
from labelmaps import grid_for, write_boxes
from products import make_liss4
from scenes import write_reference, write_scene
from tiny import thin_vgg, tiny_model

import rsseg
from rsseg.pipeline import cache
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.consensus import consensus
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.pipeline.stages.run import run
from rsseg.pipeline.stages.vectorize import vectorize
from rsseg.publish.labels import LabelMapWriter
from rsseg.publish.palette import LabelClass

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")

PIPELINE = {"models": {"kmeans": {"method": "kmeans", "classes": 3, "starts": 1}}, "pictures": False, "names": "none"}

Told = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch):
        yield


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """Run a pipeline and read its provenance."""

    def start(*scenes: Path, **options: Any) -> dict[str, Any]:
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump(PIPELINE))
        run(str(path), scenes, tmp_path / "out", machine=Machine("cpu"), **options)
        content: dict[str, Any] = json.loads((tmp_path / "out" / "run.json").read_text())
        return content

    return start


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_input_has_its_checksum(told: Told, tmp_path: Path) -> None:
    scene, reference = write_scene(tmp_path / "a scene.tif"), write_reference(tmp_path / "reference.gpkg")
    area = write_reference(tmp_path / "area.gpkg")
    found = told(scene, references=[reference], reference_field="class", aoi=area)
    rows = {row["path"]: row for row in found["inputs"]}
    assert {path: row["role"] for path, row in rows.items()} == {
        str(scene): "scene",
        str(reference): "reference",
        str(area): "aoi",
    }
    assert rows[str(scene)]["scene"] == "a scene"
    for path, row in rows.items():
        assert row["sha256"] == sha256(Path(path)) and row["bytes"] == Path(path).stat().st_size


def test_a_product_is_told_file_by_file(told: Told, tmp_path: Path) -> None:
    product = make_liss4(tmp_path / "product")
    found = told(product)
    files = [path for path in product.rglob("*") if path.is_file()]
    assert {row["path"]: row["sha256"] for row in found["inputs"]} == {str(path): sha256(path) for path in files}
    assert {(row["role"], row["scene"]) for row in found["inputs"]} == {("scene", "product")}


def test_models_are_told_by_checksum_whether_trained_or_given(told: Told, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif")
    trained = told(scene)["models"]
    assert trained == [
        {
            "name": "kmeans",
            "file": "models/kmeans.safetensors",
            "sha256": sha256(tmp_path / "out/models/kmeans.safetensors"),
        }
    ]
    given = tmp_path / "given.safetensors"
    tiny_model(stride=4, units="reflectance", centre=(0.1, 0.1, 0.2), spread=(0.1, 0.1, 0.2)).save(given)
    found = told(scene, models={"kmeans": given})
    assert found["models"] == [{"name": "kmeans", "file": str(given), "sha256": sha256(given)}]
    (row,) = [row for row in found["inputs"] if row["role"] == "model"]
    assert (row["path"], row["model"], row["sha256"]) == (str(given), "kmeans", sha256(given))


def test_software_and_configuration_are_told(told: Told, tmp_path: Path) -> None:
    found = told(write_scene(tmp_path / "scene.tif"))
    software = found["software"]
    assert software["rsseg"] == rsseg.__version__ and software["gdal"] == rasterio.__gdal_version__
    assert set(software) == {"rsseg", "python", "numpy", "torch", "rasterio", "gdal", "proj"}
    assert all(isinstance(value, str) and value[0].isdigit() for value in software.values())
    assert found["configuration"] == {"file": "run.yaml", "sha256": sha256(tmp_path / "out" / "run.yaml")}


def test_no_file_is_read_twice_for_it(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, reference = write_scene(tmp_path / "scene.tif"), write_reference(tmp_path / "reference.gpkg")
    read: list[Path] = []
    original = cache.digest

    def counted(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(cache, "digest", counted)
    first = told(scene, references=[reference], reference_field="class")
    assert len(read) == len(set(read)) and scene in read
    read.clear()
    again = told(scene, references=[reference], reference_field="class")
    assert read == [] and again["inputs"] == first["inputs"] and again["models"] == first["models"]


# what single commands write


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A label map whose file's name is no friend of any format, of a model and a scene with such names."""
    grid = grid_for((32, 32))
    tags = {"software": "rsseg 0", "model": "abc", "scene": HOSTILE, "other": "not told"}
    values = np.repeat(np.array([1, 2], np.uint8), 16)[None, :].repeat(32, axis=0)
    folder = tmp_path / "maps"
    folder.mkdir()
    path = folder / NAME
    with LabelMapWriter(path, grid, [LabelClass(1, "a", "#ff0000"), LabelClass(2, "b", "#00ff00")], tags=tags) as file:
        file.write(values, grid.window)
    return path


HOSTILE = "<script>alert(1)</script> \"'; नदी \x07 " + "x" * 600
NAME = "<b>;'\" नदी\n.tif"


def check_made_from(told: dict[str, Any], labels: Path) -> None:
    assert told["software"] == f"rsseg {rsseg.__version__}"
    (row,) = told["maps"]
    assert row["file"] == NAME and row["sha256"] == sha256(labels)
    assert set(row["tags"]) == {"software", "model", "scene"} and row["tags"]["model"] == "abc"
    assert row["tags"]["scene"].startswith("<script>alert(1)</script>") and len(row["tags"]["scene"]) <= 500


def test_an_evaluation_says_of_what(labels: Path, tmp_path: Path) -> None:
    reference = write_boxes(tmp_path / "reference.gpkg", grid_for((32, 32)), [(2, 2, 8, 8, "a"), (2, 20, 8, 8, "b")])
    evaluate(labels, reference, field="class", output=tmp_path / "out")
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())["provenance"]
    check_made_from(told, labels)
    assert told["reference"] == {"file": "reference.gpkg", "sha256": sha256(reference)}


def test_a_consensus_says_of_which_maps(labels: Path, tmp_path: Path) -> None:
    consensus([labels, labels], tmp_path / "out", names=["one", "two"])
    told = json.loads((tmp_path / "out" / "consensus.json").read_text())["provenance"]
    assert len(told["maps"]) == 2 and "reference" not in told
    check_made_from({**told, "maps": told["maps"][1:]}, labels)


@pytest.mark.parametrize("suffix", ["gpkg", "parquet", "fgb", "geojson"])
def test_polygons_say_of_which_map(labels: Path, tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / name / f"polygons.{suffix}" for name in ("first", "second")]
    for path in paths:
        vectorize(labels, path)
    if suffix == "parquet":
        text = pq.read_schema(paths[0]).metadata[b"rsseg"].decode()
        assert b"geo" in pq.read_schema(paths[0]).metadata
    else:
        found = pyogrio.read_info(paths[0], layer="polygons" if suffix == "gpkg" else None)["layer_metadata"]
        text = found["rsseg" if suffix == "gpkg" else "DESCRIPTION"]
    check_made_from(json.loads(text), labels)
    assert paths[0].read_bytes() == paths[1].read_bytes()
