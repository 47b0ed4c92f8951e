"""Models that carry a legend: their maps are of its classes."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import Run
from safetensors.torch import load_file
from scenes import NAMES, write_reference, write_scene
from tiny import tiny_model

from rsseg.errors import InputError
from rsseg.label.maps import LabelMap
from rsseg.learn.model import load_model
from rsseg.pipeline.class_names import is_model, naming_of
from rsseg.pipeline.stages.legend import legend
from rsseg.pipeline.stages.relabel import relabel
from rsseg.pipeline.stages.relabel_model import name_model
from rsseg.pipeline.stages.segment import segment
from rsseg.publish.class_colours import class_colours


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, its reference, k-means of six clusters, their map, its legend, and a scene of elsewhere."""
    from rsseg.cli import main

    folder = tmp_path_factory.mktemp("named")
    scene, model = write_scene(folder / "scene.tif", 96, 64), folder / "model.safetensors"
    write_scene(folder / "other.tif", 80, 48, seed=9)
    write_reference(folder / "r.gpkg", 96, 64)
    with pytest.raises(SystemExit):
        main(["train", "kmeans", str(scene), "-o", str(model), "--classes", "6", "-q"])
    segment(scene, model, folder / "clusters.tif")
    legend(folder / "clusters.tif", folder / "l.yaml", reference=folder / "r.gpkg", field="class")
    return folder


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as opened:
        return np.asarray(opened.read(1))


def test_a_named_model_labels_as_relabelling_its_map_does(work: Path, tmp_path: Path, rsseg: Run) -> None:
    named = tmp_path / "named.safetensors"
    code, text, err = rsseg("relabel", work / "model.safetensors", "--legend", work / "l.yaml", "-o", named)
    assert (code, err) == (0, "") and "6 clusters are 3 classes" in text and f"--model {named}" in text
    code, text, err = rsseg("segment", work / "other.tif", "--model", named, "-o", tmp_path / "direct.tif")
    assert (code, err) == (0, "") and all(name in text for name in NAMES)
    segment(work / "other.tif", work / "model.safetensors", tmp_path / "clusters.tif")
    relabel(tmp_path / "clusters.tif", work / "l.yaml", tmp_path / "two.tif")
    assert np.array_equal(pixels(tmp_path / "direct.tif"), pixels(tmp_path / "two.tif"))
    assert set(np.unique(pixels(tmp_path / "direct.tif"))) == {0, 1, 2, 3}
    with LabelMap(tmp_path / "direct.tif") as one, LabelMap(tmp_path / "two.tif") as other:
        assert one.names == other.names and one.colours == other.colours
    for name in (".qml", ".tif.aux.xml"):
        assert (tmp_path / f"direct{name}").read_bytes() == (tmp_path / f"two{name}").read_bytes()


def test_the_model_stays_the_same_one(work: Path, tmp_path: Path) -> None:
    before = load_model(work / "model.safetensors")
    result = name_model(work / "model.safetensors", work / "l.yaml", tmp_path / "n.safetensors")
    after = load_model(tmp_path / "n.safetensors")
    assert result.model == before.identity == after.identity and before.legend is None and after.legend is not None
    assert after.provenance == before.provenance and after.inference == before.inference
    tensors = [load_file(path) for path in (work / "model.safetensors", tmp_path / "n.safetensors")]
    assert all(np.array_equal(tensors[0][key].numpy(), tensors[1][key].numpy()) for key in tensors[0])
    again = name_model(tmp_path / "n.safetensors", work / "l.yaml", tmp_path / "again.safetensors")
    assert again.classes == result.classes == {1: "town", 2: "vegetation", 3: "water"}
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "n.safetensors").read_bytes()


def test_clusters_ignores_the_legend(work: Path, tmp_path: Path, rsseg: Run) -> None:
    name_model(work / "model.safetensors", work / "l.yaml", tmp_path / "n.safetensors")
    words = ("segment", work / "scene.tif", "--model", tmp_path / "n.safetensors", "-o", tmp_path / "c.tif")
    code, text, _ = rsseg(*words, "--clusters", "--json")
    assert code == 0 and json.loads(text)["classes"]["6"] == "cluster 6"
    assert (tmp_path / "c.tif").read_bytes() == (work / "clusters.tif").read_bytes()


def test_tags_tell_of_the_legend(work: Path, tmp_path: Path) -> None:
    name_model(work / "model.safetensors", work / "l.yaml", tmp_path / "n.safetensors")
    segment(work / "scene.tif", tmp_path / "n.safetensors", tmp_path / "m.tif")
    with rasterio.open(tmp_path / "m.tif") as one, rasterio.open(work / "clusters.tif") as other:
        tags = one.tags()
        assert tags["model"] == other.tags()["model"] and "legend" not in other.tags()
    assert tags["legend_by"] == "reference" and tags["legend"].startswith("of the model, ")
    (tmp_path / "l.yaml").write_text((work / "l.yaml").read_text().replace("name: town", "name: city"))
    name_model(work / "model.safetensors", tmp_path / "l.yaml", tmp_path / "o.safetensors")
    segment(work / "scene.tif", tmp_path / "o.safetensors", tmp_path / "o.tif")
    with rasterio.open(tmp_path / "o.tif") as opened:
        assert opened.tags()["legend"] != tags["legend"]


