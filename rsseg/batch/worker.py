"""One scene of a batch inside a Dask worker: it never raises for what is wrong with a scene."""

import ctypes
import gc
import importlib
import shutil
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import rsseg
from rsseg.batch.facts import facts_of
from rsseg.batch.failures import failure_of, traceback_path
from rsseg.batch.gpus import own_gpu
from rsseg.batch.lock import scene_locked
from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome
from rsseg.batch.records import Limits, Records, content_of
from rsseg.batch.watch import watched
from rsseg.errors import ResourceError, RssegWarning
from rsseg.files import sweep, write_text
from rsseg.pipeline.cache import FOLDER, Cache
from rsseg.progress import Silent

TOPIC = "rsseg"
"""Where workers say on which stage they are; Dask hands it to the batch."""

TRAINING = "training"
"""What the sample's run is called in events and locks; folders of scenes lie elsewhere."""

ONE = threading.Lock()
"""A process works on one scene at a time, whatever its number of threads."""


@dataclass(frozen=True)
class Work:
    """What is done to every scene; plain values, since it travels.

    ``key``: the work's hash, which records keep. ``models``: files of models that are given, by their names in the
    pipeline. ``each``: every scene trains its own, which are matched later.
    """

    output: Path
    pipeline: Path
    key: str
    models: Mapping[str, Path]
    each: bool
    limits: Limits
    device: str = "auto"
    threads: int | None = None
    aoi: Path | None = None
    version: str = rsseg.__version__


def run_scene(job: Job, work: Work) -> dict[str, Any]:
    """Run the pipeline on a scene in its folder and record how it ended.

    Returns the outcome as plain values, and the ``seconds`` that it took.
    """
    began = time.monotonic()
    outcome = _settled(job, work)
    return {**outcome.as_dict(), "seconds": round(time.monotonic() - began, 3)}


def _settled(job: Job, work: Work) -> Outcome:
    try:
        check_place(work)
    except ResourceError as problem:
        return failure_of(problem, job, work.output)
    with ONE, scene_locked(busy_path(work.output), job.name):
        records = Records(work.output)
        before = records.settled(job, work.key, work.limits)
        if before and before.done:  # by a worker whose scheduler was lost
            return before
        load_stages()
        # waiting for a GPU is not of the scene's time
        with gpu_of(work) as device, watched(work.limits, words_path(work.output, job)):
            outcome = _tried(job, work, device)
            settle(records, job, work, outcome)
        _give_back()
        return outcome


def settle(records: Records, job: Job, work: Work, outcome: Outcome, *, read: bool = True) -> None:
    """Record a scene's end; one that failed for good leaves nothing behind.

    Without ``read``, the product's files are not opened: reading them may be what took too long.
    """
    folder = work.output / "scenes" / job.name
    if not outcome.done:
        sweep(folder)
    if outcome.passing:
        return
    known: dict[Path, str] = {}
    if outcome.done:
        known = Cache(folder).known()
    else:
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # without a record, the scene is looked at again
        records.write(job, work.key, work.limits, outcome, content_of(job.path, known) if read else {})


def give_up(job: Job, work: Work) -> None:
    """Remove what the tries of a scene left behind, unless a worker that was lost from sight is still at it."""
    with scene_locked(busy_path(work.output), job.name, wait=False) as held:
        if held:
            shutil.rmtree(work.output / "scenes" / job.name, ignore_errors=True)


def busy_path(output: Path) -> Path:
    """The file in which scenes are locked."""
    return output / FOLDER / "busy"


def words_path(output: Path, job: Job) -> Path:
    """Where a worker that ends itself says why."""
    return output / FOLDER / "ended" / f"{job.name}.json"


def load_stages() -> None:
    """Import what a scene needs, which takes seconds in a new worker and is not of the scene's time."""
    for module in ("run", "stac"):
        importlib.import_module(f"rsseg.pipeline.stages.{module}")


