"""What ended a command: one sentence, its kind, and the exit code."""

from dataclasses import dataclass

import click

from rsseg.errors import ResourceError, RssegError

STOPPED = "stopped"

STOPPED_CODE = 130
"""As shells say it of a program that SIGINT ended."""


@dataclass(frozen=True)
class Failure:
    """``kind``: the name of an error of rsseg's, disk, memory, stopped or unexpected."""

    message: str
    kind: str
    exit_code: int


def failure_of(problem: BaseException) -> Failure:
    """The failure that an exception stands for; every exception stands for one."""
    if isinstance(problem, (click.exceptions.Abort, KeyboardInterrupt)):
        text = "stopped; the same command goes on from what was finished (train: with --resume)"
        return Failure(text, STOPPED, STOPPED_CODE)
    if isinstance(problem, click.ClickException):
        kind = "UsageError" if isinstance(problem, click.UsageError) else type(problem).__name__
        return Failure(problem.format_message(), kind, problem.exit_code)
    from rsseg.pipeline.lacks import REMEDIES, lack_of

    lack = lack_of(problem)
    if isinstance(problem, RssegError):
        code = ResourceError.exit_code if lack else problem.exit_code
        return Failure(str(problem), lack or type(problem).__name__, code)
    if lack:
        return Failure(f"{_told(problem)}; {REMEDIES[lack]}", lack, ResourceError.exit_code)
    return Failure(f"{_told(problem)}; --debug shows where it happened", "unexpected", 1)


def _told(problem: BaseException) -> str:
    """An error that no code of ours foresaw: disk full, a driver's complaint, or a fault of rsseg."""
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    where = f" ({problem.filename})" if isinstance(problem, OSError) and problem.filename else ""
    return f"{type(problem).__name__}: {reason}{where}" if reason else f"{type(problem).__name__}{where}"
