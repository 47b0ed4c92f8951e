"""rsseg stac on small runs: items that validate, addresses that lead to files, and the same bytes for the same run."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import rasterio
import yaml
from labelmaps import grid_for, write_map
from products import LISS4_META_PLAIN, make_liss4
from scenes import write_scene

from rsseg.errors import InputError, UsageError
from rsseg.files import digest
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run
from rsseg.pipeline.stages.stac import stac
from rsseg.publish.palette import LabelClass
from rsseg.publish.stac import EXTENSIONS

Rsseg = Callable[..., tuple[int, str, str]]

KMEANS = {"method": "kmeans", "classes": 3, "starts": 2}
PIPELINE = {"models": {"a": KMEANS, "b": {**KMEANS, "classes": 4}}, "names": "spectra", "segment": {"confidence": True}}


def make_run(folder: Path, *scenes: Path) -> Path:
    (folder / "p.yaml").write_text(yaml.safe_dump(PIPELINE))
    run(str(folder / "p.yaml"), scenes, folder / "run", machine=Machine("cpu"))
    return folder / "run"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a raster whose name is awkward, without a time."""
    folder = tmp_path_factory.mktemp("stac")
    return make_run(folder, write_scene(folder / "a scene #1; वन.tif"), write_scene(folder / "other.tif", seed=3))


def read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="ascii"))
    assert isinstance(content, dict)
    return content


