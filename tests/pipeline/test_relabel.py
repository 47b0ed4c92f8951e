import json
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from labelmaps import Run, grid_for, write_map, write_plain
from rio_cogeo.cogeo import cog_validate
from scenes import fields, write_reference, write_scene

from rsseg.label.legend_file import legend_path, read_legend
from rsseg.label.maps import LabelMap
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.pipeline.stages.legend import legend
from rsseg.pipeline.stages.relabel import merge, relabel
from rsseg.publish.class_colours import class_colours

SHAPE = (600, 64)
"""Higher than a strip."""

EDITED = """
classes:
  - {value: 4, name: Forêt, colour: "#117733", clusters: [3, 1]}
  - {value: 1, name: eau, clusters: [2]}
  - {value: 9, name: rien, clusters: [77]}
"""


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as opened:
        return np.asarray(opened.read(1))


@pytest.fixture
def labels() -> np.ndarray:
    """Three clusters and no data."""
    values = (1 + fields(*SHAPE)).astype(np.uint8)
    values[590:, 10:] = 0
    return values


def test_a_legend_made_by_hand_makes_the_map(tmp_path: Path, labels: np.ndarray, rsseg: Run) -> None:
    path, out = write_map(tmp_path / "map.tif", labels), tmp_path / "classes.tif"
    (tmp_path / "my.yaml").write_text(EDITED, encoding="utf-8")
    code, text, err = rsseg("relabel", path, "--legend", tmp_path / "my.yaml", "-o", out)
    assert (code, err) == (0, "") and "Forêt" in text and "540 without data" in text
    assert np.array_equal(read(out), np.array([0, 4, 1, 4], np.uint8)[labels])
    with LabelMap(out) as opened:
        assert (opened.names[4], opened.names[1], opened.names[9]) == ("Forêt", "eau", "rien")
        assert opened.colours[4] == "#117733" and opened.colours[1] == class_colours({1: "eau"})[1]
        assert opened.grid == grid_for(SHAPE)
    valid, problems, _ = cog_validate(out, strict=True)
    assert valid and not problems
    styled = [item.get("label") for item in ET.parse(tmp_path / "classes.qml").iter("paletteEntry")]
    assert styled == ["eau", "Forêt"]
    with rasterio.open(out) as opened:
        assert opened.tags()["clusters_from"] == "map.tif" and opened.tags()["legend"] == "my.yaml"
        assert opened.nodata == 0 and opened.descriptions == ("labels",)


def test_what_the_map_says_of_its_making_is_kept(tmp_path: Path, labels: np.ndarray) -> None:
    from rsseg.publish.labels import LabelMapWriter, default_classes

    path = tmp_path / "map.tif"
    with LabelMapWriter(path, grid_for(SHAPE), default_classes(3), tags={"scene": "january", "model": "abc"}) as writer:
        writer.write(labels, grid_for(SHAPE).window)
    (tmp_path / "my.yaml").write_text(EDITED, encoding="utf-8")
    relabel(path, tmp_path / "my.yaml", tmp_path / "out.tif")
    with rasterio.open(tmp_path / "out.tif") as opened:
        assert opened.tags()["scene"] == "january" and opened.tags()["model"] == "abc"


def test_an_identity_legend_changes_no_pixel(tmp_path: Path, labels: np.ndarray) -> None:
    path = write_map(tmp_path / "map.tif", labels)
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    made = legend(path, tmp_path / "l.yaml", scene=scene, classes=3)
    result = relabel(path, tmp_path / "l.yaml", tmp_path / "out.tif")
    back = np.zeros(256, np.uint8)
    for item in made.classes:
        back[item.value] = item.clusters[0]
    assert np.array_equal(back[read(tmp_path / "out.tif")], labels)
    assert sum(result.pixels.values()) + result.nodata == labels.size and result.nodata == (labels == 0).sum()


def test_a_hundred_clusters_keep_their_many_to_one_accuracy(tmp_path: Path, rsseg: Run) -> None:
    rng = np.random.default_rng(8)
    kinds = np.where(rng.random(SHAPE) < 0.8, fields(*SHAPE), rng.integers(0, 3, SHAPE))
    labels = (1 + kinds + 3 * rng.integers(0, 34, SHAPE)).clip(max=100).astype(np.uint8)
    assert len(np.unique(labels)) == 100
    path = write_map(tmp_path / "map.tif", labels)
    reference = write_reference(tmp_path / "r.gpkg", *SHAPE)
    polygons = ("--reference", reference, "--field", "class")
    assert rsseg("legend", path, *polygons, "-o", tmp_path / "l.yaml")[0] == 0
    assert rsseg("relabel", path, "--legend", tmp_path / "l.yaml", "-o", tmp_path / "out.tif")[0] == 0
    before = evaluate(path, reference, field="class").confusions["many-to-one"]
    after = evaluate(tmp_path / "out.tif", reference, field="class").confusions
    assert 0.5 < before.overall_accuracy < 0.95
    assert after["many-to-one"].overall_accuracy == before.overall_accuracy
    assert after["one-to-one"].overall_accuracy == before.overall_accuracy
    assert np.array_equal(after["many-to-one"].matrix, before.matrix)


