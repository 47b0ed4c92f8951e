"""What is done again and what is not: products and outputs that change, archives that grow, locks, clocks."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from batch.archives import make_archive, make_product, write_pipeline
from batch.batch_runs import results
from batch.without_cluster import prepared, worked

from rsseg.batch.lock import locked
from rsseg.errors import BusyError
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run

Rsseg = Callable[..., tuple[int, str, str]]

HOLD = """
import sys, time
from pathlib import Path
from rsseg.batch.lock import locked
with locked(Path(sys.argv[1]), False, print):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """A folder with an archive of three scenes and its finished batch, to be copied."""
    folder = tmp_path_factory.mktemp("whole")
    make_archive(folder / "archive", 3)
    ended = worked(prepared(folder, model))
    assert [outcome["state"] for outcome in ended.values()] == ["done"] * 3
    return folder


@pytest.fixture
def batch(whole: Path, tmp_path: Path) -> Path:
    """A copy of the finished batch, with the files' times, and with records of where it is now."""
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    return folder


@contextmanager
def holder(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds a lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def again(folder: Path, model: Path, **settings: object) -> set[str]:
    """The scenes that are done again."""
    return set(worked(prepared(folder, model, **settings)))


def test_nothing_is_done_twice(batch: Path, model: Path) -> None:
    before = results(batch / "out")
    assert again(batch, model) == set()
    assert results(batch / "out") == before


def test_a_product_that_changed_is_done_again(batch: Path, model: Path) -> None:
    before = (batch / "out/scenes/scene-000/scene-000/labels/kmeans.tif").read_bytes()
    shutil.rmtree(batch / "archive/scene-000")
    make_product(batch / "archive/scene-000", 2)
    assert again(batch, model) == {"scene-000"}
    assert (batch / "out/scenes/scene-000/scene-000/labels/kmeans.tif").read_bytes() != before
    assert again(batch, model) == set()


@pytest.mark.parametrize("when", [0, 10**9, 2**33])
def test_a_product_of_another_time_is_the_same(batch: Path, model: Path, when: int) -> None:
    """Copied anew, or written by a clock that was wrong: its content counts."""
    for path in (*(batch / "archive/scene-000").iterdir(), batch / "archive/scene-001.zip"):
        os.utime(path, (when, when))
    assert again(batch, model) == set()


def test_a_change_that_keeps_size_and_time_of_one_file_only_is_seen(batch: Path, model: Path) -> None:
    band = batch / "archive/scene-000/BAND3.tif"
    content = bytearray(band.read_bytes())
    content[-1] ^= 1
    band.write_bytes(content)
    assert again(batch, model) == {"scene-000"}


def test_a_file_more_is_a_change(batch: Path, model: Path) -> None:
    (batch / "archive/scene-000/readme.txt").write_text("from the supplier")
    assert again(batch, model) == {"scene-000"}


@pytest.mark.parametrize("harm", ["delete", "cut", "alter", "folder"])
def test_an_output_that_was_harmed_is_made_again(batch: Path, model: Path, harm: str) -> None:
    labels = batch / "out/scenes/scene-001/scene-001/labels/kmeans.tif"
    whole = labels.read_bytes()
    if harm == "delete":
        labels.unlink()
    elif harm == "cut":
        labels.write_bytes(whole[:100])
    elif harm == "alter":
        labels.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        shutil.rmtree(batch / "out/scenes/scene-001")
    assert again(batch, model) == {"scene-001"}
    assert labels.read_bytes() == whole


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": 1}', "\x00" * 50])
def test_a_record_that_is_damaged_is_written_again(batch: Path, model: Path, content: str) -> None:
    (batch / "out/.rsseg/scenes/scene-002.json").write_text(content)
    before = results(batch / "out")
    assert again(batch, model) == {"scene-002"}
    assert results(batch / "out") == before


def test_another_pipeline_changes_all(batch: Path, model: Path) -> None:
    names = {"scene-000", "scene-001", "scene-002"}
    assert again(batch, model, seed=5) == names
    assert again(batch, model, seed=5) == set()


def test_another_model_changes_all(batch: Path, model: Path, tmp_path: Path) -> None:
    scene = batch / "archive/scene-001.zip"
    run(str(write_pipeline(tmp_path / "pipeline.yaml")), [scene], tmp_path / "run", machine=Machine("cpu"))
    other = tmp_path / "run/models/kmeans.safetensors"
    assert again(batch, other) == {"scene-000", "scene-001", "scene-002"}
    copied = shutil.copy(other, tmp_path / "copied.safetensors")
    assert again(batch, Path(copied)) == set()


def test_an_archive_grows(batch: Path, model: Path) -> None:
    before = results(batch / "out")
    make_product(batch / "archive/first/scene-000", 4)  # it sorts before the others, under a name that is taken
    make_product(batch / "archive/scene-003", 5)
    assert again(batch, model) == {"scene-000-2", "scene-003"}
    after = results(batch / "out")
    assert before.items() <= after.items()
    names = json.loads((batch / "out/.rsseg/names.json").read_text())
    assert names["scene-000"] == "scene-000" and names["first/scene-000"] == "scene-000-2"


def test_an_archive_shrinks_and_comes_back(batch: Path, model: Path) -> None:
    (batch / "archive/scene-001.zip").rename(batch / "aside.zip")
    assert again(batch, model) == set()
    (batch / "aside.zip").rename(batch / "archive/scene-001.zip")
    assert again(batch, model) == set()


def test_a_folder_moved_is_still_finished(batch: Path, model: Path) -> None:
    moved = batch.rename(batch.with_name("moved"))
    assert again(moved, model) == set()


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    lock = tmp_path / "out/.rsseg/lock"
    with holder(lock) as process:
        with pytest.raises(BusyError, match=rf"out is being worked on by process {process.pid} on .*--wait"):
            locked(lock, False, print).__enter__()
        process.kill()
        process.wait()
        with locked(lock, False, print):
            assert json.loads(lock.read_text())["process"] == os.getpid()


@pytest.mark.parametrize("content", ["", '{"process": 1, "machine": "gone", "since": "long ago"}', "no json"])
def test_a_lock_left_behind_is_taken(tmp_path: Path, content: str) -> None:
    (tmp_path / "out/.rsseg").mkdir(parents=True)
    (tmp_path / "out/.rsseg/lock").write_text(content)
    with locked(tmp_path / "out/.rsseg/lock", False, print):
        pass


def test_two_batches_on_one_output(batch: Path, model: Path, rsseg: Rsseg) -> None:
    words = ["batch", batch / "pipeline.yaml", batch / "archive", "-o", batch / "out", "--model", model]
    words += ["--device", "cpu", "--threads", 1, "--memory", 64 << 30, "--workers", 1]
    with holder(batch / "out/.rsseg/lock") as process:
        before = results(batch / "out")
        code, _, said = rsseg(*words)
        assert code == 3 and f"process {process.pid}" in said and "--wait" in said
        assert results(batch / "out") == before
        timer = threading.Timer(1.5, process.kill)
        timer.start()
        began = time.monotonic()
        code, out, said = rsseg(*words, "--wait")
        assert code == 0 and "3 of them settled before" in out, said
        assert f"waiting for process {process.pid}" in said and time.monotonic() - began > 1


def test_a_folder_that_cannot_be_looked_into_is_told(
    tmp_path: Path, model: Path, rsseg: Rsseg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rights of a folder do not stop root, so that the system's answer is made here."""
    make_archive(tmp_path / "archive/open", 1)
    make_archive(tmp_path / "archive/shut", 1)
    scan = os.scandir

    def refusing(place: str) -> object:
        if str(place).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refusing)
    prepared(tmp_path, model)
    words = ["batch", tmp_path / "pipeline.yaml", tmp_path / "archive", "-o", tmp_path / "out", "--model", model]
    code, out, said = rsseg(*words, "--dry-run", "--no-estimate", "--workers", 1)
    assert code == 0 and "1 scenes" in out
    assert f"cannot look into {tmp_path / 'archive/shut'} (Permission denied)" in said