def items(catalog: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for link in read(catalog)["links"]:
        if link["rel"] == "item":
            path = catalog.parent / unquote(link["href"])
            yield path, read(path)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_structure(catalog: Path) -> None:
    """What the specification asks of every item, and that all addresses lead somewhere."""
    seen = set()
    for path, item in items(catalog):
        assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
        assert item["id"] not in seen
        seen.add(item["id"])
        assert ("bbox" in item) == (item["geometry"] is not None)
        times = item["properties"]
        assert times["datetime"] or (times["start_datetime"] and times["end_datetime"])
        for link in item["links"]:
            assert (path.parent / unquote(link["href"])).is_file()
        fields = [item["properties"], *item["assets"].values()]
        fields += [band for asset in item["assets"].values() for band in asset.get("bands", [])]
        prefixes = {key.split(":")[0] for found in fields for key in found if ":" in key} - {"rsseg"}
        assert {EXTENSIONS[prefix] for prefix in prefixes} == set(item["stac_extensions"])
        for asset in item["assets"].values():
            file = path.parent / unquote(asset["href"])
            assert not asset["href"].startswith("/")
            assert asset["file:size"] == file.stat().st_size
            assert asset["file:checksum"] == f"1220{digest(file)}"


def validate(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the core schemas of 1.1.0 that pystac ships; those of extensions would be fetched, which tests do not."""
    pystac = pytest.importorskip("pystac", reason="pystac is not installed")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    from pystac.validation import validate_dict

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("validation went to the network"))
    validate_dict(read(catalog), extensions=[])
    for _, item in items(catalog):
        validate_dict(item, extensions=[])
    broken = {**item, "properties": {**item["properties"], "datetime": None, "start_datetime": 3}}
    with pytest.raises(pystac.STACValidationError):
        validate_dict(broken, extensions=[])
    walked = list(pystac.Catalog.from_file(str(catalog)).get_items(recursive=True))
    assert len(walked) == len(list(items(catalog)))


class TestCatalogue:
    def test_it_is_valid_and_leads_to_every_file(
        self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = stac(made, made / "stac", overwrite=True)
        assert result.catalog == str(made / "stac" / "catalog.json")
        assert len(result.items) == 8 and result.undated == ["a scene #1; वन", "other"]
        check_structure(Path(result.catalog))
        validate(Path(result.catalog), monkeypatch)

    def test_a_map_says_what_a_gis_needs(self, made: Path) -> None:
        result = stac(made, made / "stac", overwrite=True)
        item = read(Path(result.items["other_a"]))
        labels = item["assets"]["labels"]
        assert labels["type"] == "image/tiff; application=geotiff; profile=cloud-optimized"
        assert labels["roles"][0] == "data" and labels["proj:shape"] == [48, 64]
        assert labels["proj:transform"] == [5, 0, 600000, 0, -5, 2500000]
        assert item["properties"]["proj:code"] == "EPSG:32645" and item["properties"]["gsd"] == 5
        assert {entry["value"] for entry in labels["classification:classes"]} >= {0, 1, 2, 3}
        assert labels["bands"] == [{"name": "labels", "data_type": "uint8", "nodata": 0}]
        confidence = item["assets"]["confidence"]["bands"][0]
        assert confidence["raster:scale"] == pytest.approx(1 / 254) and confidence["nodata"] == 255
        assert {"labels", "confidence", "legend", "style", "table", "thumbnail"} <= set(item["assets"])
        derived = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
        path = Path(result.items["other_a"])
        assert [(path.parent / href).resolve() for href in derived] == [
            Path(result.items[id]).resolve() for id in ("other", "a")
        ]
        scene = read(Path(result.items["other"]))
        bands = [band["eo:common_name"] for band in scene["assets"]["image"]["bands"]]
        assert bands == ["green", "red", "nir"]

    def test_a_model_says_what_it_takes_and_gives(self, made: Path) -> None:
        item = read(Path(stac(made, made / "stac", overwrite=True).items["b"]))
        properties = item["properties"]
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", properties["mlm:name"])
        assert properties["mlm:tasks"] == ["semantic-segmentation"]
        (given,), (found,) = properties["mlm:input"], properties["mlm:output"]
        assert given["bands"] == [band["name"] for band in properties["bands"]] == ["green", "red", "nir"]
        assert given["input"]["shape"][1] == 3 and given["input"]["dim_order"][1] == "bands"
        assert found["result"]["shape"] == [-1, 4] and found["result"]["dim_order"] == ["batch", "class"]
        assert item["assets"]["model"]["mlm:artifact_type"] and "mlm:model" in item["assets"]["model"]["roles"]
        assert item["geometry"]["type"] == "Polygon"  # both scenes lie at one place

    def test_equal_runs_give_equal_bytes(self, made: Path) -> None:
        stac(made, made / "stac", overwrite=True)
        first = tree(made / "stac")
        stac(made, made / "stac", overwrite=True)
        assert tree(made / "stac") == first

    def test_elsewhere(self, made: Path, tmp_path: Path) -> None:
        result = stac(made, tmp_path / "far" / "catalogue")
        check_structure(Path(result.catalog))

    def test_a_product_says_when_it_was_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        product = make_liss4(tmp_path / "p", meta=LISS4_META_PLAIN, shape=(40, 50))
        result = stac(make_run(tmp_path, product))
        check_structure(Path(result.catalog))
        validate(Path(result.catalog), monkeypatch)
        scene = read(Path(result.items["p"]))
        properties = scene["properties"]
        assert properties["datetime"] == "2018-10-02T02:28:28.043361Z" and result.undated == []
        assert read(Path(result.items["p_a"]))["properties"]["datetime"] == properties["datetime"]
        assert properties["instruments"] == ["liss-iv"] and properties["platform"] == "irs-r2"
        assert properties["view:sun_elevation"] == pytest.approx(69.402093)
        toa = scene["assets"]["toa"]
        assert toa["type"] == "image/tiff; application=geotiff"
        assert toa["bands"][0]["raster:scale"] == pytest.approx(1e-4) and toa["bands"][0]["nodata"] == 65535

    def test_a_run_without_crs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        result = stac(make_run(tmp_path, write_scene(tmp_path / "bare.tif", crs=None)))
        check_structure(Path(result.catalog))
        validate(Path(result.catalog), monkeypatch)
        item = read(Path(result.items["bare_a"]))
        assert item["geometry"] is None and item["properties"]["proj:code"] is None
        assert item["assets"]["labels"]["proj:shape"] == [48, 64]

    def test_a_scene_that_is_gone_still_has_an_item(self, tmp_path: Path) -> None:
        scene = write_scene(tmp_path / "scene.tif")
        folder = make_run(tmp_path, scene)
        scene.unlink()
        item = read(Path(stac(folder).items["scene"]))
        assert item["geometry"] is not None and "image" not in item["assets"]

    def test_hostile_names_of_classes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = make_run(tmp_path, write_scene(tmp_path / "scene.tif"))
        names = ["<script>alert(1)</script>", "a; \"b\"\n'c'", "x" * 300]
        path = folder / "scene" / "labels" / "a.tif"
        with rasterio.open(path) as file:
            labels = file.read(1)
        for old in (path, path.with_name("a.tif.aux.xml"), path.with_name("a.qml")):
            old.unlink()
        classes = [LabelClass(value, name, "#1f78b4") for value, name in enumerate(names, 1)]
        write_map(path, labels, grid=grid_for(labels.shape), classes=classes)
        result = stac(folder)
        validate(Path(result.catalog), monkeypatch)
        found = read(Path(result.items["scene_a"]))["assets"]["labels"]["classification:classes"]
        assert [entry["title"].split() for entry in found[1:]] == [name.split() for name in names]


class TestCommand:
    def test_it_says_where_and_what_is_not_dated(self, made: Path, tmp_path: Path, rsseg: Rsseg) -> None:
        code, out, err = rsseg("stac", made, "-o", tmp_path / "s", "-q")
        assert (code, err) == (0, "")
        assert "8 items" in out and "--datetime" in out
        words = ("stac", made, "-o", tmp_path / "t", "--datetime", "2014-10-22T04:37:48Z", "--json", "-q")
        code, out, _ = rsseg(*words)
        answer = json.loads(out)
        assert code == 0 and answer["undated"] == []
        assert read(Path(answer["items"]["other"]))["properties"]["datetime"] == "2014-10-22T04:37:48Z"

    def test_refusals(self, made: Path, tmp_path: Path, rsseg: Rsseg) -> None:
        stac(made, tmp_path / "s")
        code, _, err = rsseg("stac", made, "-o", tmp_path / "s")
        assert code == 2 and "--overwrite" in err
        code, _, err = rsseg("stac", made, "-o", made, "--overwrite")
        assert code == 2 and "choose another" in err
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "file").write_text("mine")
        with pytest.raises(UsageError, match="other files"):
            stac(made, tmp_path / "other", overwrite=True)
        with pytest.raises(UsageError, match="is no time"):
            stac(made, tmp_path / "x", time="yesterday")
        with pytest.raises(InputError, match="is no run of rsseg"):
            stac(tmp_path / "other")