def _tried(job: Job, work: Work, device: str) -> Outcome:
    try:
        return _run(job, work, device)
    except Exception as problem:  # one scene must not stop the others
        outcome = failure_of(problem, job, work.output)
        if outcome.kind == "unexpected":
            with suppress(OSError):
                write_text(traceback_path(work.output, job), traceback.format_exc(), overwrite=True)
        return outcome


def check_place(work: Work) -> None:
    """A worker elsewhere needs the same code and the same files. Raises: ResourceError."""
    if work.version != rsseg.__version__:
        raise ResourceError(
            f"this worker runs rsseg {rsseg.__version__}, the batch {work.version}; install one version everywhere"
        )
    if not work.pipeline.is_file():
        raise ResourceError(
            f"this worker does not see {work.output}; mount it at the same path on every machine of the cluster"
        )


def _run(job: Job, work: Work, device: str) -> Outcome:
    from rsseg.pipeline.configuration import load_pipeline
    from rsseg.pipeline.plan import Machine
    from rsseg.pipeline.stages.run import run
    from rsseg.pipeline.stages.stac import stac
    from rsseg.scene.sensors import open_scene

    folder = work.output / "scenes" / job.name
    reporter, config = Told(job.name), load_pipeline(str(work.pipeline))
    with hearing(reporter):
        result = run(
            str(work.pipeline),
            [job.path],
            folder,
            aoi=work.aoi,
            names=[job.name],
            models=work.models,
            machine=Machine(device, work.threads, None, work.limits.memory),
            reporter=reporter,
        )
        scene = open_scene(job.path, bands=config.bands, scale=config.scale, aoi=work.aoi)
        stac(folder, overwrite=True, parent=work.output / "catalog.json")
    maps = {Path(path).stem: Path(path) for path in result.outputs.get("labels", ())}
    facts = {
        **facts_of(scene),
        "maps": {model: _map_facts(folder, job.name, model, path, work) for model, path in maps.items()},
    }
    named = {model: path.relative_to(work.output).as_posix() for model, path in maps.items()}
    return Outcome(job.name, job.place, "done", maps=named, facts=facts)


def _map_facts(folder: Path, name: str, model: str, labels: Path, work: Work) -> dict[str, Any]:
    """What the summary says of a map, and its clusters' spectra where maps of own models are to be matched."""
    from rsseg.batch.map_facts import map_facts
    from rsseg.batch.scene_spectra import scene_spectra

    confidence = folder / name / "confidence" / f"{model}.tif"
    found = map_facts(labels, confidence if confidence.is_file() else None)
    if work.each:
        scene_spectra(folder, name, model)
    return found


@contextmanager
def gpu_of(work: Work) -> Iterator[str]:
    """The device of a scene: a GPU of its own where there is one."""
    from rsseg.learn.devices import gpu_names

    with own_gpu(work.device, gpu_names()) as device:
        yield device


class Told(Silent):
    """Hands on what a stage says, by Dask's events; without Dask, to nobody."""

    def __init__(self, name: str) -> None:
        self.name = name

    def say(self, message: str) -> None:
        """Send a line."""
        self._send({"scene": self.name, "message": message})

    def warn(self, message: str) -> None:
        """Send a warning."""
        self._send({"scene": self.name, "warning": message})

    @staticmethod
    def _send(event: dict[str, str]) -> None:
        from distributed import get_worker

        with suppress(ValueError):  # no worker: called in tests and notebooks
            get_worker().log_event(TOPIC, event)


@contextmanager
def hearing(reporter: Told) -> Iterator[None]:
    """Warnings go the way of messages."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if issubclass(category, RssegWarning):
            reporter.warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", RssegWarning)
        warnings.showwarning = show
        yield


def _give_back() -> None:
    """Return a scene's memory to the system, or the next one would be charged for it."""
    gc.collect()
    _freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@cache
def _freeze() -> None:
    """Libraries have a million objects, which need not be looked through after every scene."""
    gc.freeze()
