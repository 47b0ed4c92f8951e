"""What a batch tells whoever waits for it, without knowing how that is shown."""

from typing import Protocol

from rsseg.batch.names import Job
from rsseg.batch.outcome import Outcome


class Display(Protocol):
    """Where a batch's progress goes."""

    def begin(self, total: int, before: int) -> None:
        """``total`` scenes are wanted, of which ``before`` were settled by an earlier run."""

    def heard(self, told: dict[str, str]) -> None:
        """What a worker tells: of a ``scene``, a ``message`` of what it does now, or a ``warning``."""

    def ended(self, job: Job, outcome: Outcome, seconds: float, again: bool) -> None:
        """A scene's end after so many seconds; ``again``: it will be tried once more."""

    def say(self, message: str) -> None:
        """One line of information."""

    def close(self) -> None:
        """Nothing more comes."""


class NoDisplay:
    """Shows nothing."""

    def begin(self, total: int, before: int) -> None:
        """Nothing."""

    def heard(self, told: dict[str, str]) -> None:
        """Nothing."""

    def ended(self, job: Job, outcome: Outcome, seconds: float, again: bool) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