def test_a_cluster_without_a_class_is_refused(tmp_path: Path, labels: np.ndarray, rsseg: Run) -> None:
    labels[595, :4] = 5, 6, 5, 9  # only in the second strip
    path = write_map(tmp_path / "map.tif", labels)
    (tmp_path / "my.yaml").write_text(EDITED, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    code, _, err = rsseg("relabel", path, "--legend", tmp_path / "my.yaml", "-o", tmp_path / "out.tif")
    assert code == 1 and "my.yaml has no class for cluster 5, 6, 9 of the map" in err
    assert sorted(tmp_path.iterdir()) == before


def test_maps_of_other_programs_are_relabelled(tmp_path: Path, labels: np.ndarray) -> None:
    values = np.where(labels == 0, np.int16(-1), labels)
    path = write_plain(tmp_path / "map.tif", values, grid_for(SHAPE, crs=None), nodata=-1)
    (tmp_path / "my.yaml").write_text(EDITED, encoding="utf-8")
    relabel(path, tmp_path / "my.yaml", tmp_path / "out.tif")
    assert np.array_equal(read(tmp_path / "out.tif"), np.array([0, 4, 1, 4], np.uint8)[labels])


def test_outputs_are_replaced_on_request_and_never_inputs(tmp_path: Path, labels: np.ndarray, rsseg: Run) -> None:
    path, out = write_map(tmp_path / "map.tif", labels), tmp_path / "out.tif"
    chosen = tmp_path / "my.yaml"
    chosen.write_text(EDITED, encoding="utf-8")
    words = ("relabel", path, "--legend", chosen, "-o")
    code, text, _ = rsseg(*words, out, "--json")
    assert code == 0 and json.loads(text)["classes"] == {"4": "Forêt", "1": "eau", "9": "rien"}
    first = out.read_bytes()
    assert rsseg(*words, out)[0] == 2
    assert rsseg(*words, out, "--overwrite")[0] == 0 and out.read_bytes() == first
    code, _, err = rsseg(*words, path, "--overwrite")
    assert code == 2 and "input" in err and np.array_equal(read(path), labels)
    code, _, err = rsseg("relabel", path, "--legend", tmp_path / "absent.yaml", "-o", tmp_path / "o.tif")
    assert code == 1 and "rsseg legend makes one" in err
    assert not (tmp_path / "o.tif").exists()


def test_merge_reduces_a_map_and_leaves_its_legend(tmp_path: Path, labels: np.ndarray) -> None:
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    many = np.where(labels > 0, labels + 3 * np.random.default_rng(1).integers(0, 30, SHAPE), 0).astype(np.uint8)
    path, out = write_map(tmp_path / "map.tif", many), tmp_path / "few" / "recal.tif"
    result = merge(path, scene, out, 3, bands=["nir", "red"])
    found = read(out)
    assert np.array_equal(found == 0, labels == 0)
    pairs = set(zip(found.ravel().tolist(), labels.ravel().tolist(), strict=True))
    assert len(pairs) == 4 and result.pixels == {v: int((found == v).sum()) for v in (1, 2, 3)}
    assert legend_path(out) == out.with_name("recal.legend.yaml") and result.legend == str(legend_path(out))
    written = read_legend(legend_path(out))
    assert written.made["bands"] == "nir, red" and np.array_equal(written.table[many], found)
    assert sorted(item.name for item in out.parent.iterdir()) == [
        *("recal.legend.yaml", "recal.qml", "recal.tif", "recal.tif.aux.xml")
    ]


def test_merge_keeps_the_clusters_of_a_map_that_has_fewer(tmp_path: Path, labels: np.ndarray) -> None:
    scene = write_scene(tmp_path / "scene.tif", *SHAPE)
    result = merge(write_map(tmp_path / "map.tif", labels), scene, tmp_path / "out.tif", 10)
    assert len(result.pixels) == len(result.classes) == 3


def test_merge_that_fails_leaves_nothing(tmp_path: Path, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from rsseg.errors import GridError, UsageError
    from rsseg.publish import labels as writer_module

    path, scene = write_map(tmp_path / "map.tif", labels), write_scene(tmp_path / "scene.tif", *SHAPE)
    other = write_scene(tmp_path / "other.tif", 48, 48)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(GridError, match="another grid"):
        merge(path, other, tmp_path / "out.tif", 2)
    with pytest.raises(UsageError, match="input"):
        merge(path, scene, scene, 2, overwrite=True)
    with pytest.raises(UsageError, match="1 to 255"):
        merge(path, scene, tmp_path / "out.tif", 0)

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writer_module, "write_cog", full)
    with pytest.raises(OSError, match="disk full"):
        merge(path, scene, tmp_path / "out.tif", 2)
    assert sorted(tmp_path.iterdir()) == before
