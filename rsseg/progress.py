"""What long work tells whoever waits for it, without knowing how that is shown."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """A piece of work of known length."""

    def advance(self, amount: int = 1, note: str | None = None) -> None:
        """Report that ``amount`` more units are done; ``note`` replaces the short text beside the bar."""


class Reporter(Protocol):
    """Where progress goes: the command line shows bars with the time remaining, tests and notebooks nothing."""

    def task(self, description: str, total: int) -> AbstractContextManager[Task]:
        """Open a task of ``total`` units."""

    def say(self, message: str) -> None:
        """One line of information for the user."""


class _SilentTask:
    def advance(self, amount: int = 1, note: str | None = None) -> None:
        pass


class Silent:
    """A reporter that shows nothing; the default of every stage."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Task]:
        """Yield a task that shows nothing."""
        yield _SilentTask()

    def say(self, message: str) -> None:
        """Say nothing."""


SILENT = Silent()
