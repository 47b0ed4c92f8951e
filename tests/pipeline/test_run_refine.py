"""Runs whose maps are refined, and the vote of more than two models beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from scenes import write_reference, write_scene

from rsseg.errors import UsageError
from rsseg.label.refine_settings import WAYS
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.refine import refine
from rsseg.pipeline.stages.run import RunResult, run

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")

KMEANS = {"method": "kmeans", "classes": 3, "starts": 1}
THREE = {name: {**KMEANS, "seed": seed, "classes": 3 + seed} for seed, name in enumerate(("a", "b", "c"))}


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def go(tmp_path: Path, scene: Path, models: dict[str, Any] | None = None, **given: Any) -> RunResult:
    options = {key: given.pop(key) for key in ("references", "reference_field", "dry_run") if key in given}
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"models": models or {"kmeans": KMEANS}, "pictures": False, **given}))
    return run(str(path), [scene], tmp_path / "out", machine=Machine("cpu"), **options)


def read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as opened:
        found: NDArray[np.uint8] = opened.read(1)
        return found


def ran(result: RunResult) -> list[str]:
    return [stage["stage"] for stage in result.stages if stage["state"] == "ran"]


@pytest.mark.parametrize("method", WAYS)
def test_a_pipeline_refines_every_map(tmp_path: Path, scene: Path, method: str) -> None:
    result = go(tmp_path, scene, segment={"refine": method})
    out = tmp_path / "out" / "scene"
    assert ran(result) == ["train kmeans", "segment scene kmeans", "refine scene kmeans"]
    refine(out / "unrefined" / "kmeans.tif", scene, tmp_path / "alone.tif", WAYS[method]())
    assert np.array_equal(read(out / "labels" / "kmeans.tif"), read(tmp_path / "alone.tif"))
    assert result.outputs["labels"] == [str(out / "labels" / "kmeans.tif")]
    assert read(out / "confidence" / "kmeans.tif").shape == read(out / "labels" / "kmeans.tif").shape
    assert ran(go(tmp_path, scene, segment={"refine": method})) == []


def test_a_refinement_has_settings(tmp_path: Path, scene: Path) -> None:
    go(tmp_path, scene, segment={"refine": {"method": "spectrum", "radius": 1}})
    with rasterio.open(tmp_path / "out" / "scene" / "labels" / "kmeans.tif") as opened:
        assert (opened.tags()["refined_by"], opened.tags()["refine_radius"]) == ("spectrum", "1")
    assert ran(go(tmp_path, scene, segment={"refine": {"method": "spectrum"}})) == ["refine scene kmeans"]


def test_another_refinement_labels_nothing_anew(tmp_path: Path, scene: Path) -> None:
    go(tmp_path, scene, segment={"refine": "edges"})
    assert ran(go(tmp_path, scene, segment={"refine": "superpixels"})) == ["refine scene kmeans"]
    again = ran(go(tmp_path, scene, segment={"refine": "none"}))
    assert again == ["segment scene kmeans"]
    plain = go(tmp_path, scene)
    assert ran(plain) == [] and "refine" not in plain.outputs


def test_clusters_are_refined_before_they_are_merged(tmp_path: Path, scene: Path) -> None:
    model = {**KMEANS, "classes": 8, "merge_to": 3}
    result = go(tmp_path, scene, {"kmeans": model}, segment={"refine": "edges"})
    assert ran(result) == [f"{stage} kmeans" for stage in ("train", "segment scene", "refine scene", "merge scene")]
    out = tmp_path / "out" / "scene"
    counts = [len(np.unique(read(out / name / "kmeans.tif"))) for name in ("unrefined", "clusters", "labels")]
    assert counts[0] == 9 >= counts[1] > counts[2] == 4
    assert not np.array_equal(read(out / "unrefined" / "kmeans.tif"), read(out / "clusters" / "kmeans.tif"))


def test_refining_needs_pixels_and_a_known_way(tmp_path: Path, scene: Path) -> None:
    with pytest.raises(UsageError, match="refine needs a map of pixels"):
        go(tmp_path, scene, segment={"refine": "edges", "resolution": "patch"})
    for wrong in ("smooth", {"method": "superpixels", "passes": 2}, {"method": "smooth"}, {"radius": 2}):
        with pytest.raises(UsageError, match="refine"):
            go(tmp_path, scene, segment={"refine": wrong})


def test_the_vote_of_three_models_is_scored_beside_them(tmp_path: Path, scene: Path) -> None:
    reference = write_reference(tmp_path / "reference.gpkg")
    result = go(tmp_path, scene, THREE, references=[reference], reference_field="class")
    out = tmp_path / "out" / "scene"
    assert [row["model"] for row in result.scores] == ["a", "b", "c", "vote"]
    told = json.loads((out / "evaluation" / "vote" / "evaluation.json").read_text())
    assert told["assignments"]["one-to-one"]["overall_accuracy"] > 0.9
    assert np.array_equal(read(out / "consensus" / "vote.tif") == 0, read(out / "labels" / "a.tif") == 0)
    with rasterio.open(out / "consensus" / "vote.tif") as opened:
        assert opened.tags()["pivot"] == "a" and opened.tags()["maps"] == "a, b, c"
    assert ran(go(tmp_path, scene, THREE, references=[reference], reference_field="class")) == []


def test_two_models_have_no_vote(tmp_path: Path, scene: Path) -> None:
    reference = write_reference(tmp_path / "reference.gpkg")
    two = {"a": THREE["a"], "vote": THREE["b"]}
    result = go(tmp_path, scene, two, references=[reference], reference_field="class")
    assert [row["model"] for row in result.scores] == ["a", "vote"]
    assert not (tmp_path / "out" / "scene" / "consensus" / "vote.tif").exists()


def test_without_consensus_there_is_no_vote(tmp_path: Path, scene: Path) -> None:
    result = go(tmp_path, scene, THREE, consensus=False, references=[write_reference(tmp_path / "reference.gpkg")],
                reference_field="class", dry_run=True)  # fmt: skip
    assert not [stage for stage in result.stages if "vote" in stage["stage"] or "consensus" in stage["stage"]]


def test_a_model_called_vote_is_refused_where_maps_vote(tmp_path: Path, scene: Path) -> None:
    models = {"vote": THREE["a"], "b": THREE["b"], "c": THREE["c"]}
    with pytest.raises(UsageError, match="rename the model"):
        go(tmp_path, scene, models)
    assert go(tmp_path, scene, models, consensus=False, dry_run=True).stages
