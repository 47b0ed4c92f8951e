"""``rsseg batch``: a pipeline over an archive, so that it comes to an end whatever happens on the way."""

from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rsseg.batch.cluster import Cluster, Crew, choose_crew, connected, usable_cores
from rsseg.batch.display import Display, NoDisplay
from rsseg.batch.ending import Ending, finish, save_provenance
from rsseg.batch.lock import locked
from rsseg.batch.names import NAMES, Job, read_names, write_names
from rsseg.batch.outcome import Outcome
from rsseg.batch.prepared import CONFIGURATION, Prepared, largest_first, prepare
from rsseg.batch.products import product_files
from rsseg.batch.request import Request
from rsseg.batch.schedule import Schedule, Timing
from rsseg.batch.training import train_sample
from rsseg.errors import ResourceError
from rsseg.files import scratch_folder, sweep
from rsseg.learn.devices import gpu_count
from rsseg.learn.distributed import refuse_several
from rsseg.pipeline.cache import FOLDER
from rsseg.pipeline.stages.run import write_configuration
from rsseg.progress import SILENT, Reporter

RUNNING = "running"
"""A file in the output's hidden folder while a batch runs: where it was left, the batch was killed."""


@dataclass
class BatchResult:
    """How a batch ended: each scene's outcome in the archive's order, how many were settled before, what to look at."""

    folder: str
    outcomes: list[Outcome] = field(default_factory=list)
    before: int = 0
    left: int = 0
    ending: Ending = field(default_factory=Ending)
    timings: dict[str, Timing] = field(default_factory=dict)

    @property
    def failures(self) -> list[Outcome]:
        """The scenes that failed."""
        return [outcome for outcome in self.outcomes if not outcome.done]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": self.folder,
            "done": len(self.outcomes) - len(self.failures),
            "failed": len(self.failures),
            "before": self.before,
            "left": self.left,
            "files": self.ending.files,
            "unmatched": dict(self.ending.unmatched),
            "scenes": [outcome.as_dict() for outcome in self.outcomes],
        }


def batch(request: Request, *, display: Display | None = None, reporter: Reporter = SILENT) -> BatchResult:
    """Run a pipeline over every scene of an archive; the same request goes on where an earlier one stopped.

    A scene that fails stops no other one (unless ``on_error`` is fail); what became of each is in the result and in
    the output's summary.

    Raises: BusyError if another process works on the output; ResourceError if the disk is full or a scheduler is gone
    for good; RssegError of pipeline, archive or training.
    """
    refuse_several("rsseg batch")
    display = display or NoDisplay()
    hidden = request.output / FOLDER
    prepared = prepare(request, reporter)  # what is wrong with the request is said before anything is written
    with locked(hidden / "lock", request.wait, display.say):
        if not read_names(hidden / NAMES).items() <= prepared.names.items() or request.wait:
            prepared = prepare(request)  # another process worked here meanwhile
        _tidy(request.output)
        write_names(hidden / NAMES, prepared.names)
        write_configuration(prepared.config, request.output / CONFIGURATION)
        write_configuration(prepared.scene_config, prepared.work.pipeline)
        outcomes = prepared.settled(request.retry_failed)
        if len(outcomes) == len(prepared.jobs):
            result = _result(request, prepared, outcomes, len(outcomes), {})
            result.ending = finish(request, prepared, result.outcomes, display, reporter)
        else:
            result, prepared = _with_workers(request, prepared, outcomes, display, reporter)
        save_provenance(request, prepared, result.as_dict(), result.timings)
        (hidden / RUNNING).unlink(missing_ok=True)
    return result


def _tidy(output: Path) -> None:
    """Remove what a batch that was killed left half-written; scenes that are done are looked at no more after this."""
    marker = output / FOLDER / RUNNING
    if marker.exists():
        sweep(output)
    marker.touch()


def _with_workers(
    request: Request, prepared: Prepared, before: dict[str, Outcome], display: Display, reporter: Reporter
) -> tuple[BatchResult, Prepared]:
    """Train, run and finish on a cluster; ``before`` are the scenes that need no work."""
    crew = crew_of(request)
    with scratch_folder(request.output / FOLDER) as scratch, connected(crew, scratch, display.say) as cluster:
        cluster.listen(display.heard)
        prepared = replace(prepared, work=replace(prepared.work, threads=crew.threads))
        if not prepared.trained:
            display.say(f"training on a sample of {min(request.sample, len(prepared.jobs))} scenes")
            prepared = prepared.with_models(_trained(cluster, prepared))
            before = prepared.settled(request.retry_failed)
        todo = [job for job in prepared.jobs if job.name not in before]
        display.begin(len(prepared.jobs), len(before))
        schedule = Schedule(cluster, prepared.work, display, request.retries, request.on_error)
        try:
            schedule.run(largest_first(todo, sizes_of(todo)))
        finally:
            display.close()
        result = _result(request, prepared, {**before, **schedule.outcomes}, len(before), schedule.timings)
        complete = not result.left and not any(outcome.passing for outcome in result.failures)
        result.ending = finish(request, prepared, result.outcomes, display, reporter, cluster.spread, complete)
    return result, prepared


def _result(
    request: Request, prepared: Prepared, outcomes: dict[str, Outcome], before: int, timings: dict[str, Timing]
) -> BatchResult:
    ordered = [outcomes[job.name] for job in prepared.jobs if job.name in outcomes]
    return BatchResult(str(request.output), ordered, before, len(prepared.jobs) - len(ordered), timings=timings)


def crew_of(request: Request) -> Crew:
    """The workers that a request asks for, or that this machine has room for."""
    gpus = gpu_count() if request.device in ("auto", "cuda") else 0
    return choose_crew(request.workers, request.memory, request.threads, request.scheduler, gpus, request.patience)


def sizes_of(jobs: list[Job]) -> dict[str, int]:
    """Bytes of each scene's files, as a measure of its work."""
    found = {}
    for job in jobs:
        try:
            found[job.name] = sum(path.stat().st_size for path in product_files(job.path))
        except OSError:
            found[job.name] = 0
    return found


def _trained(cluster: Cluster, prepared: Prepared) -> dict[str, Path]:
    """The sample's models, trained on a worker with all cores; an interrupted training goes on from its checkpoint.

    Raises: RssegError, or what else stopped the training.
    """
    # the other workers wait; a worker elsewhere has what it was started with
    work = replace(prepared.work, threads=prepared.work.threads if cluster.crew.scheduler else usable_cores())
    arguments = (prepared.sample, prepared.kept, prepared.jobs, work, work.output / CONFIGURATION)
    last = False
    while True:
        future = cluster.client.submit(train_sample, *arguments, pure=False, retries=0)
        try:
            return dict(future.result())
        except CancelledError:  # with the scheduler
            cluster.find_again()
        except Exception as problem:
            if type(problem).__name__ != "KilledWorker":
                raise
            if last:
                raise ResourceError(
                    "the worker that trained on the sample was killed twice; give workers more with --memory, or train "
                    "on fewer scenes with --sample"
                ) from problem
            last = True
