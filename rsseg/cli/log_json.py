"""``--log-json``: what a command tells on stderr as JSON objects, one a line, for programs that watch it."""

import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rsseg.progress import Task

OPTION, VARIABLE = "--log-json", "RSSEG_LOG_JSON"

EVERY = 30.0
"""Seconds after which a task that goes on says how far it is."""

_LINE = threading.Lock()


def wanted(words: Sequence[str] = ()) -> bool:
    """Whether the words of a command line ask for JSON, or the environment does (``RSSEG_LOG_JSON=1``)."""
    options = words[: words.index("--")] if "--" in words else words
    return OPTION in options or os.environ.get(VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off")


class JsonReporter:
    """A reporter whose messages and tasks are JSON objects on stderr, and that can tell other events too."""

    def __init__(self, quiet: bool = False) -> None:
        """``quiet``: leave messages and tasks out; events that are told by name stay."""
        self.quiet = quiet

    def event(self, event: str, /, message: str = "", **fields: Any) -> None:
        """Print one line: time (ISO 8601, UTC), event, message, and ``fields`` in their order.

        A stderr that is closed ends no work. The line is ASCII, whatever the texts hold; numbers that are not finite
        are null.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps(_plain({"time": now, "event": event, "message": message, **fields}))
        with _LINE, suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        """Tell when the task begins, where it is twice a minute, and when it ends, with its seconds."""
        task = _JsonTask(self, description, total)
        task.tell("begun")
        try:
            yield task
        except BaseException:
            task.tell("failed")
            raise
        task.tell("ended")

    def say(self, message: str) -> None:
        """One line of information."""
        if not self.quiet:
            self.event("message", message)


@dataclass
class _JsonTask:
    reporter: JsonReporter
    description: str
    total: int
    done: int = 0
    began: float = field(default_factory=time.perf_counter)
    told: float = 0.0

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Count, and tell it when nothing was told for a while."""
        self.done += amount
        if time.perf_counter() - self.told >= EVERY:
            self.tell("running", **({"note": note} if note else {}))

    def tell(self, state: str, **fields: Any) -> None:
        """Print where the task is."""
        self.told = time.perf_counter()
        if not self.reporter.quiet:
            seconds = {} if state == "begun" else {"done": self.done, "seconds": round(self.told - self.began, 3)}
            self.reporter.event("task", self.description, state=state, total=self.total, **seconds, **fields)


class _LogHandler(logging.Handler):
    """Warnings and errors that libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record as an event; one that is made of other parts than it says is told as it is."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        event = "error" if record.levelno >= logging.ERROR else "warning"
        JsonReporter().event(event, text, logger=record.name)


@contextmanager
def library_logs() -> Iterator[None]:
    """While open, what libraries log as warnings and errors are events too, not lines of their own."""
    root, handler = logging.getLogger(), _LogHandler(logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def take_logs(*names: str) -> None:
    """Make loggers that print by themselves, as those of ``distributed`` do, hand their records to ``library_logs``.

    Call it after the library is imported.
    """
    for name in names:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.propagate = True


def _plain(value: Any) -> Any:
    """A value that JSON can hold; what it does not know is text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
