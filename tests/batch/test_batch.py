"""Whole batches on a local cluster: trained on a sample, given models, growth, names, the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import yaml
from batch.archives import make_archive, write_pipeline
from products import LISS4_META_PLAIN, make_liss4, some_numbers, with_keys

from rsseg.batch.batch import BatchResult, batch
from rsseg.batch.prepared import Prepared, prepare
from rsseg.batch.request import Request
from rsseg.batch.training import spread, train_sample
from rsseg.batch.worker import run_scene
from rsseg.errors import InputError, UsageError
from rsseg.label.legend_file import from_yaml
from rsseg.learn.model import load_model
from rsseg.pipeline.stages.run import write_configuration

MEMORY = 2 << 30


def request(tmp_path: Path, **options: object) -> Request:
    given: dict[str, object] = {"workers": 1, "threads": 1, "memory": MEMORY, "device": "cpu", "sample": 2}
    pipeline = tmp_path / "pipeline.yaml"
    if not pipeline.exists():
        write_pipeline(pipeline)
    return Request(str(pipeline), tmp_path / "archive", tmp_path / "out", **{**given, **options})  # type: ignore[arg-type]


def states(result: BatchResult) -> dict[str, str]:
    return {outcome.name: outcome.state for outcome in result.outcomes}


def _trained(found: Prepared, folder: Path) -> dict[str, Path]:
    """Train the sample's models in this process."""
    assert found.sample is not None
    write_configuration(found.config, folder / "out" / "batch.yaml")
    write_configuration(found.scene_config, found.work.pipeline)
    return train_sample(found.sample, found.kept, found.jobs, found.work, folder / "out" / "batch.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BatchResult]:
    """Three scenes and a broken one, done with a model of a sample of two."""
    folder = tmp_path_factory.mktemp("batch")
    make_archive(folder / "archive", 3)
    (folder / "archive" / "broken.zip").write_text("no archive")
    return folder, batch(request(folder, mosaic=True))


def test_scenes_have_maps_of_one_model_and_the_broken_one_its_cause(finished: tuple[Path, BatchResult]) -> None:
    folder, result = finished
    done = {f"scene-00{number}": "done" for number in range(3)}
    assert states(result) == {"broken": "failed", **done}
    assert result.failures[0].cause.endswith("File is not a zip file")
    assert result.failures[0].remedy.endswith("get it again")
    model = load_model(folder / "out" / "training" / "models" / "kmeans.safetensors").identity
    for name in done:
        with rasterio.open(folder / "out" / "scenes" / name / name / "labels" / "kmeans.tif") as labels:
            assert labels.tags()["model"] == model
            assert set(np.unique(labels.read(1))) <= {0, 1, 2, 3}
    assert not (folder / "out" / "scenes" / "broken").exists()
    table = pd.read_parquet(folder / "out" / "summary.parquet")
    assert sorted(table["state"]) == ["done"] * 3 + ["failed"]
    assert (folder / "out" / "catalog.json").is_file()
    assert (folder / "out" / "kmeans.vrt").is_file()
    assert "broken.zip" in (folder / "out" / "failures.csv").read_text()


def test_the_same_batch_again_does_nothing_and_needs_no_worker(
    finished: tuple[Path, BatchResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = finished
    monkeypatch.setattr("rsseg.batch.batch.connected", lambda *_: pytest.fail("workers were asked for"))
    result = batch(request(folder))
    assert result.before == 4
    assert len(result.failures) == 1


def test_what_changed_is_to_do_again(finished: tuple[Path, BatchResult]) -> None:
    folder, _ = finished

    def todo(**options: object) -> set[str]:
        found = prepare(request(folder, **options))
        settled = found.settled(bool(options.get("retry_failed")))
        return {job.name for job in found.jobs if job.name not in settled}

    assert todo() == set()
    assert todo(retry_failed=True) == {"broken"}
    assert todo(overrides={"classes": 2}) == {"broken", "scene-000", "scene-001", "scene-002"}
    # the sample's models are not those of a larger sample
    assert len(todo(sample=3)) == 4


def test_an_archive_that_grows_keeps_its_maps(finished: tuple[Path, BatchResult], tmp_path: Path) -> None:
    """Also its sample, when only some of its scenes are asked for."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    map_ = tmp_path / "out" / "scenes" / "scene-001" / "scene-001" / "labels" / "kmeans.tif"
    before = map_.stat().st_mtime_ns
    make_liss4(tmp_path / "archive" / "a" / "scene-001", meta=with_keys(LISS4_META_PLAIN, Path="99"))
    result = batch(request(tmp_path, where=["path=99"]))
    assert states(result) == {"broken": "failed", "scene-001-2": "done"}
    found = prepare(request(tmp_path))
    assert set(found.settled(again=False)) == {"broken", "scene-000", "scene-001", "scene-001-2", "scene-002"}
    assert map_.stat().st_mtime_ns == before


def test_names_and_merging_are_of_the_archive_not_of_a_scene(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 3)
    content = yaml.safe_load(write_pipeline(tmp_path / "pipeline.yaml", classes=5, merge_to=2, stride=2).read_text())
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump({**content, "names": "spectra"}))
    found = prepare(request(tmp_path))
    trained = _trained(found, tmp_path)
    ready = found.with_models(trained)
    assert {run_scene(job, ready.work)["state"] for job in ready.jobs} == {"done"}
    model = load_model(tmp_path / "out" / "training" / "named" / "kmeans.safetensors")
    assert model.legend is not None
    legend = from_yaml(model.legend)
    known = [item for item in legend.classes if not item.unknown]
    assert sorted(value for item in legend.classes for value in item.clusters) == [1, 2, 3, 4, 5]
    assert len(known) == 2
    assert not any(item.name.startswith(("cluster", "class")) for item in known)
    named = set()
    for path in (tmp_path / "out" / "scenes").glob("*/*/labels/kmeans.tif.aux.xml"):
        text = path.read_text()
        named.add(tuple(item.name in text for item in known))
        with rasterio.open(path.with_suffix("").with_suffix("")) as labels:
            assert set(np.unique(labels.read(1))) <= {0, *(item.value for item in legend.classes)}
    assert named == {(True, True)}


def test_given_models_are_applied_and_none_is_trained(finished: tuple[Path, BatchResult], tmp_path: Path) -> None:
    folder, _ = finished
    model = folder / "out" / "training" / "models" / "kmeans.safetensors"
    make_archive(tmp_path / "archive", 1)
    write_pipeline(tmp_path / "pipeline.yaml")
    with pytest.raises(InputError, match=r"the model gone\.safetensors does not exist"):
        prepare(request(tmp_path, models=["gone.safetensors"]))
    ready = prepare(request(tmp_path, models=[str(model)], memory=64 << 30))
    assert ready.trained
    write_configuration(ready.scene_config, ready.work.pipeline)
    assert run_scene(ready.jobs[0], ready.work)["state"] == "done"
    same = (folder / "out", tmp_path / "out")
    a, b = ((out / "scenes/scene-000/scene-000/labels/kmeans.tif").read_bytes() for out in same)
    assert a == b


def test_scenes_that_nothing_can_be_learned_from_are_passed_over(tmp_path: Path) -> None:
    """They fail later, each for itself; the training of all others must not fail with them."""
    make_liss4(tmp_path / "archive" / "a-empty", numbers=np.zeros((3, 24, 32), np.uint16))
    cut = make_liss4(tmp_path / "archive" / "b-cut", shape=(24, 32)) / "BAND3.tif"
    cut.write_bytes(cut.read_bytes()[:-900])
    make_archive(tmp_path / "archive", 2)
    found = prepare(request(tmp_path, sample=4))
    assert found.sample is not None
    _trained(found, tmp_path)
    kept = json.loads(found.sample.file.read_text())["scenes"]
    assert kept == ["scene-000", "scene-001.zip"]


def test_the_sample_is_spread_over_the_archive() -> None:
    class Numbered(str):
        """Stands for a job."""

    jobs = [Numbered(number) for number in range(10)]
    order = spread(jobs, 2)  # type: ignore[type-var, arg-type]
    assert order[:2] == ["2", "7"]  # type: ignore[comparison-overlap]
    assert sorted(order) == sorted(jobs)  # type: ignore[type-var]


def test_outputs_that_are_something_else_are_refused(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files and is no batch of rsseg"):
        prepare(request(tmp_path))
    (tmp_path / "out" / "run.yaml").write_text("models: {}")
    with pytest.raises(UsageError, match="is a run of rsseg run or map; choose a new folder for the batch"):
        prepare(request(tmp_path))
    with pytest.raises(UsageError, match="is the archive itself"):
        prepare(Request(str(tmp_path / "pipeline.yaml"), tmp_path / "archive", tmp_path / "archive"))


def test_scenes_of_a_pipeline_that_names_its_training_scenes_are_refused(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 1)
    write_pipeline(tmp_path / "pipeline.yaml", train_on=["january"])
    with pytest.raises(UsageError, match="train_on names scenes of one run; leave it out"):
        prepare(request(tmp_path))
    prepare(request(tmp_path, train="each"))


def test_the_command_tells_and_exits_by_what_became_of_the_scenes(
    finished: tuple[Path, BatchResult], rsseg: Callable[..., tuple[int, str, str]]
) -> None:
    folder, _ = finished
    words = ["batch", folder / "pipeline.yaml", folder / "archive", "-o", folder / "out", "--sample", 2]
    code, out, _ = rsseg(*words, "--memory", "2G")
    assert code == 1
    assert "3 scenes done, 1 failed, 4 of them settled before" in out
    assert "broken.zip: cannot read" in out
    assert "get it again" in out
    code, out, _ = rsseg(*words, "--memory", "2G", "--json")
    told = json.loads(out)
    assert (code, told["done"], told["failed"]) == (1, 3, 1)
    code, out, _ = rsseg(*words, "--memory", "2G", "--dry-run", "--no-estimate")
    assert code == 0
    assert out.startswith("4 scenes: 0 to do (0.0 GiB), 3 done, 1 failed before")
    code, _, err = rsseg(*words, "--time-limit", "soon")
    assert code == 2
    assert "is not a time like 90s, 30m or 2h" in err


def test_a_dry_run_writes_nothing_and_says_how_long(tmp_path: Path, rsseg: Callable[..., tuple[int, str, str]]) -> None:
    make_archive(tmp_path / "archive", 2, shape=(40, 40))
    make_liss4(tmp_path / "archive" / "large", numbers=some_numbers((50, 60)))
    pipeline = write_pipeline(tmp_path / "pipeline.yaml")
    code, out, _ = rsseg(
        "batch", pipeline, tmp_path / "archive", "-o", tmp_path / "out", "--dry-run", "--workers", 1, "--memory", "1G"
    )
    assert code == 0
    assert "3 scenes: 3 to do" in out
    assert "to do  large" in out
    assert "first: kmeans trained on a sample of the archive" in out
    assert "of memory in each worker" in out
    assert not (tmp_path / "out").exists()
