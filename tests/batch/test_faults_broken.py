"""Twenty and more broken products: each fails alone, says why and what to do, and leaves nothing behind."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from batch.archives import BROKEN, Broken, break_products, make_product
from batch.without_cluster import ROOM, prepared

from rsseg.batch import worker
from rsseg.batch.failures import failure_of
from rsseg.batch.names import Job
from rsseg.batch.prepared import Prepared
from rsseg.batch.records import Limits
from rsseg.batch.worker import run_scene
from rsseg.errors import InputError


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, model: Path) -> tuple[Prepared, dict[str, Broken]]:
    """A batch over an archive in which no product is whole."""
    folder = tmp_path_factory.mktemp("broken")
    ways = break_products(folder / "archive")
    return prepared(folder, model), ways


def test_every_broken_product_is_found(broken: tuple[Prepared, dict[str, Broken]]) -> None:
    assert {job.place for job in broken[0].jobs} == set(broken[1])


@pytest.mark.parametrize("way", BROKEN, ids=lambda way: way.name)
def test_a_broken_product_fails_with_its_cause(broken: tuple[Prepared, dict[str, Broken]], way: Broken) -> None:
    batch, ways = broken
    job = next(job for job in batch.jobs if ways[job.place] is way)
    outcome = run_scene(job, batch.work)
    said = f"{outcome['cause']}; {outcome['remedy']}"
    assert outcome["state"] == "failed" and outcome["kind"].endswith("Error"), said
    assert any(words in said for words in way.says), said
    assert outcome["cause"] and outcome["remedy"] and not outcome["passing"]
    assert not (batch.work.output / "scenes" / job.name).exists()
    assert not list(batch.work.output.rglob(".rsseg-*"))
    assert job.name in batch.settled(again=False) and job.name not in batch.settled(again=True)


def test_a_scene_that_vanished_is_an_input_error(tmp_path: Path, model: Path) -> None:
    product = make_product(tmp_path / "archive" / "scene")
    batch = prepared(tmp_path, model)
    product.rename(tmp_path / "elsewhere")
    outcome = run_scene(batch.jobs[0], batch.work)
    assert outcome["kind"] == "InputError" and "does not exist" in outcome["cause"]
    (tmp_path / "elsewhere").rename(product)
    assert not batch.settled(again=False)
    assert run_scene(batch.jobs[0], batch.work)["state"] == "done"


def test_a_read_error_may_pass(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path / "archive" / "scene")
    batch = prepared(tmp_path, model)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "_run", _raising(OSError(errno.EIO, "Input/output error", "BAND2.tif")))
        outcome = run_scene(batch.jobs[0], batch.work)
    assert outcome["passing"] and "Input/output error (BAND2.tif)" in outcome["cause"]
    assert not batch.settled(again=False)
    assert run_scene(batch.jobs[0], batch.work)["state"] == "done"


@pytest.mark.parametrize("number, again", [(errno.EIO, True), (errno.ESTALE, True), (errno.ENOENT, False)])
def test_a_read_error_within_an_error_of_ours_may_pass(tmp_path: Path, number: int, again: bool) -> None:
    problem = InputError("cannot read BAND_META.txt; the file is damaged or locked")
    problem.__cause__ = OSError(number, "as the system says it")
    outcome = failure_of(problem, Job("scene", tmp_path, "scene"), tmp_path)
    assert outcome.passing is again and outcome.kind == "InputError"


def test_a_fault_of_ours_leaves_its_traceback(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path / "archive" / "scene")
    batch = prepared(tmp_path, model)
    monkeypatch.setattr(worker, "_run", _raising(ZeroDivisionError("division by zero")))
    outcome = run_scene(batch.jobs[0], batch.work)
    assert outcome["kind"] == "unexpected" and "ZeroDivisionError: division by zero" in outcome["cause"]
    text = Path(outcome["remedy"].rpartition("with ")[2]).read_text()
    assert "Traceback" in text and "division by zero" in text


def test_a_worker_of_another_version_takes_nothing(tmp_path: Path, model: Path) -> None:
    make_product(tmp_path / "archive" / "scene")
    batch = prepared(tmp_path, model)
    outcome = run_scene(batch.jobs[0], replace(batch.work, version="0.0.1"))
    assert "0.0.1" in outcome["cause"] and "one version" in outcome["remedy"] and outcome["passing"]


@pytest.mark.parametrize("then, now, again", [(10.0, 20.0, True), (10.0, None, True), (10.0, 5.0, False)])
def test_a_longer_limit_tries_again(tmp_path: Path, model: Path, then: float, now: float | None, again: bool) -> None:
    make_product(tmp_path / "archive" / "scene")
    batch = prepared(tmp_path, model)
    outcome = worker.failure_of(OSError(), batch.jobs[0], tmp_path)
    timed_out = replace(outcome, kind="time", passing=False)
    worker.settle(worker.Records(batch.work.output), batch.jobs[0], _limited(batch, then).work, timed_out)
    assert bool(_limited(batch, now).settled(again=False)) is not again


def _limited(batch: Prepared, seconds: float | None) -> Prepared:
    return replace(batch, work=replace(batch.work, limits=Limits(seconds, ROOM)))


def _raising(problem: Exception):  # type: ignore[no-untyped-def]
    def raising(*_: object) -> None:
        raise problem

    return raising
