"""What a program that watches rsseg reads on stderr, and the exit codes."""

import errno
import io
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from scenes import write_scene
from tiny import tiny_model

from rsseg.cli import COMMANDS, failures, group
from rsseg.cli.log_json import JsonReporter, library_logs, take_logs, wanted
from rsseg.errors import BusyError, CollapseWarning, InputError, ResourceError, RssegError, UsageError
from rsseg.label.workers import Worker
from rsseg.pipeline.stages import info as info_stage

Rsseg = Callable[..., tuple[int, str, str]]

HOSTILE = "<script>alert(1)</script>\n\x1b[31m\x00 \u2028 \udcff नदी " + "x" * 300


def events(text: str) -> list[dict[str, Any]]:
    """Every line of stderr; a line that is no JSON object fails."""
    found = [json.loads(line) for line in text.splitlines()]
    assert all(list(item)[:3] == ["time", "event", "message"] for item in found)
    assert all(item["time"].endswith("Z") and len(item["time"]) == 24 for item in found)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    made = tiny_model(stride=4, units="reflectance", centre=(0.1, 0.1, 0.2), spread=(0.1, 0.1, 0.2))
    made.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_a_command_tells_its_tasks_and_its_end(rsseg: Rsseg, tmp_path: Path, model: Path) -> None:
    scene, target = write_scene(tmp_path / "scene.tif"), tmp_path / "labels.tif"
    code, out, err = rsseg("segment", scene, "--model", model, "-o", target, "--log-json", "--json")
    assert code == 0 and json.loads(out)["labels"] == str(target)
    found = events(err)
    tasks = [item for item in found if item["event"] == "task"]
    assert [item["state"] for item in tasks] == ["begun", "ended"]
    assert tasks[1]["done"] == tasks[1]["total"] > 0 and tasks[1]["seconds"] >= 0
    end = found[-1]
    assert (end["event"], end["command"], end["exit_code"]) == ("done", "segment", 0) and end["seconds"] > 0


def test_quiet_leaves_the_end_only(rsseg: Rsseg, tmp_path: Path, model: Path) -> None:
    scene, target = write_scene(tmp_path / "scene.tif"), tmp_path / "labels.tif"
    code, _, err = rsseg("segment", scene, "--model", model, "-o", target, "--log-json", "-q")
    assert code == 0 and [item["event"] for item in events(err)] == ["done"]


