"""Progress on stderr: bars with the time remaining on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rsseg.cli.printable import one_line, printable
from rsseg.progress import SILENT, Reporter, Task


@dataclass
class _BarTask:
    progress: Progress
    number: TaskID

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Move the bar, and show ``note`` beside it."""
        if note is not None:
            self.progress.update(self.number, note=printable(note))
        self.progress.advance(self.number, amount)


class TerminalReporter:
    """Bars and lines on stderr; nested tasks share one display."""

    def __init__(self, verbose: bool = False) -> None:
        """``verbose``: say how long each task took when it ends."""
        self.verbose = verbose
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        self.progress: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        """Show a bar while the task is open; a silent one where stderr is no terminal."""
        began = time.perf_counter()
        with self._bar(description, total) as task:
            yield task
        if self.verbose:
            self.say(f"{description}: {total} in {time.perf_counter() - began:.1f} s")

    @contextmanager
    def _bar(self, description: str, total: int) -> Iterator[Task]:
        if not sys.stderr.isatty():
            with SILENT.task(description, total) as silent:
                yield silent
            return
        outermost = self.progress is None
        display = self.progress or self._display()
        if outermost:
            self.progress = display
            display.start()
        number = display.add_task(one_line(description), total=total, note="")
        try:
            yield _BarTask(display, number)
        finally:
            display.remove_task(number)
            if outermost:
                display.stop()
                self.progress = None

    def say(self, message: str) -> None:
        """Print one line on stderr."""
        self.console.print(printable(message), markup=False)

    def _display(self) -> Progress:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        return Progress(*columns, console=self.console, transient=True)


def terminal_reporter(quiet: bool, verbose: bool = False) -> Reporter:
    """The reporter of a command: silent with ``-q``."""
    return SILENT if quiet else TerminalReporter(verbose)
