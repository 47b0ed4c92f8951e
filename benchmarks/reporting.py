"""A clustering benchmark's report as a Markdown table, and the machine it was run on."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from protocols import COLUMNS

METRICS = {"nmi": ("NMI", "{:.3f}"), "accuracy": ("accuracy, %", "{:.1f}")}
ALWAYS = ("mean", "best_by_loss", "kmeans_pixels")
"""Columns that are shown even where neither the paper nor this run has a number."""


def hardware(device: torch.device) -> dict[str, Any]:
    """What computes: processor, accelerator, threads, and torch's version."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    found = {"cpu": models[0] if models else platform.processor() or platform.machine()}
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return {
        **found,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def markdown(report: Mapping[str, Any]) -> str:
    """Paper and measurement below each other, a column for each answer; then what was run, and where."""
    published, found = report["protocol"]["published"], report["summary"]
    columns = [key for key in COLUMNS if key in ALWAYS or key in published or (key in found and key != "highest")]
    rows = [f"| {report['method']} on {report['data']} | {' | '.join(COLUMNS[key] for key in columns)} | s a run |"]
    rows.append("|---" * (len(columns) + 2) + "|")
    seconds = [run["seconds"] for run in report["runs"]]
    for metric, (name, shape) in METRICS.items():
        if any(metric in numbers for numbers in published.values()):
            cells = [_cell(published.get(key, {}).get(metric), shape) for key in columns]
            rows.append(f"| {name}, paper | {' | '.join(cells)} | |")
        cells = [_cell(found.get(key, {}).get(metric), shape) for key in columns]
        rows.append(f"| {name}, ours | {' | '.join(cells)} | {sum(seconds) / len(seconds):.0f} |")
    return "\n".join([*rows, "", *_remarks(report)])


def _cell(value: float | tuple[float, float] | list[float] | None, shape: str) -> str:
    """A number, a mean with its standard deviation, or nothing."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return f"{shape.format(value[0])} ± {shape.format(value[1])}"
    return shape.format(value)


def _remarks(report: Mapping[str, Any]) -> list[str]:
    count, bands, height, width = report["images"]
    runs, protocol = report["runs"], report["protocol"]
    trained = ", ".join(f"{phase} {epochs}" for phase, epochs in runs[-1]["epochs"].items()) or "none"
    machine = f"{report['gpu']}, " if "gpu" in report else ""
    headline = f" The paper's headline: {COLUMNS[protocol['reports']]}." if protocol["published"] else ""
    return [
        f"- {count} images of {height} x {width}, {bands} bands, {report['classes']} classes; runs: {len(runs)}, from "
        f"seed {runs[0]['seed']}; epochs of the last: {trained}. ± is the standard deviation.{headline}",
        f"- {machine}{report['cpu']}, {report['threads']} threads, torch {report['torch']}, {report['date']}.",
        *[f"- {note}" for note in report["notes"]],
    ]
