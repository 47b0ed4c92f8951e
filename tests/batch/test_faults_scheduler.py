"""Schedulers of others: used, refused, lost and found again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from batch.archives import make_archive, write_pipeline
from batch.batch_runs import Run, differing, ended, results, settled, until

Start = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = pytest.mark.slow


@pytest.fixture
def dask_process() -> Iterator[Start]:
    """Starts ``dask scheduler`` and ``dask worker``, as a cluster's operator does; all are ended."""
    started = []

    def start(*words: object) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "dask", *map(str, words)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, **quiet, env=environment, start_new_session=True))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process and its group: a nanny's workers end with it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def address() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{found.getsockname()[1]}"


def scheduler(start: Start, address: str) -> "subprocess.Popen[bytes]":
    host, port = address.removeprefix("tcp://").split(":")
    return start("scheduler", "--host", host, "--port", port, "--no-dashboard")


def worker(start: Start, address: str, threads: int = 1) -> "subprocess.Popen[bytes]":
    return start("worker", address, "--nthreads", threads, "--no-dashboard", "--memory-limit", 0)


def of(folder: Path, output: str, address: str, *options: object, scenes: int = 8) -> Run:
    if not (folder / "archive").exists():
        make_archive(folder / "archive", scenes)
    pipeline = write_pipeline(folder / "pipeline.yaml")
    return Run(pipeline, folder / "archive", folder / output, ("--scheduler", address, "--sample", 2, *options))


def test_a_scheduler_that_does_not_answer_is_said(tmp_path: Path, address: str) -> None:
    code, _, said = of(tmp_path, "out", address, "--patience", "2s", scenes=1).finish(60)
    assert code == 4 and f"the scheduler {address} does not answer" in said and "Traceback" not in said


def test_a_scheduler_without_workers_is_said(tmp_path: Path, address: str, dask_process: Start) -> None:
    scheduler(dask_process, address)
    code, _, said = of(tmp_path, "out", address, "--patience", "8s", scenes=1).finish(60)
    assert code == 4 and "has no worker" in said and "Traceback" not in said


def test_an_address_that_is_none_is_said(tmp_path: Path) -> None:
    code, _, said = of(tmp_path, "out", "nonsense://here", "--patience", "2s", scenes=1).finish(60)
    assert code == 2 and "tcp://HOST:8786" in said and "Traceback" not in said


def test_workers_of_several_threads_are_refused(tmp_path: Path, address: str, dask_process: Start) -> None:
    scheduler(dask_process, address)
    worker(dask_process, address, threads=2)
    code, _, said = of(tmp_path, "out", address, "--patience", "60s", scenes=1).finish(120)
    assert code == 2 and "--nthreads 1" in said and "Traceback" not in said


def test_a_lost_scheduler_is_found_again(tmp_path: Path, address: str, dask_process: Start) -> None:
    """It is killed with its workers in the middle, and started again; the maps are those of a local batch."""
    local = of(tmp_path, "local", address)
    whole = Run(local.pipeline, local.archive, local.output, ("--sample", 2))
    assert whole.finish()[0] == 0
    first, old = scheduler(dask_process, address), worker(dask_process, address)
    batch = of(tmp_path, "out", address, "--patience", "120s")
    process = batch.start()
    assert until(lambda: len(settled(batch.output)) >= 2, process)
    end(first)
    end(old)
    scheduler(dask_process, address)
    worker(dask_process, address)
    code, _, said = ended(process, 240)
    assert code == 0, said
    assert "lost the scheduler" in said and "found the scheduler" in said
    assert not differing(batch.output, results(whole.output))


def test_a_lost_worker_is_waited_for(tmp_path: Path, address: str, dask_process: Start) -> None:
    """The only worker is killed; another that comes later goes on."""
    scheduler(dask_process, address)
    old = worker(dask_process, address)
    batch = of(tmp_path, "out", address, "--patience", "120s")
    process = batch.start()
    assert until(lambda: len(settled(batch.output)) >= 2, process)
    end(old)
    worker(dask_process, address)
    code, _, said = ended(process, 240)
    assert code == 0, said
    assert len(settled(batch.output)) == 8