def test_the_environment_asks_for_it_too(rsseg: Rsseg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RSSEG_LOG_JSON", "1")
    code, _, err = rsseg("info", tmp_path / "nowhere.tif")
    assert code == 1 and [item["event"] for item in events(err)] == ["error", "done"]
    monkeypatch.setenv("RSSEG_LOG_JSON", "0")
    assert rsseg("info", tmp_path / "nowhere.tif")[2].startswith("rsseg: ")


def test_what_asks_for_json_and_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RSSEG_LOG_JSON", raising=False)
    assert wanted(["info", "--log-json", "a.tif"])
    assert not wanted(["info", "a.tif"]) and not wanted(["info", "--", "--log-json"])


def test_every_command_has_the_option() -> None:
    context = click.Context(group)
    for verb in COMMANDS:
        command = group.get_command(context, verb)
        assert command is not None
        if isinstance(command, click.Group):
            inner = command.get_command(context, command.list_commands(context)[0])
            assert inner is not None
            command = inner
        assert any("--log-json" in item.opts for item in command.params), verb


@pytest.mark.parametrize(
    ("words", "code", "kind", "message"),
    [
        ("paint --log-json", 2, "UsageError", "No such command 'paint'"),
        ("toa --log-json", 2, "UsageError", "Missing argument 'SCENE'"),
        ("toa a.tif -o b.tif --nothing --log-json", 2, "UsageError", "No such option"),
        ("info nowhere.tif --log-json", 1, "InputError", "nowhere.tif does not exist"),
    ],
)
def test_failures_are_events(rsseg: Rsseg, words: str, code: int, kind: str, message: str) -> None:
    found, out, err = rsseg(*words.split())
    error, end = events(err)
    assert (found, out) == (code, "")
    assert (error["event"], error["kind"], error["exit_code"]) == ("error", kind, code) and message in error["message"]
    assert (end["event"], end["exit_code"], end["message"]) == ("done", code, "failed")


def test_debug_adds_the_traceback(rsseg: Rsseg) -> None:
    _, _, err = rsseg("info", "nowhere.tif", "--log-json", "--debug")
    assert events(err)[0]["traceback"].startswith("Traceback")


def failing(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> None:
    """Make ``rsseg info`` end with a problem."""

    def broken(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(info_stage, "info", broken)


FULL, QUOTA = OSError(errno.ENOSPC, "No space left on device", "out.tif"), OSError(errno.EDQUOT, "Quota exceeded")

CODES = [
    (InputError("no scene"), 1, "InputError", "no scene"),
    (UsageError("no such band"), 2, "UsageError", "no such band"),
    (BusyError("another process works there"), 3, "BusyError", "another process"),
    (ResourceError("no scheduler answers"), 4, "ResourceError", "no scheduler"),
    (FULL, 4, "disk", "No space left on device (out.tif); free space there"),
    (QUOTA, 4, "disk", "free space there"),
    (MemoryError(), 4, "memory", "use a smaller --memory"),
    (torch.OutOfMemoryError("CUDA out of memory"), 4, "memory", "--device cpu"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 4, "memory", "--memory"),
    (RssegError("map.tif could not be written completely; is the disk full?"), 4, "disk", "is the disk full?"),
    (PermissionError(errno.EACCES, "Permission denied", "out"), 1, "unexpected", "--debug shows where"),
    (ValueError("a fault"), 1, "unexpected", "ValueError: a fault; --debug shows where it happened"),
    (KeyboardInterrupt(), 130, "stopped", "the same command goes on"),
]


@pytest.mark.parametrize(("problem", "code", "kind", "message"), CODES, ids=[repr(row[0])[:40] for row in CODES])
def test_exit_codes_by_what_went_wrong(
    rsseg: Rsseg, monkeypatch: pytest.MonkeyPatch, problem: BaseException, code: int, kind: str, message: str
) -> None:
    failing(monkeypatch, problem)
    found, out, err = rsseg("info", "a.tif", "--log-json")
    error = events(err)[0]
    assert (found, out, error["kind"], error["exit_code"]) == (code, "", kind, code) and message in error["message"]
    found, _, err = rsseg("info", "a.tif")
    assert found == code and err.startswith("rsseg: ") and message in err and len(err.splitlines()) == 1


def test_an_error_that_a_full_disk_caused_is_one_of_the_disk() -> None:
    problem = InputError("the archive cannot be unpacked")
    problem.__cause__ = FULL
    assert failures.failure_of(problem).exit_code == 4
    problem.__cause__ = None
    assert failures.failure_of(problem).exit_code == 1


def test_a_gpu_too_small_for_a_patch_is_a_lack_of_memory() -> None:
    worker = object.__new__(Worker)
    worker.device = torch.device("cpu")
    with pytest.raises(RssegError) as caught:
        worker._halve(1)
    assert failures.failure_of(caught.value).exit_code == 4


def test_a_terminated_command_ends_as_stopped(tmp_path: Path) -> None:
    code = """
import time
from rsseg.cli import main
from rsseg.pipeline.stages import info
def slow(*_, **__):
    print("begun", flush=True)
    time.sleep(60)
info.info = slow
main(["info", "a.tif", "--log-json"])
"""
    words = [sys.executable, "-c", code]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "begun\n"
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and time.monotonic() - began < 30
    assert [item.get("kind") for item in events(err)] == ["stopped", None]


def test_warnings_are_events(rsseg: Rsseg, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    def warned(*_: object, **__: object) -> None:
        warnings.warn("few clusters are used", CollapseWarning, stacklevel=1)
        warnings.warn("not of ours", UserWarning, stacklevel=1)
        raise InputError("enough")

    monkeypatch.setattr(info_stage, "info", warned)
    found = events(rsseg("info", "a.tif", "--log-json")[2])
    assert [item["event"] for item in found] == ["warning", "error", "done"]
    assert (found[0]["message"], found[0]["kind"]) == ("few clusters are used", "CollapseWarning")


# the reporter itself


def test_any_text_is_one_line_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = JsonReporter()
    reporter.say(HOSTILE)
    reporter.event("scene", name=HOSTILE, state="failed", seconds=float("nan"), facts={"path": Path("a"), 3: {1}})
    err = capsys.readouterr().err
    assert err.isascii() and err.count("\n") == 2
    said, scene = events(err)
    assert said["message"] == HOSTILE and scene["name"] == HOSTILE
    assert (scene["seconds"], scene["facts"]) == (None, {"path": "a", "3": [1]})


def test_a_task_that_fails_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError), JsonReporter().task("labelling", 10) as task:
        task.advance(4)
        raise InputError("broken")
    begun, failed = events(capsys.readouterr().err)
    assert begun["state"] == "begun" and (failed["state"], failed["done"]) == ("failed", 4)


def test_a_long_task_says_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rsseg.cli import log_json

    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(log_json.time, "perf_counter", lambda: float(next(clock)))
    with JsonReporter().task("training", 3) as task:
        for epoch in range(3):
            task.advance(note=f"loss {epoch}")
    states = [(item["state"], item.get("done")) for item in events(capsys.readouterr().err)]
    assert states[0] == ("begun", None) and states[-1] == ("ended", 3)
    assert 1 <= sum(state == "running" for state, _ in states) < 3


def test_a_closed_stderr_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    with JsonReporter().task("labelling", 1) as task:
        task.advance()
    monkeypatch.setattr(sys, "stderr", closed := io.StringIO())
    closed.close()
    JsonReporter().say("nobody hears it")


def test_what_libraries_log_are_events(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("rsseg_test.noisy")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.propagate = False
    take_logs("rsseg_test.noisy")
    with library_logs():
        logger.info("not told")
        logger.warning("%d workers left", 2)
    logger.setLevel(logging.CRITICAL)
    (told,) = events(capsys.readouterr().err)
    assert (told["event"], told["message"], told["logger"]) == ("warning", "2 workers left", "rsseg_test.noisy")
