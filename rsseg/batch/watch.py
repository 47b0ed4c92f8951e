"""A scene's limits of time and memory, kept by ending the worker's process: nothing else stops work in C for sure."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from rsseg.batch.records import Limits
from rsseg.files import write_text

PERIOD = 0.1
"""Seconds between two looks."""


@contextmanager
def watched(limits: Limits, words: Path, end: Any = os._exit) -> Iterator[None]:
    """End this process when it takes longer or more memory than ``limits`` say; the reason goes to the file ``words``.

    ``end`` is called with the exit code.
    """
    words.unlink(missing_ok=True)
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(limits, words, stop, end), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def last_words(path: Path) -> dict[str, Any]:
    """Why a worker ended itself: ``kind`` (time or memory) and ``cause``; empty if it did not. They are read once."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        path.unlink()
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _watch(limits: Limits, words: Path, stop: threading.Event, end: Any) -> None:
    began, process = time.monotonic(), psutil.Process()
    while not stop.wait(PERIOD):
        if limits.seconds is not None and time.monotonic() - began > limits.seconds:
            _end(words, "time", f"it took longer than the limit of {limits.seconds:g} s", end)
            return
        if process.memory_info().rss > limits.memory:
            told = f"{limits.memory / (1 << 20):.0f} MiB"
            _end(words, "memory", f"it needed more memory than a worker has ({told})", end)
            return


def _end(words: Path, kind: str, cause: str, end: Any) -> None:
    try:
        write_text(words, json.dumps({"kind": kind, "cause": cause}), overwrite=True)
    finally:
        end(70)
