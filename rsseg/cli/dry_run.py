"""What a dry run prints: the stages, how long each would take, and what the run would take in all."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rsseg.pipeline.estimate import Estimate
    from rsseg.pipeline.stages.run import RunResult

no_estimate = click.option(
    "--no-estimate",
    "measure",
    flag_value=False,
    default=True,
    help="With --dry-run: do not measure how long the stages would take.",
)


def plan_lines(result: "RunResult") -> Iterator[str]:
    """A line a stage, and one for all of them where they were measured."""
    width = max((len(stage["stage"]) for stage in result.stages), default=0)
    for stage in result.stages:
        told = f"{stage['state']:>8}  {stage['stage']:<{width}}  {_seconds(stage) if result.estimate else '':>8}"
        yield told.rstrip()
    if result.estimate and result.estimate.stages:
        yield _total(result.estimate)


def _total(found: "Estimate") -> str:
    memory = f", {size(found.memory)} of memory" if found.memory else ""
    unknown = f"; without {', '.join(found.unknown)}, which could not be measured" if found.unknown else ""
    return f"about {duration(found.seconds)} on this machine at most{memory}, {size(found.disk)} on disk{unknown}"


def _seconds(stage: dict[str, Any]) -> str:
    """A stage's seconds; nothing for finished ones."""
    if stage["state"] == "finished":
        return ""
    return "?" if stage["seconds"] is None else duration(stage["seconds"])


def duration(seconds: float) -> str:
    """Seconds as a text of two figures at most: 0.4 s, 12 s, 3 min, 2.5 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.1f} min" if seconds < 9.95 * 60 else f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def size(count: int) -> str:
    """Bytes as a text, in powers of 1024 as --memory reads them: 640 KiB, 12 MiB, 1.2 GiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if count >= 0.95 * unit:
            return f"{count / unit:.1f} {name}" if count < 9.95 * unit else f"{count / unit:.0f} {name}"
    return f"{count / 1024:.0f} KiB"
