"""One scene at a time on a GPU, whatever number of workers shares the machine."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from rsseg.batch.lock import try_lock

PAUSE = 0.2
"""Seconds between two looks for a GPU that is free."""


@contextmanager
def own_gpu(device: str, count: int, folder: Path | None = None) -> Iterator[str]:
    """The device for one scene: itself, or for ``cuda`` and ``auto`` a GPU that no other worker of the machine holds.

    ``count``: how many GPUs there are. Waits until one is free. ``folder`` holds the locks of this machine.
    """
    if device not in ("auto", "cuda") or count == 0:
        yield device
        return
    places = [
        (folder or Path(tempfile.gettempdir())) / f"rsseg-{os.getuid()}-gpu-{number}.lock" for number in range(count)
    ]
    with ExitStack() as stack:
        files: list[IO[str]] = [stack.enter_context(path.open("a")) for path in places]
        while True:
            free = next((number for number, file in enumerate(files) if try_lock(file)), None)
            if free is not None:
                yield f"cuda:{free}"
                return
            time.sleep(PAUSE)
