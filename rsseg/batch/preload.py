"""What local workers do when they start and end.

They import what a scene needs while the batch still trains or looks around. At their end they leave without a word:
some libraries under torch report what they leak when Python is taken down, dozens of lines that tell nothing.
"""

import atexit
import os
import sys
import threading
from typing import Any

from rsseg.batch.worker import load_stages


def dask_setup(worker: Any) -> None:
    """Called by Dask in a worker that starts."""
    atexit.register(_end)
    threading.Thread(target=load_stages, daemon=True).start()


def _end() -> None:
    """What was registered later has run before; the worker's folder is the batch's, which removes it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
