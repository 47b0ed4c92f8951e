"""A whole run on small scenes, with a thin network: what it writes, what it skips, and what it refuses."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from scenes import write_reference, write_scene
from tiny import thin_vgg

from rsseg.errors import GridError, InputError, ModelError, UsageError
from rsseg.learn.methods.recal import RecalPhase
from rsseg.pipeline.configuration import load_pipeline
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import RunResult, run

pytestmark = [
    pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning"),
]

RECAL = {"method": "recal", "classes": 4, "patch": 8, "stride": 4, "epochs": 1, "batch": 32, "learning_rate": 0.02}
KMEANS = {"method": "kmeans", "classes": 3, "starts": 2}
PIPELINE = {"models": {"recal": RECAL, "kmeans": KMEANS}, "pictures": False}


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch):
        yield


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "a scene.tif")


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_reference(tmp_path / "reference.gpkg")


Go = Callable[..., RunResult]


@pytest.fixture
def go(tmp_path: Path, scene: Path) -> Go:
    def start(content: dict[str, Any] | None = None, folder: str = "out", **options: Any) -> RunResult:
        path = tmp_path / "pipeline.yaml"
        path.write_text(yaml.safe_dump(PIPELINE if content is None else content, sort_keys=False))
        scenes = options.pop("scenes", [scene])
        return run(str(path), scenes, tmp_path / folder, **{"machine": Machine("cpu"), **options})

    return start


def ran(result: RunResult) -> list[str]:
    return [stage["stage"] for stage in result.stages if stage["state"] == "ran"]


def changed(model: str, **settings: Any) -> dict[str, Any]:
    models = {**PIPELINE["models"], model: {**PIPELINE["models"][model], **settings}}  # type: ignore[dict-item]
    return {**PIPELINE, "models": models}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a run by its place, but for what holds times and the cache."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    told = ("run.json", ".history.jsonl")
    return {name: content for name, content in found.items() if not (name.endswith(told) or ".rsseg" in name)}


ALL = [
    "train recal",
    "train kmeans",
    "segment a scene recal",
    "segment a scene kmeans",
    "consensus a scene",
    "evaluate a scene recal",
    "evaluate a scene kmeans",
]


def test_a_run_writes_all_outputs(go: Go, tmp_path: Path, reference: Path) -> None:
    result = go({**PIPELINE, "pictures": True}, references=[reference], reference_field="class")
    out = tmp_path / "out"
    for name in ("recal", "kmeans"):
        assert (out / "models" / f"{name}.safetensors").is_file()
        labels = out / "a scene" / "labels" / f"{name}.tif"
        assert labels.is_file() and labels.with_suffix(".qml").is_file()
        assert (out / "a scene" / "confidence" / f"{name}.tif").is_file()
        assert (out / "a scene" / "pictures" / f"{name}.png").is_file()
        assert (out / "a scene" / "evaluation" / name / "evaluation.json").is_file()
    assert (out / "a scene" / "pictures" / "scene.png").is_file()
    assert list((out / "a scene" / "consensus").iterdir())
    assert (out / "models" / "recal.history.jsonl").is_file()
    assert not list(out.rglob("*checkpoint*"))
    assert not list(out.rglob(".rsseg-*"))
    told = json.loads((out / "run.json").read_text())
    assert {stage["stage"] for stage in told["stages"]} >= set(ALL)
    assert told["scenes"][0]["units"] == "reflectance"
    scores = {row["model"]: row for row in result.scores}
    assert set(scores) == {"recal", "kmeans"} and {row["scene"] for row in result.scores} == {"a scene"}
    assert scores["kmeans"]["one-to-one"]["accuracy"] > 0.95


def test_label_maps_lie_on_the_scenes_grid(go: Go, tmp_path: Path, scene: Path) -> None:
    go()
    with rasterio.open(scene) as source, rasterio.open(tmp_path / "out" / "a scene" / "labels" / "recal.tif") as made:
        assert (made.shape, made.transform, made.crs) == (source.shape, source.transform, source.crs)
        labels = made.read(1)
        assert np.array_equal(labels == 0, source.read_masks(1) == 0)
        assert labels.max() <= 4


def test_a_second_run_does_nothing(go: Go, tmp_path: Path, reference: Path) -> None:
    options = {"references": [reference], "reference_field": "class"}
    assert ran(go(**options)) == ALL
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.*") if path.suffix != ".json"}
    result = go(**options)
    assert ran(result) == []
    assert len(result.scores) == 2
    for path, time in times.items():
        if path.name != "run.yaml":
            assert path.stat().st_mtime_ns == time, path


def test_another_setting_runs_its_stages_and_their_dependents_again(go: Go, reference: Path) -> None:
    options = {"references": [reference], "reference_field": "class"}
    go(**options)
    again = ran(go(changed("kmeans", classes=5), **options))
    assert again == ["train kmeans", "segment a scene kmeans", "consensus a scene", "evaluate a scene kmeans"]


def test_another_way_to_label_trains_nothing(go: Go) -> None:
    go()
    again = ran(go({**PIPELINE, "segment": {"stride": 8}}))
    # k-means labels pixels, whatever the stride; its configuration changed, its map did not
    assert again == ["segment a scene recal", "segment a scene kmeans", "consensus a scene"]


def test_machine_choices_run_nothing_again(go: Go) -> None:
    go()
    assert ran(go(machine=Machine("cpu", batch=64, memory=1 << 30))) == []


@pytest.mark.parametrize(
    ("place", "again"),
    [
        ("models/recal.safetensors", ["train recal"]),
        ("a scene/labels/kmeans.tif", ["segment a scene kmeans"]),
        ("a scene/confidence/recal.tif", ["segment a scene recal"]),
    ],
)
def test_a_deleted_output_is_made_again(go: Go, tmp_path: Path, place: str, again: list[str]) -> None:
    go()
    before = files(tmp_path / "out")
    (tmp_path / "out" / place).unlink()
    assert ran(go()) == again
    assert files(tmp_path / "out") == before


def test_a_changed_scene_is_noticed(go: Go, scene: Path) -> None:
    go()
    write_scene(scene, seed=3)
    assert ran(go()) == [name for name in ALL if "evaluate" not in name]


def test_a_changed_reference_is_noticed(go: Go, reference: Path) -> None:
    options = {"references": [reference], "reference_field": "class"}
    go(**options)
    reference.unlink()
    write_reference(reference, seed=1)
    assert ran(go(**options)) == ["consensus a scene", "evaluate a scene recal", "evaluate a scene kmeans"]


def test_a_killed_run_goes_on_where_it_stopped(go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = changed("recal", epochs=3, patience=0)
    go(content, folder="whole")
    steps: list[int] = []
    complete = RecalPhase.step

    def dying(self: RecalPhase, *arguments: Any) -> Any:
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return complete(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RecalPhase, "step", dying)
        with pytest.raises(KeyboardInterrupt):
            go(content)
    assert (tmp_path / "out" / "models" / "recal.checkpoint.safetensors").is_file()
    assert not (tmp_path / "out" / "models" / "recal.safetensors").exists()
    assert len(ran(go(content))) == 5
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_dry_run_writes_nothing(go: Go, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = go(dry_run=True)
    assert [stage["state"] for stage in result.stages] == ["to run"] * 5
    assert [path for path in sorted(tmp_path.rglob("*")) if path.name != "pipeline.yaml"] == before
    go()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert {stage["state"] for stage in go(dry_run=True).stages} == {"finished"}
    states = {s["stage"]: s["state"] for s in go(changed("kmeans", classes=5), dry_run=True).stages}
    assert states["train recal"] == "finished" and states["segment a scene kmeans"] == "to run"
    assert states["consensus a scene"] == "to run"
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}


def test_two_equal_runs_give_the_same_bytes(go: Go, tmp_path: Path, reference: Path) -> None:
    options = {"references": [reference], "reference_field": "class"}
    go(folder="first", **options)
    go(folder="second", **options)
    first, second = files(tmp_path / "first"), files(tmp_path / "second")
    assert first.keys() == second.keys() and len(first) > 15
    assert [name for name in first if first[name] != second[name]] == []


def test_the_written_configuration_is_a_pipeline_that_does_the_same(go: Go, tmp_path: Path, scene: Path) -> None:
    go()
    written = str(tmp_path / "out" / "run.yaml")
    given = load_pipeline(str(tmp_path / "pipeline.yaml"))
    for name, model in load_pipeline(written).models.items():
        assert model.settings == given.models[name].settings
    assert ran(run(written, [scene], tmp_path / "out", machine=Machine("cpu"))) == []


# several scenes


def test_a_model_of_each_scene_labels_both(go: Go, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "A.tif"), write_scene(tmp_path / "B.tif", 40, 56, seed=5)]
    references = [write_reference(tmp_path / "A.gpkg"), write_reference(tmp_path / "B.gpkg", 40, 56, seed=5)]
    result = go(
        {"models": {"recal": {**RECAL, "train_on": "each"}}, "pictures": False},
        scenes=scenes,
        references=references,
        reference_field="class",
    )
    out = tmp_path / "out"
    assert sorted(path.stem for path in (out / "models").glob("*.safetensors")) == ["recal_on_A", "recal_on_B"]
    for name in ("A", "B"):
        maps = sorted(path.stem for path in (out / name / "labels").glob("*.tif"))
        assert maps == ["recal_on_A", "recal_on_B"]
        assert (out / name / "consensus").is_dir()
    assert {(row["scene"], row["model"]) for row in result.scores} == {
        (scene, f"recal_on_{model}") for scene in "AB" for model in "AB"
    }
    again = go(
        {"models": {"recal": {**RECAL, "train_on": "each", "apply_to": "own"}}, "pictures": False, "consensus": False},
        scenes=scenes,
        dry_run=True,
    )
    assert [s["stage"] for s in again.stages] == [
        "train recal_on_A",
        "train recal_on_B",
        "segment A recal_on_A",
        "segment B recal_on_B",
    ]


def test_together_is_one_model_and_names_choose_scenes(go: Go, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "A.tif"), write_scene(tmp_path / "B.tif", seed=5)]
    models = {"both": KMEANS, "one": {**KMEANS, "train_on": ["B"]}}
    stages = [s["stage"] for s in go({"models": models}, scenes=scenes, dry_run=True).stages]
    assert "train both" in stages and "train one" in stages and "segment A one" in stages
    with pytest.raises(UsageError, match=r"names the scene 'C'; this run has A, B"):
        go({"models": {"one": {**KMEANS, "train_on": ["C"]}}}, scenes=scenes, dry_run=True)


def test_scenes_of_one_name_are_told_apart(go: Go, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "x" / "A.tif"), write_scene(tmp_path / "y" / "A.tif", seed=5)]
    stages = [s["stage"] for s in go({"models": {"k": KMEANS}}, scenes=scenes, dry_run=True).stages]
    assert "segment A k" in stages and "segment A-2 k" in stages


# what is refused


def test_an_existing_folder_that_is_no_run_is_refused(go: Go, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("years of work")
    with pytest.raises(UsageError, match="is no run of rsseg"):
        go()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.doc"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file where a folder should be"):
        go(folder="file")


def test_an_empty_folder_is_fine(go: Go, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert len(ran(go())) == 5


def test_references_are_one_or_one_a_scene(go: Go, tmp_path: Path, reference: Path) -> None:
    with pytest.raises(UsageError, match="2 references for 1 scenes"):
        go(references=[reference, reference])


def test_scenes_that_do_not_fit_together_are_refused(go: Go, tmp_path: Path, scene: Path) -> None:
    with rasterio.open(write_scene(tmp_path / "other.tif"), "r+") as file:
        file.descriptions = ("blue", "red", "nir")
    with pytest.raises(ModelError, match="has the bands"):
        go(scenes=[scene, tmp_path / "other.tif"])
    bare = write_scene(tmp_path / "bare.tif", stored=False)
    with pytest.raises(ModelError, match="is uncalibrated"):
        go(scenes=[scene, bare])
    assert not (tmp_path / "out").exists()


def test_missing_inputs_are_said_before_anything_runs(go: Go, tmp_path: Path, scene: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.tif"):
        go(scenes=[tmp_path / "nowhere.tif"])
    with pytest.raises(InputError, match=r"nowhere\.gpkg"):
        go(references=[tmp_path / "nowhere.gpkg"], reference_field="class")
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        go(changed("recal", weights=str(tmp_path / "nowhere.pth")))
    assert not (tmp_path / "out").exists()


def test_patches_that_do_not_fit_are_refused_before_anything_runs(go: Go, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a stride of 9 leaves pixels between patches of 8"):
        go(changed("recal", stride=9))
    with pytest.raises(GridError, match=r"model recal: .*smaller than a patch of 1000"):
        go(changed("recal", patch=1000))
    assert not (tmp_path / "out").exists()


def test_a_reference_without_the_field_is_refused_before_anything_runs(go: Go, tmp_path: Path, reference: Path) -> None:
    with pytest.raises(UsageError, match="nofield"):
        go(references=[reference], reference_field="nofield")
    assert not (tmp_path / "out").exists()


def test_clusters_are_merged_and_then_compared(go: Go, tmp_path: Path, reference: Path) -> None:
    many = {"models": {"many": {**KMEANS, "classes": 12, "merge_to": 3}, "few": KMEANS}, "pictures": False}
    result = go(many, references=[reference], reference_field="class")
    folder = tmp_path / "out" / "a scene"
    with (
        rasterio.open(folder / "labels" / "many.tif") as merged,
        rasterio.open(folder / "clusters" / "many.tif") as all_of,
    ):
        classes, clusters = merged.read(1), all_of.read(1)
    assert set(np.unique(classes)) - {0} == {1, 2, 3} and len(np.unique(clusters)) > 10
    assert all(len(np.unique(classes[clusters == cluster])) == 1 for cluster in np.unique(clusters))
    assert (folder / "labels" / "many.legend.yaml").is_file()
    table = json.loads((folder / "consensus" / "consensus.json").read_text())
    assert [len(pair["rows"]) for pair in table["pairs"]] == [3]
    assert {row["model"] for row in result.scores} == {"many", "few"}
    assert {row["state"] for row in go(many, references=[reference], reference_field="class").stages} == {"finished"}


def test_a_sweep_gives_one_table(go: Go, tmp_path: Path, reference: Path) -> None:
    content = {"models": {"k": KMEANS}, "sweep": [{"model": "k", "classes": [2, 5]}], "consensus": False}
    go({**content, "pictures": False}, references=[reference], reference_field="class")
    with (tmp_path / "out" / "sweep.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["variant"] for row in rows] == ["k_classes-2", "k_classes-5"]
    assert [row["classes"] for row in rows] == ["2", "5"]
    assert float(rows[0]["many_to_one_overall_accuracy"]) < float(rows[1]["many_to_one_overall_accuracy"]) <= 1
    assert float(rows[0]["score"]) > float(rows[1]["score"])


def test_a_field_is_of_the_polygons_where_other_references_are_rasters(go: Go, tmp_path: Path, reference: Path) -> None:
    scenes = [write_scene(tmp_path / "one.tif"), write_scene(tmp_path / "two.tif")]
    quick = {"models": {"kmeans": KMEANS}, "pictures": False}
    go(quick, "first", scenes=scenes[:1])
    raster = tmp_path / "first" / "one" / "labels" / "kmeans.tif"
    result = go(quick, scenes=scenes, references=[reference, raster], reference_field="class")
    accuracy = {row["scene"]: row["many-to-one"]["accuracy"] for row in result.scores}
    assert accuracy["one"] > 0.3 and accuracy["two"] > 0.9


def test_a_sweep_of_a_model_a_scene_has_a_row_for_each(go: Go, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "one.tif"), write_scene(tmp_path / "two.tif")]
    content = {"models": {"k": {**KMEANS, "train_on": "each"}}, "sweep": [{"model": "k", "classes": [2, 3]}]}
    go({**content, "consensus": False, "pictures": False}, scenes=scenes)
    with (tmp_path / "out" / "sweep.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["classes"], row["trained_on"]) for row in rows] == [(k, s) for k in "23" for s in ("one", "two")]


def test_merging_needs_a_map_of_pixels(go: Go) -> None:
    many = {**RECAL, "merge_to": 2}
    with pytest.raises(UsageError, match="merge_to needs a map of pixels"):
        go({"models": {"many": many}, "segment": {"resolution": "patch"}})
