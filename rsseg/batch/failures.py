"""What went wrong with a scene, as its outcome: the kind of failure, its cause, and what to do."""

import errno
import os
import shutil
from pathlib import Path

from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome
from rsseg.errors import ResourceError, RssegError
from rsseg.pipeline.cache import FOLDER
from rsseg.pipeline.lacks import lack_of

PASSING = (errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.ENETUNREACH, errno.EHOSTDOWN)
"""Errors of the system that may be gone at the next try."""

LEAST_FREE = 8 << 20
"""With fewer bytes free on the output's disk, a failure is put down to that."""

REMEDIES = {
    "InputError": "get the product again, or take it out of the archive",
    "ModelError": "give it a model of its own bands and units, or leave such scenes out with --where",
    "GridError": "leave the scene out with --where, or change the pipeline's patch",
    "UsageError": "change the pipeline or the options, or leave the scene out with --where",
    "TrainingError": "look at the scene: it may have too few valid pixels; leave it out with --where",
    "memory": "give each worker more with --memory, or use fewer workers",
    "disk": "free space on the output's disk; the same command goes on",
    "time": "raise --time-limit, or leave the scene out",
    "worker": "run the same command again; if it fails again, look into the system's log for what ended the process",
}
"""Kind of failure -> what to do, where the message does not say it."""


def failed(job: Job, kind: str, cause: str, *, remedy: str = "", passing: bool = False) -> Outcome:
    """A failure; without a ``remedy`` that of its kind."""
    return Outcome(
        job.name, job.place, "failed", kind, cause, remedy or REMEDIES.get(kind, REMEDIES["worker"]), passing
    )


def failure_of(problem: Exception, job: Job, output: Path) -> Outcome:
    """What an error says of a scene; ``output`` is where the batch writes."""
    if is_full(problem, output):
        return failed(job, "disk", f"the disk of {output} is full", passing=True)
    # "what is wrong; what to do", as messages are written
    cause, _, remedy = str(problem).partition("; ") if isinstance(problem, RssegError) else ("", "", "")
    if lack_of(problem) == "memory":
        return failed(job, "memory", cause or "not enough memory", remedy=remedy, passing=True)
    if isinstance(problem, RssegError):
        return failed(job, type(problem).__name__, cause, remedy=remedy, passing=_may_pass(problem))
    if isinstance(problem, OSError):
        return _of_system(problem, job, output)
    told = f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"
    return failed(job, "unexpected", told, remedy=f"report it as a fault of rsseg, with {traceback_path(output, job)}")


def _may_pass(problem: RssegError) -> bool:
    """Whether the system said so, to us or, as text, to GDAL."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, ResourceError) or (isinstance(cause, OSError) and cause.errno in PASSING):
            return True
        cause = cause.__cause__
    return any(os.strerror(number) in str(problem) for number in (errno.EIO, errno.ESTALE))


def _of_system(problem: OSError, job: Job, output: Path) -> Outcome:
    """An error of the system: one that may pass, one of the product's files, or one that nobody foresaw."""
    where = f" ({problem.filename})" if problem.filename else ""
    cause = f"{problem.strerror or problem}{where}"
    if problem.errno in PASSING:
        return failed(job, "InputError", cause, remedy=REMEDIES["worker"], passing=True)
    if where and not Path(str(problem.filename)).absolute().is_relative_to(output):
        return failed(job, "InputError", cause)
    return failed(job, "unexpected", cause, remedy=REMEDIES["worker"])


def traceback_path(output: Path, job: Job) -> Path:
    """Where the traceback of an unexpected error goes."""
    return output / FOLDER / "tracebacks" / f"{job.name}.txt"


def is_full(problem: Exception, output: Path) -> bool:
    """Whether the output's disk has no room left, which GDAL does not always say.

    What an error of ours says of other files than the output's has its own cause, however full the disk is.
    """
    if lack_of(problem) == "disk":
        return True
    if isinstance(problem, RssegError) and str(output) not in str(problem):
        return False
    try:
        return shutil.disk_usage(output).free < LEAST_FREE
    except OSError:
        return False
