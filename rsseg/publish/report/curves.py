"""How the models learned: loss and other values of every epoch, from the trainings' histories."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rsseg.publish.report.html import Html, Section, join, name, number, table, tag
from rsseg.publish.report.images import Album, figure_of
from rsseg.publish.report.spectra import panels as empty_panels
from rsseg.publish.report.spectra import style
from rsseg.publish.report.values import said
from rsseg.publish.run_folder import ModelEntry

_PLACES = ("epoch", "phase", "run", "seconds", "steps", "step")
"""Keys of a history that say where in the training a line belongs, not how it went."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_LINES = ("-", "--", ":", "-.")
_PANELS = 12

SMOOTHED_FROM = 10
"""Epochs from which on a phase has a running mean beside its values."""

Lines = dict[tuple[str, str], list[tuple[int, float]]]
"""(phase, run) -> (epoch, value) in order."""


def curves_section(models: Sequence[ModelEntry], album: Album) -> Section | None:
    """Curves and settings, a part for each model; None without a model."""
    if not models:
        return None
    parts = [Section(model.name, join([_curves(model, album), _settings(model)])) for model in models]
    about = tag(
        "p",
        f"Points are the values of each epoch; from {SMOOTHED_FROM} epochs on, strong lines are their running mean. An "
        "epoch visits each training patch once. Losses of different phases or models are not on one scale.",
    )
    return Section("Training", about, tuple(parts))


def series(history: Sequence[Mapping[str, Any]]) -> dict[str, Lines]:
    """Values by key, phase and run; what is no finite number is left out."""
    found: dict[str, Lines] = {}
    for row in history:
        where = (str(row.get("phase", "")), str(row.get("run", 0)))
        epoch = row.get("epoch")
        if not isinstance(epoch, int):
            continue
        for key, value in row.items():
            if key not in _PLACES and isinstance(value, int | float) and np.isfinite(value):
                found.setdefault(key, {}).setdefault(where, []).append((epoch, float(value)))
    order = sorted(found, key=lambda key: (key != "loss", "loss" not in key, key != "score", key))
    return {key: found[key] for key in order}


def smoothed(values: Sequence[float]) -> np.ndarray:
    """The running mean over a tenth of the values, at least three of them: (n,); at the ends over what there is.

    Few values stay as they are: a mean over three of six would hide what they do.
    """
    reach = max(1, len(values) // 20) if len(values) >= SMOOTHED_FROM else 0
    sums = np.concatenate([[0.0], np.cumsum(values)])
    first = np.maximum(np.arange(len(values)) - reach, 0)
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _curves(model: ModelEntry, album: Album) -> Html:
    found = series(model.history)
    if not found:
        return tag("p", "There is no history of this training: the method has none (k-means), or it was not kept.")
    phases = list(dict.fromkeys(phase for lines in found.values() for phase, _ in lines))
    panels = [(key, phase) for key in found for phase in phases if any(where[0] == phase for where in found[key])]
    alt = f"Training curves of {model.name}; the table has the first and the last values."
    image = album.add_chart(f"curves {model.name}", _chart(found, panels[:_PANELS]), alt)
    return join([figure_of(image, join(["Training of ", name(model.name)])), _ends(model, found)])


def _chart(found: Mapping[str, Lines], panels: Sequence[tuple[str, str]]) -> Figure:
    across = 3
    down = -(-len(panels) // across)
    axes = empty_panels(down, across, 1.5, letters=0.66)
    for one, (key, phase) in zip(axes, panels, strict=False):
        _panel(one, key, phase, found[key])
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    figure: Figure = axes[0].figure
    return figure


def _panel(axes: Axes, key: str, phase: str, lines: Lines) -> None:
    runs = [(run, points) for (where, run), points in lines.items() if where == phase]
    for place, (run, points) in enumerate(runs):
        epochs, values = [point[0] for point in points], [point[1] for point in points]
        colour, line = _COLOURS[place % len(_COLOURS)], _LINES[place % len(_LINES)]
        axes.plot(
            epochs, values, color=colour, alpha=0.45, linewidth=0.8, marker=".", markersize=3 if len(epochs) > 1 else 9
        )
        axes.plot(epochs, smoothed(values), color=colour, linewidth=1.8, linestyle=line, label=f"run {run}")
    axes.set_title(f"{key.replace('_', ' ')}, {phase}"[:48], fontsize=8.5, loc="left", parse_math=False)
    axes.set_xlabel("epoch", fontsize=7.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if all(value == int(value) for _, points in runs for _, value in points):
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    if len(runs) > 1:
        axes.legend(fontsize=7, frameon=False)
    style(axes)


def _ends(model: ModelEntry, found: Mapping[str, Lines]) -> Html:
    """First and last values; of several runs each."""
    rows = []
    for key, lines in found.items():
        for (phase, run), points in lines.items():
            first, last = points[0], points[-1]
            rows.append([key.replace("_", " "), name(phase), run, len(points), _value(first[1]), _value(last[1])])
    columns = ["Value", "Phase", "Run", "Epochs", "First", "Last"]
    return table(join(["What the training of ", name(model.name), " began and ended with"]), columns, rows)


def _value(value: float) -> Html:
    return tag("td", number(int(value)) if value == int(value) else number(value, 4), class_="n")


def _settings(model: ModelEntry) -> Html:
    if not model.config:
        return Html("")
    rows = [[key.replace("_", " "), name(said(value))] for key, value in model.config.items()]
    return table(join(["Settings of ", name(model.name)]), ["Setting", "Value"], rows, class_="settings")
