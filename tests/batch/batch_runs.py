"""Batches as commands of their own processes, with faults caused in their workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DIFFERENT = {"run.json", "batch.json"}
"""Files that hold times."""

FAULTS = """
import os, signal, sys, time

PLACE, FAULT, ONCE = os.environ["RSSEG_TEST_PLACE"], os.environ["RSSEG_TEST_FAULT"], os.environ.get("RSSEG_TEST_ONCE")

def heard(event, arguments):
    if event != "open" or PLACE not in str(arguments[0]) or not str(arguments[0]).endswith((".txt", ".zip")):
        return
    if ONCE:
        try:
            os.close(os.open(ONCE, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    if FAULT == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT == "sleep":
        time.sleep(600)
    if FAULT == "eat":
        eaten = []
        while True:
            eaten.append(bytearray(os.urandom(1) * (16 << 20)))
            time.sleep(0.005)
    if FAULT == "eio":
        raise OSError(5, "Input/output error", str(arguments[0]))

sys.addaudithook(heard)
"""
"""Imported by every Python process that finds it: acts when a product's metadata are opened."""


@dataclass
class Run:
    """A batch's command: ``options`` go behind the pipeline, the archive and the output."""

    pipeline: Path
    archive: Path
    output: Path
    options: tuple[object, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """The command line; two small workers unless the options say otherwise."""
        fixed = ["--memory", "1500M", "--device", "cpu", "--threads", "1"]
        given = [] if "--workers" in self.options or "--scheduler" in self.options else ["--workers", "2"]
        words = ["batch", self.pipeline, self.archive, "-o", self.output, *fixed, *given, *self.options]
        return [sys.executable, "-m", "rsseg", *map(str, words)]

    def start(self) -> "subprocess.Popen[str]":
        """The command in a group of its own, so that all its processes can be killed at once."""
        return subprocess.Popen(
            self.words,
            env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, timeout: float = 300.0) -> tuple[int, str, str]:
        """Run to the end: (exit code, stdout, stderr)."""
        return ended(self.start(), timeout)

    def with_fault(self, folder: Path, fault: str, place: str, *, once: bool = False) -> "Run":
        """The same with a fault (kill, sleep, eat, eio) when ``place`` is opened, ``once`` or each time."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sitecustomize.py").write_text(FAULTS)
        told = {
            "RSSEG_TEST_PLACE": place,
            "RSSEG_TEST_FAULT": fault,
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        }
        if once:
            told["RSSEG_TEST_ONCE"] = str(folder / "happened")
        return Run(self.pipeline, self.archive, self.output, self.options, {**self.environment, **told})


def ended(process: "subprocess.Popen[str]", timeout: float = 300.0) -> tuple[int, str, str]:
    """Wait for a command: (exit code, stdout, stderr); one that does not end is killed with all its processes."""
    try:
        out, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill_all(process)
        out, said = process.communicate()
        raise AssertionError(f"the batch did not end in {timeout} s:\n{said[-3000:]}") from None
    return process.returncode, out, said


def kill_all(process: "subprocess.Popen[str]") -> None:
    """Kill a command and all that it started, as a machine that is switched off does."""
    family = [*_children(process.pid), process.pid]
    for number in family:
        _signal(number, signal.SIGKILL)
    process.wait()


def kill_client(process: "subprocess.Popen[str]") -> None:
    """Kill the command alone, as the system does when memory is short."""
    process.kill()
    process.wait()


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that take scenes."""
    return [number for number in _children(process.pid) if "spawn_main" in _command(number)]


def until(happened: Callable[[], bool], process: "subprocess.Popen[str]", timeout: float = 120.0) -> bool:
    """Wait for something while the command runs; whether it happened before the command's end."""
    limit = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < limit:
        if happened():
            return True
        time.sleep(0.002)
    return False


def results(output: Path) -> dict[str, bytes]:
    """Every file of a batch that must not depend on what happened on the way, by its place."""
    found = {}
    for path in sorted(output.rglob("*")):
        place = path.relative_to(output)
        hidden = any(part.startswith(".") for part in place.parts)
        if path.is_file() and not hidden and path.name not in DIFFERENT and not path.name.endswith(".history.jsonl"):
            found[place.as_posix()] = path.read_bytes()
    return found


def differing(output: Path, other: dict[str, bytes]) -> list[str]:
    """Files that are not the same in an output as in the results of another batch."""
    found = results(output)
    return sorted(place for place in found.keys() | other.keys() if found.get(place) != other.get(place))


def settled(output: Path) -> dict[str, float]:
    """When each scene was last settled, by its name."""
    return {path.stem: path.stat().st_mtime_ns for path in (output / ".rsseg" / "scenes").glob("*.json")}


def tries_of(output: Path) -> dict[str, int]:
    """How often each scene was tried."""
    scenes = json.loads((output / "batch.json").read_text())["scenes"]
    return {name: told["tries"] for name, told in scenes.items()}


def half_written(output: Path) -> list[Path]:
    """Scratch folders below an output."""
    return list(output.rglob(".rsseg-*")) if output.exists() else []


def _children(number: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(number).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _command(number: int) -> str:
    try:
        return " ".join(psutil.Process(number).cmdline())
    except psutil.Error:
        return ""


def _signal(number: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, what)
