"""What a dry run says a run will take: how the rehearsal is scaled up, and that it leaves nothing behind."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from heard import Heard
from scenes import write_reference, write_scene
from tiny import thin_vgg

from rsseg.pipeline.configuration import load_pipeline
from rsseg.pipeline.estimate import Estimate, crops, result, workshop
from rsseg.pipeline.estimate.parts import labelled_patches, part_of, training_size
from rsseg.pipeline.estimate.rehearsal import Line, bytes_in, needed
from rsseg.pipeline.estimate.training_speed import PhaseSpeed, TrainingSize, TrainingSpeed, grown
from rsseg.pipeline.nodes import nodes_of
from rsseg.pipeline.plan import Machine, Plan, make_plan
from rsseg.pipeline.stages.run import RunResult, run
from rsseg.scene.sensors import open_scene

pytestmark = [
    pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning"),
]

RECAL = {"method": "recal", "classes": 4, "patch": 8, "stride": 4, "epochs": 1, "batch": 32, "learning_rate": 0.02}
KMEANS = {"method": "kmeans", "classes": 3, "starts": 2}
PIPELINE: dict[str, Any] = {"models": {"recal": RECAL, "kmeans": KMEANS}, "pictures": False}
SPEED = TrainingSpeed(pixels=100, samples=10, passed=5, scored=20, settled=40, started=30, stored=6, bytes=7)


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with thin_vgg(monkeypatch):
        yield


def written(tmp_path: Path, content: dict[str, Any]) -> str:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return str(path)


Go = Callable[..., RunResult]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    scene = write_scene(tmp_path / "a scene.tif")

    def start(content: dict[str, Any] = PIPELINE, **options: Any) -> RunResult:
        given = {"machine": Machine("cpu"), "dry_run": True, "measure": True, **options}
        scenes = given.pop("scenes", [scene])
        return run(written(tmp_path, content), scenes, tmp_path / "out", **given)

    return start


def plan_of(tmp_path: Path, content: dict[str, Any], *scenes: Path, **options: Any) -> Plan:
    return make_plan(load_pipeline(written(tmp_path, content)), scenes, tmp_path / "out", **options)


def found(answer: RunResult) -> Estimate:
    assert answer.estimate is not None
    return answer.estimate


# the whole


def test_every_stage_is_measured_and_nothing_is_left_behind(go: Go, tmp_path: Path) -> None:
    reference = write_reference(tmp_path / "reference.gpkg")
    answer = go(references=[reference], reference_field="class")
    told = found(answer)
    assert list(told.stages) == [stage["stage"] for stage in answer.stages] and len(told.stages) == 7
    assert told.unknown == [] and all(seconds and seconds > 0 for seconds in told.stages.values())
    assert [stage["seconds"] for stage in answer.stages] == list(told.stages.values())
    assert told.seconds == pytest.approx(told.start + sum(float(s or 0) for s in told.stages.values()))
    assert told.memory and told.memory > 50 << 20
    assert not (tmp_path / "out").exists() and not list((tmp_path / "scratch").glob("rsseg*"))
    assert json.loads(json.dumps(answer.as_dict()))["estimate"]["disk"] == told.disk


def test_bytes_on_disk_are_those_of_the_run(go: Go, tmp_path: Path) -> None:
    told = found(go({"models": {"kmeans": KMEANS}}))
    assert run(str(tmp_path / "pipeline.yaml"), [tmp_path / "a scene.tif"], tmp_path / "out", machine=Machine("cpu"))
    true = bytes_in(tmp_path / "out") - bytes_in(tmp_path / "out" / ".rsseg")
    assert told.disk / 2 < true < told.disk * 2


def test_what_is_finished_needs_no_measurement(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    go(dry_run=False)
    monkeypatch.setattr(result, "Workshop", None)
    answer = go()
    assert found(answer).seconds == 0 and found(answer).disk == 0
    assert {(stage["state"], stage["seconds"]) for stage in answer.stages} == {("finished", 0.0)}


def test_only_what_is_left_is_estimated_with_the_models_that_are_there(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    go(dry_run=False)
    monkeypatch.setattr(workshop, "rehearse_training", None)
    told = found(go({**PIPELINE, "segment": {"stride": 8}}))
    assert "segment a scene recal" in told.stages and not [name for name in told.stages if name.startswith("train")]
    assert told.unknown == []


def test_a_training_is_estimated_where_one_like_it_is_finished(go: Go) -> None:
    content: dict[str, Any] = {"models": {"one": KMEANS}, "pictures": False, "consensus": False}
    go(content, dry_run=False)
    told = found(go({**content, "models": {"one": KMEANS, "two": {**KMEANS, "seed": 1}}}))
    assert set(told.stages) == {"train two", "segment a scene two"} and told.unknown == []


def test_a_scene_without_crs_is_measured(go: Go, tmp_path: Path) -> None:
    plain = write_scene(tmp_path / "plain.tif", crs=None)
    assert found(go({"models": {"k": KMEANS}, "pictures": False}, scenes=[plain])).unknown == []


def test_a_product_is_measured_with_its_conversion(go: Go) -> None:
    product = Path(__file__).parents[2] / "sample_data" / "liss4_january"
    told = found(go({"models": {"k": {**KMEANS, "sample": 2000}}, "pictures": False}, scenes=[product]))
    assert told.unknown == [] and told.stages["toa liss4_january"]
    assert 200_000 < told.disk < 1 << 20  # reflectance of 440 x 480 pixels, deflated


def test_a_dry_run_goes_on_where_nothing_can_be_measured(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(workshop, "rehearse_training", broken)
    notes = Heard()
    answer = go(reporter=notes)
    assert answer.estimate is None and {stage["state"] for stage in answer.stages} == {"to run"}
    assert notes.said == ["no estimate of time, memory and disk: OSError: no space left on device"]


def test_a_stage_that_fails_on_a_part_is_said_to_be_unknown(go: Go, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", 40, 40)  # a raster of another grid, of no classes
    told = found(go({"models": {"k": KMEANS}, "pictures": False}, references=[other]))
    assert told.unknown == ["evaluate a scene k"]
    assert told.stages["segment a scene k"]


def test_without_measure_nothing_is_estimated(go: Go) -> None:
    answer = go(measure=False)
    assert answer.estimate is None and "estimate" not in answer.as_dict() and "seconds" not in answer.stages[0]


def test_several_scenes_share_a_rehearsal(go: Go, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "A.tif"), write_scene(tmp_path / "B.tif", 96, 128, seed=5)]
    content = {"models": {"k": {**KMEANS, "train_on": "each"}}, "pictures": False}
    told = found(go(content, scenes=scenes))
    assert set(told.stages) > {"train k_on_A", "train k_on_B", "segment B k_on_A", "consensus A", "cross-scene"}
    assert told.unknown == []


def test_random_numbers_are_left_where_they_were(go: Go) -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    go({"models": {"k": KMEANS}, "pictures": False})
    assert torch.equal(torch.rand(1), expected)


# how it grows


def test_a_line_neither_falls_nor_begins_below_nothing() -> None:
    assert Line.through((10, 3.0), (20, 5.0)) == Line(1.0, 0.2)
    assert Line.through((10, 5.0), (20, 4.0)) == Line(4.0, 0.0)
    assert Line.through((10, 1.0), (20, 4.0)) == Line(0.0, 0.3)
    assert Line.through((10, 1.0), (10, 2.0)) == Line(2.0, 0.0)
    assert Line(1.0, 0.2).at(100) == 21.0


def test_work_that_is_bounded_stops_growing() -> None:
    assert grown(50, 10, 100) == 5
    assert grown(500, 10, 100) == 10
    assert grown(500, 200, 100) == 1
    assert grown(0, 10, 100) == 0.1


def seconds(size: TrainingSize, restarts: int = 1, **parts: Any) -> float:
    return TrainingSpeed(**{**vars(SPEED), **parts}).seconds(size, restarts)


def test_a_training_is_the_sum_of_its_parts() -> None:
    size = TrainingSize(pixels=1000, patches=100, memory=1 << 20)
    assert seconds(size, reading=2.0) == 20
    assert seconds(size, fixed=1.0) == 4  # 20 samples at most, of which 5 were rehearsed
    assert seconds(size, restarts=3, building=1.0) == 3
    assert seconds(size, restarts=3, settle=1.0) == 3 * 8
    assert seconds(size, tile=0.5) == 50
    assert seconds(size, finish=1.0) == 10
    phase = PhaseSpeed(4, first=1.0, start=0.1, index=0.01, save=0.5, indices=lambda count: 2 * count)
    once = 1.0 * 3 + 3 * 0.1 * 10 + 4 * (0.01 * 200 + 0.5)
    assert seconds(size, phases=(phase,)) == pytest.approx(once)
    assert seconds(size, restarts=2, phases=(phase,)) == pytest.approx(2 * once)
    assert seconds(size, phases=(phase,), score=1.0) == pytest.approx(once + (1 + 4 + 1) * 4)
    assert seconds(size, phases=(PhaseSpeed(0, first=9.0, index=9.0),)) == 0


def test_scenes_larger_than_memory_are_read_for_every_epoch() -> None:
    size = TrainingSize(pixels=1000, patches=100, memory=3000)  # half of the pixels, of 6 bytes each
    assert size.held(SPEED.stored) == 0.5
    phase = PhaseSpeed(5, index=0.01, indices=lambda count: count)
    assert seconds(size, phases=(phase,)) == pytest.approx(5 * 0.01 * 50)
    assert seconds(size, reading=1.0, phases=(phase,)) == pytest.approx(2.5 + 10 * (1 + 4 * 0.25))


# what is rehearsed


def test_stages_are_recognised_by_their_names(tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / "a.tif"), write_scene(tmp_path / "a b.tif")]
    reference = write_reference(tmp_path / "reference.gpkg")
    models = {"k": KMEANS, "m": KMEANS, "n": KMEANS}
    plan = plan_of(tmp_path, {"models": models}, *scenes, references=[reference], reference_field="class")
    told = [part_of(node, plan) for node in nodes_of(plan)]
    seen = [(part.kind, part.scene and part.scene.name, part.model and part.model.name) for part in told]
    assert seen[:5] == [
        ("picture", "a", None),
        ("picture", "a b", None),
        ("train", None, "k"),
        ("train", None, "m"),
        ("train", None, "n"),
    ]
    assert ("segment", "a", "k") in seen and ("evaluate", "a b", None) in seen and ("consensus", "a b", None) in seen


def test_sizes_follow_the_patches(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "a.tif", 48, 64)
    models = {"recal": RECAL, "k": KMEANS, "dense": {"method": "context", "patch": 32, "stride": 16}}
    plan = plan_of(tmp_path, {"models": models, "segment": {"stride": 8}}, scene)
    grid = plan.scenes[0].source.grid
    assert [labelled_patches(grid, model, plan) for model in plan.models] == [6 * 8, 48 * 64, 3 * 4]
    size = training_size(plan.models[0], {"a": 0.5}, 1000)
    assert size == TrainingSize(48 * 64, round(11 * 15 / 2), 250)  # a quarter of so little


def test_what_a_stage_needs_is_rehearsed_too(tmp_path: Path) -> None:
    content = {"models": {"k": {**KMEANS, "merge_to": 2}}, "names": "spectra"}
    plan = plan_of(tmp_path, content, write_scene(tmp_path / "a.tif"))
    chosen = [node.name for node in needed(nodes_of(plan), {"name a k"})]
    assert chosen == ["segment a k", "merge a k", "name a k"]


@pytest.mark.parametrize("stored", [True, False])
def test_a_part_of_a_raster_is_stored_as_the_raster(tmp_path: Path, stored: bool) -> None:
    path = write_scene(tmp_path / "a.tif", stored=stored)
    plan = plan_of(tmp_path, PIPELINE, path)
    window = crops.window_at(plan.scenes[0].source, (0, 0), 32)
    part = crops.write_crop(plan, plan.scenes[0], window, tmp_path / "crop")
    with open_scene(path).open() as whole, part.source.open() as made:
        (values, valid), (copied, kept) = whole.read(window), made.read(part.source.grid.window)
    assert np.array_equal(valid, kept) and np.array_equal(values[:, valid], copied[:, valid])
    assert (part.source.units, part.source.band_names) == (plan.scenes[0].source.units, ("green", "red", "nir"))
    assert np.allclose(part.source.scales, plan.scenes[0].source.scales)


def test_a_look_finds_a_valid_place(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.tif", 256, 512)
    with rasterio.open(path, "r+") as file:
        values = file.read()
        values[:, :, :256] = 65535
        file.write(values)
    look = crops.look_at(plan_of(tmp_path, PIPELINE, path).scenes[0])
    assert look.valid == pytest.approx(0.5) and look.centre[1] >= 256


def test_a_look_goes_where_the_reference_is(tmp_path: Path) -> None:
    path, reference = write_scene(tmp_path / "a.tif", 256, 512), write_reference(tmp_path / "r.gpkg", 32, 32)
    plan = plan_of(tmp_path, PIPELINE, path, references=[reference], reference_field="class")
    assert max(crops.look_at(plan.scenes[0]).centre) < 32
