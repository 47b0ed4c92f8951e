"""Training steps of every method, against the same network, loss and optimiser on one resident batch.

ours   the trainer's own epoch: shuffled indices, gathering, augmentation, step, optimiser, checks of the losses.
limit  the method's step on samples that were gathered once. The two take turns in one process (``training.py``), so
       that they see the same machine: this part gives what ``ours`` has measured, and that process's peak.

Seconds are of one step of each phase of the method, in sum over phases and patch sizes; ``limit over ours by phase``
has each phase's own. The scene is noise in memory, for a step costs the same whatever it shows. Dense methods take
small tiles here; with ``--full`` their own (null), some of which take minutes a step on a CPU.
"""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from suite.lines import Line, Row

PATCH_METHODS, DENSE_METHODS = ("recal", "iic", "ddc", "gan-imsat"), ("iic-dense", "wce", "context")
ROWS = "rows.json"


def shares(parts: dict[str, Row]) -> Row:
    """The share of the bare loop's steps a second that training reaches, by phase and patch."""
    seconds = {kind: parts[kind]["by_phase"] for kind in ("ours", "limit")}
    return {"limit over ours by phase": {key: seconds["limit"][key] / value for key, value in seconds["ours"].items()}}


def line(method: str) -> Line:
    """The line of one method."""
    dense = method in DENSE_METHODS
    settings = {"method": method, "seconds": 1.0, "patches": [32] if dense else [8]}
    return Line(
        f"training-{method}",
        f"training steps, {method}",
        __name__,
        {"ours": "the trainer's epoch", "limit": "the same step on one resident batch, in turns in the same process"},
        settings=settings,
        full={"patches": [None] if dense else [8, 16, 32]},
        derive=shares,
    )


LINES = tuple(map(line, PATCH_METHODS + DENSE_METHODS))


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    import contextlib
    import resource
    import sys

    import training

    from rsseg.learn.devices import choose_device

    wanted = Namespace(seconds=settings["seconds"], repeats=1, precision="fp32")
    rows: list[Row] = []
    with contextlib.redirect_stdout(sys.stderr):
        for patch in settings["patches"]:
            rows += training.measure(settings["method"], patch, wanted, choose_device("cpu"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (folder / ROWS).write_text(json.dumps({"rows": rows, "peak_mib": peak}))
    return _row(rows, "ours", peak)


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    kept = json.loads((folder / ROWS).read_text())
    return _row(kept["rows"], "bare", kept["peak_mib"])


def _row(rows: list[Row], kind: str, peak: float) -> Row:
    by_phase = {f"{row['phase']} at {row['patch']} px": 1 / row[kind] for row in rows}
    return {"seconds": sum(by_phase.values()), "peak_mib": peak, "by_phase": by_phase}
