"""Runs lines of the suite: every part in a process of its own, alternating, after a round that is not counted.

A module of the suite has ``LINES``, a tuple of ``lines.Line``, and the functions they name:

    def prepare(folder: Path, settings: dict[str, Any]) -> None: ...
    def ours(folder: Path, settings: dict[str, Any]) -> Row: ...      # {"seconds": ..., "work": ...}
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from suite.lines import Line, Row, judged, ratios, reduced

BENCH = Path(__file__).resolve().parents[1] / "bench.py"
SETTINGS = "settings.json"


class PartFailed(Exception):
    """A part of a line ended with an error; the message holds the end of what it said."""


def run_line(line: Line, folder: Path, settings: Mapping[str, Any], repeats: int, machine: Mapping[str, Any]) -> Row:
    """Measure all parts of a line in ``folder``, and work out its ratios.

    Raises: PartFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS).write_text(json.dumps(dict(settings)))
    if hasattr(import_module(line.module), line.prepare):
        _start(line.module, line.prepare, folder)
    rows: dict[str, list[Row]] = {name: [] for name in line.parts}
    for number in range(repeats + 1):
        for name in line.parts:
            row = _start(line.module, name, folder)
            if number > 0 or repeats == 0:
                rows[name].append(row)
    return result(line, settings, rows, machine)


def result(line: Line, settings: Mapping[str, Any], rows: Mapping[str, Sequence[Row]], machine: Mapping) -> Row:
    """What is kept of a line: parts, ratios, aims, and what they were measured with."""
    parts = {name: {"what": line.parts[name], **reduced(found)} for name, found in rows.items()}
    found, derived = ratios(parts), line.derive(parts) if line.derive else {}
    return {
        "line": line.name,
        "title": line.title,
        "unit": line.unit,
        "settings": dict(settings),
        "parts": parts,
        "ratios": found,
        "derived": derived,
        "aims": judged(line.aims, {**parts.get("ours", {}), **derived, **found}),
        "machine": dict(machine),
        "date": time.strftime("%Y-%m-%d"),
    }


def _start(module: str, part: str, folder: Path) -> Row:
    """Run one part in a process of its own.

    Its peak memory begins at the size of this process, which therefore imports nothing large.
    """
    command = [sys.executable, str(BENCH), "--child", module, part, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "0"})
    if done.returncode != 0:
        raise PartFailed(f"{part} of {module}: {done.stderr.strip()[-1500:]}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def run_child(module: str, part: str, folder: Path) -> Row:
    """Run one part here; its row, with this process's peak resident memory unless it gives one."""
    settings = json.loads((folder / SETTINGS).read_text())
    name, _, argument = part.partition("@")
    row = getattr(import_module(module), name)(folder, settings, *([argument] if argument else [])) or {}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"peak_mib": peak, **row}
