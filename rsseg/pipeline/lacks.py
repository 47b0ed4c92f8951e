"""What the machine lacked, where that is why something failed: disk or memory."""

import errno
import sys
from collections.abc import Iterator
from typing import Literal

from rsseg.errors import RssegError

Lack = Literal["disk", "memory"]

REMEDIES: dict[Lack, str] = {
    "disk": "free space there, or choose an output on another disk; the same command goes on where it stopped",
    "memory": "close other programs, or use a smaller --memory, --batch or --threads (on a GPU: --device cpu)",
}

_NUMBERS: dict[int | None, Lack] = {errno.ENOSPC: "disk", errno.EDQUOT: "disk", errno.ENOMEM: "memory"}

_WORDS: dict[str, Lack] = {"is the disk full?": "disk", "has too little memory": "memory"}
"""What our own errors say; what was half-written is gone by then, so that its disk is no longer full."""


def lack_of(problem: BaseException) -> Lack | None:
    """What was lacking, told by an exception or by one that caused it; None where it failed for another reason."""
    return next((found for item in _causes(problem) if (found := _own(item))), None)


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while problem is not None and id(problem) not in seen:
        yield problem
        seen.add(id(problem))
        problem = problem.__cause__


def _own(problem: BaseException) -> Lack | None:
    if isinstance(problem, RssegError):
        return next((lack for words, lack in _WORDS.items() if words in str(problem)), None)
    if isinstance(problem, OSError):
        return _NUMBERS.get(problem.errno)
    if "os error 28" in str(problem):  # as safetensors says it
        return "disk"
    return "memory" if _memory_ran_out(problem) else None


def _memory_ran_out(problem: BaseException) -> bool:
    """Also torch's errors, which are only met where torch was imported."""
    if isinstance(problem, MemoryError) or "torch" not in sys.modules:
        return isinstance(problem, MemoryError)
    from rsseg.learn.steps import is_shortage

    return is_shortage(problem)
