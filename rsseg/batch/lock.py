"""One process at a time on an output folder, and one on each scene in it.

The operating system frees the lock of a process that ends, however it ends, so that nothing stale is left to clean up.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rsseg.errors import BusyError, ResourceError

try:
    import fcntl
except ImportError:  # not Unix: nothing guards against two processes there
    fcntl = None  # type: ignore[assignment]

PAUSE = 0.5
"""Seconds between two looks at a lock that another process holds."""


@contextmanager
def locked(path: Path, wait: bool, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file of an output folder; ``wait`` until another process lets go of it, or say who holds it.

    Raises: BusyError naming the holder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        told = False
        while not try_lock(file):
            holder = _holder(file)
            if not wait:
                raise BusyError(
                    f"{path.parents[1]} is being worked on by {holder}; "
                    "wait for it with --wait, or choose another output"
                )
            if not told:
                say(f"waiting for {holder}, which works on {path.parents[1]}")
                told = True
            time.sleep(PAUSE)
        _sign(file)
        yield


@contextmanager
def scene_locked(path: Path, name: str, wait: bool = True) -> Iterator[bool]:
    """Hold one scene of an output, waiting for whoever else works on it: a worker of a scheduler that was lost.

    All scenes share the file ``path``; each locks a byte of its own. Without ``wait``, false if another holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        held = True
        if fcntl is not None:
            place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
            except BlockingIOError:
                held = False
            except OSError as problem:
                raise _no_locks(path.parents[1], problem) from problem
        yield held


def try_lock(file: IO[str]) -> bool:
    """Take a file's lock if no other process holds it; it is let go of when the file is closed."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as problem:
        raise _no_locks(Path(file.name).parent, problem) from problem
    return True


def _no_locks(folder: Path, problem: OSError) -> ResourceError:
    return ResourceError(
        f"{folder} takes no locks ({problem.strerror}), without which two processes could harm each other there; "
        "choose an output on another file system, see rsseg doctor FOLDER"
    )


def _sign(file: IO[str]) -> None:
    """Write who holds the lock, for those who find it held."""
    file.seek(0)
    file.truncate()
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    json.dump({"process": os.getpid(), "machine": platform.node(), "since": started}, file)
    file.flush()


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        held = json.loads(file.read())
        return f"process {held['process']} on {held['machine']} (since {held['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
