"""How long the command line takes to answer: ``rsseg --help`` against a bare interpreter.

ours     ``python -m rsseg --help``, as the installed command runs.
limit    the interpreter with click and yaml imported, which any such command needs; ``interpreter`` is it alone.
instead  the same interpreter importing what the package works with (torch, rasterio): what a command takes to start
         that imports it all at its top, as scripts do.

Seconds are of ``calls`` starts after one another, divided by their number. The peak is the largest of them.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row

LINES = (
    Line(
        "startup",
        "rsseg --help",
        __name__,
        {
            "ours": "python -m rsseg --help",
            "limit": "python -c 'import click, yaml'",
            "interpreter": "python -c pass",
            "instead": "python -c 'import click, yaml, numpy, rasterio, torch'",
        },
        settings={"calls": 5},
        aims=[Aim("seconds", 0.3)],
    ),
)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    return _started(["-m", "rsseg", "--help"], settings["calls"])


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    return _started(["-c", "import click, yaml"], settings["calls"])


def interpreter(folder: Path, settings: dict[str, Any]) -> Row:
    return _started(["-c", "pass"], settings["calls"])


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    return _started(["-c", "import click, yaml, numpy, rasterio, torch"], settings["calls"])


def _started(words: list[str], calls: int) -> Row:
    began = time.perf_counter()
    for _ in range(calls):
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    seconds = (time.perf_counter() - began) / calls
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
