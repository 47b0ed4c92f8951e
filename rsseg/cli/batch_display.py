"""A batch as it goes: a live table on a terminal, a line a scene elsewhere, JSON events with --log-json."""

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rsseg.cli.dry_run import duration
from rsseg.cli.progress import TerminalReporter
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.batch.display import Display
    from rsseg.batch.names import Job
    from rsseg.batch.outcome import Outcome

TRAINING = "training"
"""What workers call the sample's run."""

SHOWN = 20
"""Running scenes that the table has room for."""


def display_of(reporter: Reporter) -> "Display":
    """The display that goes with a command's reporter."""
    from rsseg.batch.display import NoDisplay

    if isinstance(reporter, TerminalReporter):
        return LiveDisplay(reporter) if sys.stderr.isatty() else LineDisplay(reporter)
    if hasattr(reporter, "event"):
        return EventDisplay(reporter)
    return NoDisplay()


@dataclass
class Counts:
    """How far a batch is."""

    total: int = 0
    before: int = 0
    done: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)

    @property
    def ended(self) -> int:
        """Scenes that need no more work."""
        return self.before + self.done + self.failed

    @property
    def left(self) -> float | None:
        """Seconds until the end, by what the scenes took so far; None before the first one."""
        now = self.done + self.failed
        return (time.monotonic() - self.began) / now * (self.total - self.ended) if now else None

    def count(self, outcome: "Outcome") -> None:
        """A scene's end."""
        if outcome.done:
            self.done += 1
        else:
            self.failed += 1


@dataclass
class _Row:
    """A scene that a worker has."""

    began: float
    message: str = ""


class LineDisplay:
    """A line a scene, with how many are done and how long the rest will take."""

    def __init__(self, reporter: TerminalReporter) -> None:
        self.reporter, self.counts = reporter, Counts()

    def begin(self, total: int, before: int) -> None:
        """Say how many scenes there are."""
        self.counts = Counts(total, before)
        self.reporter.say(f"{total} scenes, {before} of them settled before")

    def heard(self, told: dict[str, str]) -> None:
        """Warnings, and every stage of the training; of scenes where much is asked for."""
        if "warning" in told:
            self.reporter.say(f"{told['scene']}: warning: {told['warning']}")
        elif self.reporter.verbose or told["scene"] == TRAINING:
            self.reporter.say(f"{told['scene']}: {told['message']}")

    def ended(self, job: "Job", outcome: "Outcome", seconds: float, again: bool) -> None:
        """How the scene ended."""
        if not again:
            self.counts.count(outcome)
        self.reporter.say(
            f"[{self.counts.ended}/{self.counts.total}] {line_of(job, outcome, seconds, again)}{self._left()}"
        )

    def say(self, message: str) -> None:
        """A line."""
        self.reporter.say(message)

    def close(self) -> None:
        """Nothing is open."""

    def _left(self) -> str:
        left = self.counts.left
        return f", {duration(left)} left" if left else ""


class LiveDisplay(LineDisplay):
    """A table of the scenes that are being worked on, below the lines of those that ended."""

    def __init__(self, reporter: TerminalReporter) -> None:
        super().__init__(reporter)
        self.running: dict[str, _Row] = {}
        self.over: set[str] = set()  # what is heard of a scene may come after its end
        self.live: Live | None = None

    def begin(self, total: int, before: int) -> None:
        """Open the table."""
        super().begin(total, before)
        self.running.clear()
        self._open()

    def heard(self, told: dict[str, str]) -> None:
        """What is done now beside the scene's name; called in a thread of Dask's."""
        name = told["scene"]
        if name == TRAINING or "warning" in told:
            super().heard(told)
        elif name not in self.over:
            self.running.setdefault(name, _Row(time.monotonic())).message = told["message"]

    def ended(self, job: "Job", outcome: "Outcome", seconds: float, again: bool) -> None:
        """A row less, a line more."""
        if not again:
            self.over.add(job.name)
        self.running.pop(job.name, None)
        super().ended(job, outcome, seconds, again)

    def close(self) -> None:
        """The table goes."""
        if self.live:
            self.live.stop()
            self.live = None

    def _open(self) -> None:
        self.live = Live(
            get_renderable=self._table, console=self.reporter.console, refresh_per_second=2, transient=True
        )
        self.live.start()

    def _table(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        now = time.monotonic()
        for name, row in list(self.running.items())[:SHOWN]:
            table.add_row(Text(name), Text(duration(now - row.began), style="dim"), Text(row.message, style="dim"))
        if len(self.running) > SHOWN:
            table.add_row(Text(f"and {len(self.running) - SHOWN} more"))
        counts, left = self.counts, self.counts.left
        told = f"{counts.done + counts.before} settled, {counts.failed} failed, {counts.total - counts.ended} to go"
        return Group(table, Text(told + (f", about {duration(left)} left" if left else "")))


class EventDisplay:
    """A JSON object a scene."""

    def __init__(self, reporter: Any) -> None:
        self.reporter, self.counts = reporter, Counts()

    def begin(self, total: int, before: int) -> None:
        """How many scenes there are."""
        self.counts = Counts(total, before)
        self.reporter.event("batch", scenes=total, before=before)

    def heard(self, told: dict[str, str]) -> None:
        """What its worker does, or warns of."""
        kind = "warning" if "warning" in told else "stage"
        self.reporter.event(kind, name=told["scene"], message=told.get("warning", told.get("message", "")))

    def ended(self, job: "Job", outcome: "Outcome", seconds: float, again: bool) -> None:
        """How the scene ended."""
        if not again:
            self.counts.count(outcome)
        told = {key: getattr(outcome, key) for key in ("name", "place", "state", "kind", "cause", "remedy")}
        left = self.counts.left
        eta = {} if left is None else {"left_seconds": round(left)}
        self.reporter.event("scene", **told, seconds=round(seconds, 3), again=again, ended=self.counts.ended, **eta)

    def say(self, message: str) -> None:
        """A line."""
        self.reporter.say(message)

    def close(self) -> None:
        """Nothing is open."""


def line_of(job: "Job", outcome: "Outcome", seconds: float, again: bool) -> str:
    """A scene's end as a sentence."""
    if outcome.done:
        return f"{job.name}: done in {duration(seconds)}"
    return f"{job.name}: {'tried again later' if again else 'failed'}: {outcome.cause}; {outcome.remedy}"
