"""Batches, workers and clients that are killed: the same command finishes the job, and leaves the same bytes."""

import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from batch.archives import BROKEN, break_products, make_archive, write_pipeline
from batch.batch_runs import (
    Run,
    differing,
    ended,
    half_written,
    kill_all,
    kill_client,
    results,
    settled,
    tries_of,
    until,
    workers_of,
)

KILLS = 20
"""Of the slow test."""

SEED = 7


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four whole products and two broken ones."""
    folder = make_archive(tmp_path_factory.mktemp("killed") / "archive", 4)
    break_products(folder, BROKEN[:2])
    return folder


@pytest.fixture(scope="module")
def undisturbed(archive: Path) -> dict[str, bytes]:
    """What a batch leaves that nothing happens to."""
    batch = of(archive, archive.parent / "undisturbed")
    code, _, said = batch.finish()
    assert code == 1 and len(settled(batch.output)) == 6, said
    return results(batch.output)


def of(archive: Path, output: Path, *options: object) -> Run:
    return Run(write_pipeline(archive.parent / "pipeline.yaml"), archive, output, ("--sample", 2, *options))


def same(batch: Run, undisturbed: Mapping[str, bytes], done: int = 4, failed: int = 2) -> None:
    """The batch ended as the one that nothing happened to."""
    assert not differing(batch.output, dict(undisturbed))
    assert not half_written(batch.output)
    assert len(settled(batch.output)) == done + failed


@pytest.mark.slow
def test_a_killed_batch_is_finished_by_the_same_command(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    """It is killed while it writes a scene; then a worker is killed too."""
    batch = of(archive, tmp_path / "out")
    process = batch.start()
    writing = until(lambda: bool(settled(batch.output)) and bool(half_written(batch.output / "scenes")), process)
    kill_all(process)
    before = settled(batch.output)
    assert writing and 0 < len(before) < 6
    code, out, said = batch.with_fault(tmp_path / "fault", "kill", "scene-001", once=True).finish()
    again = len(before) if "scene-001" in before else len(before) + 1
    assert code == 1 and f"{len(before)} of them settled before" in out, said
    assert {name: when for name, when in settled(batch.output).items() if name in before} == before
    if again > len(before):
        assert "scene-001: tried again later" in said and tries_of(batch.output)["scene-001"] == 2
    same(batch, undisturbed)


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(archive: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    chance, batch = random.Random(SEED), of(archive, tmp_path / "out")
    for number in range(KILLS):
        moment, alone = chance.uniform(0.2, 14.0), chance.random() < 0.3
        process = batch.start()
        until(lambda: False, process, moment)
        (kill_client if alone else kill_all)(process)
        told = f"{len(settled(batch.output))} settled"
        print(f"kill {number}: after {moment:.1f} s, {'the client alone' if alone else 'everything'}, {told}")
    code, _, said = batch.finish()
    assert code == 1, said
    same(batch, undisturbed)


@pytest.mark.slow
def test_a_scene_that_kills_its_workers_fails_alone(
    archive: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    batch = of(archive, tmp_path / "out", "--retries", 1, "--model", _model(archive))
    code, _, said = batch.with_fault(tmp_path / "fault", "kill", "scene-002").finish()
    assert code == 1 and "scene-002: failed: the worker ended without a word" in said, said
    assert tries_of(batch.output)["scene-002"] == 2
    assert not half_written(batch.output)  # what a stage finished stays, for the next try
    assert "scene-002" not in settled(batch.output) and len(settled(batch.output)) == 5
    assert batch.finish()[0] == 1  # without the fault
    assert not differing(batch.output / "scenes", _scenes(undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault, option, kind, cause",
    [
        ("sleep", ("--time-limit", "4s"), "time", "it took longer than the limit of 4 s"),
        ("eat", (), "memory", "it needed more memory than a worker has (1500 MiB)"),
    ],
)
def test_a_scene_beyond_its_limits_fails_alone(
    archive: Path,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    fault: str,
    option: tuple[str, ...],
    kind: str,
    cause: str,
) -> None:
    batch = of(archive, tmp_path / "out", "--model", _model(archive), *option)
    code, _, said = batch.with_fault(tmp_path / "fault", fault, "scene-002").finish()
    assert code == 1 and f"scene-002: failed: {cause}" in said, said
    assert not (batch.output / "scenes" / "scene-002").exists()
    again = batch.finish()
    assert "6 of them settled before" in again[1]  # no use in trying again with the same limits
    more = ("--time-limit", "1h") if kind == "time" else ("--memory", "1600M")
    code, out, said = Run(batch.pipeline, archive, batch.output, (*batch.options, *more)).finish()
    assert "5 of them settled before" in out, said
    assert not differing(batch.output / "scenes", _scenes(undisturbed))


@pytest.mark.slow
def test_a_read_error_is_tried_again(archive: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    batch = of(archive, tmp_path / "out", "--model", _model(archive))
    code, _, said = batch.with_fault(tmp_path / "fault", "eio", "scene-002", once=True).finish()
    assert code == 1 and "scene-002: tried again later" in said, said
    assert tries_of(batch.output)["scene-002"] == 2
    assert not differing(batch.output / "scenes", _scenes(undisturbed))


@pytest.mark.slow
def test_workers_end_with_a_client_that_is_killed(archive: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    batch = of(archive, tmp_path / "out")
    process = batch.start()
    assert until(lambda: bool(settled(batch.output)), process)
    workers = workers_of(process)
    kill_client(process)
    code, _, said = batch.finish()
    assert code == 1, said
    assert workers and not any(Path(f"/proc/{number}/exe").exists() for number in workers)
    same(batch, undisturbed)


@pytest.mark.slow
def test_the_training_is_killed_and_finished(archive: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    batch = of(archive, tmp_path / "out")
    process = batch.start()
    assert until((batch.output / "training").exists, process)
    kill_all(process)
    code, _, said = batch.with_fault(tmp_path / "fault", "kill", "scene-001", once=True).finish()
    assert code in (1, 4), said
    assert batch.finish()[0] == 1
    same(batch, undisturbed)


@pytest.mark.slow
def test_a_stopped_batch_says_how_to_go_on(archive: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    batch = of(archive, tmp_path / "out")
    process = batch.start()
    assert until(lambda: bool(settled(batch.output)), process)
    process.terminate()
    code, _, said = ended(process, 30)
    assert code == 130 and "the same command goes on" in said and "Traceback" not in said
    assert not half_written(batch.output / "scenes")
    assert batch.finish()[0] == 1
    same(batch, undisturbed)


def _model(archive: Path) -> Path:
    return archive.parent / "undisturbed" / "training" / "models" / "kmeans.safetensors"


def _scenes(undisturbed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Of the results of a batch, those below its folder of scenes."""
    return {
        place.removeprefix("scenes/"): content for place, content in undisturbed.items() if place.startswith("scenes/")
    }
