"""One scene at a time on a GPU, whatever number of workers shares the machine."""

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from rsseg.batch.lock import try_lock
from rsseg.files import file_word

PAUSE = 0.2
"""Seconds between two looks for a GPU that is free."""


@contextmanager
def own_gpu(device: str, names: Sequence[str], folder: Path | None = None) -> Iterator[str]:
    """The device for one scene: itself, or for ``cuda`` and ``auto`` a GPU that no other worker of the machine holds.

    ``names`` tell the GPUs that this process sees from others of the machine. Waits until one is free. ``folder`` holds
    the locks of this machine.
    """
    if device not in ("auto", "cuda") or not names:
        yield device
        return
    place = folder or Path(tempfile.gettempdir())
    with ExitStack() as stack:
        # other users of the machine have locks of their own
        paths = [place / f"rsseg-{os.getuid()}-gpu-{file_word(name)}.lock" for name in names]
        files: list[IO[str]] = [stack.enter_context(path.open("a")) for path in paths]
        while True:
            free = next((number for number, file in enumerate(files) if try_lock(file)), None)
            if free is not None:
                yield f"cuda:{free}"
                return
            time.sleep(PAUSE)