def test_confidence_is_the_clusters_own(work: Path, tmp_path: Path) -> None:
    tiny_model(patch=8, stride=4, units="reflectance", centre=(0.1, 0.1, 0.2), spread=(0.1, 0.1, 0.2)).save(
        tmp_path / "m.safetensors"
    )
    (tmp_path / "l.yaml").write_text("classes:\n- {value: 9, name: all, clusters: [1, 2, 3, 4, 5]}\n")
    name_model(tmp_path / "m.safetensors", tmp_path / "l.yaml", tmp_path / "n.safetensors")
    for name in "mn":
        segment(
            work / "scene.tif",
            tmp_path / f"{name}.safetensors",
            tmp_path / f"{name}.tif",
            confidence=tmp_path / f"{name}-sure.tif",
        )
    assert np.array_equal(pixels(tmp_path / "m-sure.tif"), pixels(tmp_path / "n-sure.tif"))
    assert set(np.unique(pixels(tmp_path / "n.tif"))) == {0, 9} and len(np.unique(pixels(tmp_path / "m.tif"))) > 2


def test_clusters_that_a_legend_lacks_are_unknown_classes(work: Path, tmp_path: Path, rsseg: Run) -> None:
    lacking = tmp_path / "l.yaml"
    lacking.write_text(
        "classes:\n- {value: 1, name: a, clusters: [1, 3, 60]}\n- {value: 3, name: cluster 4, clusters: [5]}"
    )
    out = tmp_path / "n.safetensors"
    code, text, _ = rsseg("relabel", work / "model.safetensors", "--legend", lacking, "-o", out)
    assert code == 0 and "no class for cluster 2, 4, 6" in text
    found = naming_of(load_model(out), out)
    assert {item.value: item.name for item in found.classes} == {
        **{1: "a", 3: "cluster 4"},
        **{2: "cluster 2", 4: "cluster 4 (4)", 5: "cluster 6"},
    }
    assert found.table[:7].tolist() == [0, 1, 2, 1, 4, 3, 5]


def test_a_damaged_legend_in_a_model_is_refused(work: Path, tmp_path: Path) -> None:
    lacking, out = tmp_path / "l.yaml", tmp_path / "n.safetensors"
    lacking.write_text("classes:\n- {value: 1, name: a, clusters: [1, 3, 5, 60]}\n")
    model = load_model(work / "model.safetensors")
    model.legend = lacking.read_text()
    with pytest.raises(InputError, match="cluster 2, 4, 6"):
        naming_of(model, out)
    model.legend = "classes: ["
    with pytest.raises(InputError, match=r"the legend in .*n\.safetensors, line 1"):
        naming_of(model, out)
    assert len(naming_of(model, out, clusters=True).classes) == 6


def test_what_cannot_be_named_says_why(work: Path, tmp_path: Path, rsseg: Run) -> None:
    (tmp_path / "text.safetensors").write_text("no model")
    model, chosen, out = work / "model.safetensors", work / "l.yaml", tmp_path / "n.safetensors"
    cases = [
        ((model, "--legend", chosen, "-o", tmp_path / "n.tif"), 2, "end it in .safetensors"),
        ((model, "--legend", chosen, "-o", model), 2, "exists"),
        ((model, "--legend", chosen, "-o", model, "--overwrite"), 2, "input"),
        ((model, "--legend", tmp_path / "no.yaml", "-o", out), 1, "rsseg legend makes one"),
        ((tmp_path / "text.safetensors", "--legend", chosen, "-o", out), 1, "is not a model"),
        ((tmp_path / "absent.safetensors", "--legend", chosen, "-o", out), 1, "there is no model"),
    ]
    for words, expected, message in cases:
        code, _, err = rsseg("relabel", *words)
        assert (code, message in err, err.count("\n")) == (expected, True, 1), err
    assert not out.exists()


def test_models_are_known_by_what_is_in_them(work: Path, tmp_path: Path) -> None:
    plain = tmp_path / "model"
    plain.write_bytes((work / "model.safetensors").read_bytes())
    assert is_model(plain) and not is_model(work / "scene.tif") and not is_model(work / "l.yaml")
    assert not is_model(tmp_path / "absent") and is_model(tmp_path / "absent.safetensors")
    result = name_model(plain, work / "l.yaml", tmp_path / "n.safetensors")
    assert result.clusters == 6


def test_classes_that_a_model_learned_have_the_colours_of_their_names() -> None:
    model = tiny_model(classes=3)
    model.provenance = {"classes": ["water", "cluster 2", "zone \ud800"]}
    found = naming_of(model, Path("m.safetensors"))
    assert [item.name for item in found.classes] == ["water", "cluster 2", "zone \N{REPLACEMENT CHARACTER}"]
    assert {item.value: item.colour for item in found.classes} == class_colours(
        {item.value: item.name for item in found.classes}
    )
    assert np.array_equal(found.table, np.arange(256))
