"""Published numbers on Potsdam, and a report that shows them beside what was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

METRICS = ("Acc", "IoU", "wIoU", "F1", "VoI", "PRI", "GCE", "BDE", "SC")
"""Of Ferreira et al., Table I: the first four in %, of all images; the others are means over images."""

SHAPES = ("{:.1f}",) * 4 + ("{:.2f}", "{:.3f}", "{:.3f}", "{:.1f}", "{:.3f}")

PUBLISHED_ACCURACY = {
    3: {
        "random CNN": 38.2,
        "k-means": 45.7,
        "SIFT": 38.2,
        "Doersch et al. 2015": 49.6,
        "Isola et al. 2016": 63.9,
        "DeepCluster 2018": 41.7,
        "IIC": 65.1,
        "InfoSeg 2021": 71.6,
        "STEGO 2022": 77.0,
    },
    6: {
        "random CNN": 28.3,
        "k-means": 35.3,
        "SIFT": 28.5,
        "Doersch et al. 2015": 37.2,
        "Isola et al. 2016": 44.9,
        "DeepCluster 2018": 29.2,
        "IIC": 45.4,
        "InfoSeg 2021": 57.3,
    },
}
"""Accuracy in %, one cluster a class: IIC's Table 4, then later work's own numbers."""

IIC_EPOCHS = {3: (37.9, 50.0, 61.8, 64.0, 63.2, 65.1), 6: (28.4, 31.9, 44.5, 43.6, 45.4)}
"""Accuracy in % by epoch, from 0, in the authors' logs."""

PUBLISHED_METRICS = {
    3: {
        "Ferreira et al., Table VIII, classifier 1, 10 epochs": (
            75.9,
            60.4,
            61.3,
            74.9,
            1.26,
            0.747,
            0.199,
            14.1,
            0.690,
        ),
        "Ferreira et al., Table VIII, classifier 2, 10 epochs": (
            76.3,
            61.0,
            61.8,
            75.4,
            1.22,
            0.750,
            0.190,
            14.1,
            0.696,
        ),
        "Ferreira et al., Table IX, 100 epochs": (76.5, 61.4, 62.2, 75.8, 1.23, 0.747, 0.193, 14.1, 0.702),
    },
    6: {
        "Ferreira et al., Table VIII, classifier 1, 10 epochs": (
            62.6,
            32.3,
            45.2,
            44.7,
            1.74,
            0.705,
            0.281,
            10.8,
            0.551,
        ),
        "Ferreira et al., Table VIII, classifier 2, 10 epochs": (
            62.9,
            33.1,
            45.8,
            45.8,
            1.78,
            0.706,
            0.278,
            10.5,
            0.566,
        ),
        "Ferreira et al., Table IX, 100 epochs": (63.5, 37.0, 46.3, 51.6, 1.75, 0.710, 0.278, 10.4, 0.562),
    },
}
"""100 clusters, each with its majority class, on 855 images."""

ORACLE = (
    "IIC's number is its best epoch by ground truth (in its logs, by epoch from 0: {epochs}); ours is the last "
    "epoch's, since no label may choose one."
)
LEAKS = "Test images are drawn from the same tiles as training images, as the papers do."
BITS = "VoI is in bits; the paper does not say its logarithm's base."


def markdown(report: Mapping[str, Any]) -> str:
    """A table for each way of giving clusters their classes: the papers' rows above ours; then what was run."""
    classes, rows = report["classes"], report["rows"]
    parts = [f"Potsdam{'-3' if classes == 3 else ''}: {report['images']} images of {report['size']} px"]
    if any(row["assignment"] == "one-to-one" for row in rows):
        published = {name: (value,) for name, value in PUBLISHED_ACCURACY[classes].items()}
        parts += ["", *_table("one cluster a class", "one-to-one", published, rows)]
    if any(row["assignment"] == "many-to-one" for row in rows):
        parts += ["", *_table("each cluster its majority class", "many-to-one", PUBLISHED_METRICS[classes], rows)]
    return "\n".join([*parts, "", *[f"- {note}" for note in notes(report)]])


def _table(
    title: str, assignment: str, published: Mapping[str, Sequence[float]], rows: Sequence[Mapping[str, Any]]
) -> list[str]:
    lines = [f"| {title} | {' | '.join(METRICS)} | clusters | images |", "|---" * (len(METRICS) + 3) + "|"]
    lines += [f"| {name} | {_cells(values)} | | |" for name, values in published.items()]
    for row in rows:
        if row["assignment"] == assignment:
            values = [row["scores"][metric] for metric in METRICS]
            lines.append(f"| **{row['name']}, ours** | {_cells(values)} | {row['clusters']} | {row['images']} |")
    return lines


def _cells(values: Sequence[float]) -> str:
    """Numbers in the metrics' own shapes, and empty cells for those that are not given."""
    shown = [shape.format(value) for shape, value in zip(SHAPES, values, strict=False)]
    return " | ".join(shown + [""] * (len(METRICS) - len(shown)))


def notes(report: Mapping[str, Any]) -> list[str]:
    """What was run, and where it is not what the papers did."""
    found = [
        f"{report['labelled']} images have ground truth, of which {report['tests']} are for testing; the papers have "
        f"5400 and 855 of 8550."
    ]
    for run in report["runs"]:
        changed = ", ".join(f"{key} {value}" for key, value in run["changed"].items())
        found.append(
            f"{run['method']}: {run['epochs_begun']} of {run['epochs']} epochs begun on {run['images']} images, "
            f"{run['seconds']:.0f} s, ended by its {run['ended_by']}{f'; not the paper: {changed}' if changed else ''}."
        )
    methods = {run["method"] for run in report["runs"]}
    if "iic-dense" in methods:
        epochs = ", ".join(f"{value:.1f}" for value in IIC_EPOCHS[report["classes"]])
        found.append(ORACLE.format(epochs=epochs))
    if "wce" in methods:
        found += [LEAKS, BITS]
    machine = f"{report['gpu']}, " if "gpu" in report else ""
    return [
        *found,
        f"{machine}{report['cpu']}, {report['threads']} threads, torch {report['torch']}, {report['date']}.",
    ]
