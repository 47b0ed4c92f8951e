"""``rsseg batch --dry-run``: what a batch would do, and about how long it would take."""

import shutil
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rsseg.batch.batch import crew_of, sizes_of
from rsseg.batch.names import Job
from rsseg.batch.prepared import Prepared, prepare
from rsseg.batch.request import Request
from rsseg.errors import RssegError
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import run
from rsseg.progress import SILENT, Reporter

TRIES = 5
"""Scenes that are tried as the typical one."""


@dataclass(frozen=True)
class Foreseen:
    """What a batch would do. ``seconds``, ``memory`` (bytes of a worker) and ``disk`` are None where not measured."""

    scenes: int
    done: int
    failed: int
    todo: list[str]
    gibibytes: float
    workers: int
    threads: int
    trains: list[str] = field(default_factory=list)
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None
    free: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def foresee(request: Request, *, measure: bool = True, reporter: Reporter = SILENT) -> Foreseen:
    """What ``batch`` would do with a request; nothing is written.

    With ``measure``, a scene of typical size is rehearsed, and the others are taken to cost what their bytes say.
    Raises: UsageError, InputError.
    """
    prepared = prepare(request, reporter)
    settled = prepared.settled(request.retry_failed, write=False)
    todo = [job for job in prepared.jobs if job.name not in settled]
    sizes, crew = sizes_of(todo), crew_of(request)
    done = sum(outcome.done for outcome in settled.values())
    parent = next(path for path in (request.output, *request.output.absolute().parents) if path.exists())
    foreseen = Foreseen(
        len(prepared.jobs),
        done,
        len(settled) - done,
        [job.place for job in todo],
        sum(sizes.values()) / (1 << 30),
        crew.workers,
        crew.threads,
        [] if prepared.trained else list(prepared.config.models),
        free=shutil.disk_usage(parent).free,
    )
    found = _measured(request, prepared, todo, sizes, crew.threads, reporter) if measure and todo else None
    if found is None:
        return foreseen
    training, scene, memory, disk, share = found
    in_training = training * min(request.sample, len(prepared.jobs)) if not prepared.trained else 0.0
    each = scene + (training if request.each else 0.0)
    seconds = in_training + each * share / max(1, min(crew.workers or 1, len(todo)))
    return replace(foreseen, seconds=seconds, memory=memory, disk=round(disk * share))


def _measured(
    request: Request, prepared: Prepared, todo: list[Job], sizes: dict[str, int], threads: int, reporter: Reporter
) -> tuple[float, float, int | None, int, float] | None:
    """Seconds of training and of the rest for a typical scene, memory, disk, and how many such scenes all are."""
    ordered = sorted(todo, key=lambda job: sizes[job.name])
    middle = ordered[len(ordered) // 2 :] + ordered[: len(ordered) // 2]
    for job in middle[:TRIES]:
        try:
            planned = run(
                request.pipeline,
                [job.path],
                request.output / "scenes" / job.name,
                overrides=request.overrides,
                aoi=request.aoi,
                names=[job.name],
                machine=Machine(request.device, threads, None, request.memory),
                dry_run=True,
                measure=True,
                reporter=reporter,
            )
        except RssegError:  # a broken scene is no typical one
            continue
        if planned.estimate:
            stages = {name: seconds or 0.0 for name, seconds in planned.estimate.stages.items()}
            training = sum(seconds for name, seconds in stages.items() if name.startswith("train "))
            share = sum(sizes.values()) / max(1, sizes[job.name])
            rest = sum(stages.values()) - training
            return training, rest, planned.estimate.memory, planned.estimate.disk, share
    return None
