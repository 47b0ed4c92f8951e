"""The rows of ``quality.py`` as Markdown: overall scores, error by distance to boundaries, recall and IoU by class."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
Group = list[Row]

BASELINE = {"method": "kmeans", "features": "pixels"}
"""Pixel k-means as it comes; its number of classes is that of the map that is compared."""


def part_tables(part: str, rows: Sequence[Row], every: Iterable[Row]) -> str:
    """All tables of a part; ``every`` row is looked through for pixel k-means to compare with."""
    known = [row for row in every if "error" not in row and _is_baseline(row)]
    groups = grouped([row for row in rows if "error" not in row])
    refused = [f"- {row['key']}: {row['error']}" for row in rows if "error" in row]
    tables = [overall(groups, known), by_distance(groups, known), *by_class(groups)]
    return "\n\n".join([f"## {part}", *(text for text in tables if text), *refused]) + "\n"


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Rows that differ in their seed only, in the order of the first of each."""
    found: dict[tuple[Any, ...], Group] = {}
    for row in rows:
        key = (row["scene"], row["model"], row["classes"], str(row["varied"]))
        found.setdefault(key, []).append(row)
    return list(found.values())


def overall(groups: Sequence[Group], baseline: Sequence[Row]) -> str:
    """Accuracy, mIoU and what they are above pixel k-means of as many clusters; mean and spread over the seeds."""
    varied = list(groups[0][0]["varied"]) if groups else []
    lines = _head(
        [
            *("scene", "model", "K", *varied, "seeds", "one-to-one", "many-to-one", "less k-means'"),
            *("mIoU", "less k-means'", "NMI", "clusters", "largest", "training score", "epochs", "s"),
        ]
    )
    for group in groups:
        beside = _beside(group[0], baseline)
        cells = [_text(group[0][key]) for key in ("scene", "model", "classes")]
        cells += [_text(group[0]["varied"][name]) for name in varied]
        cells += [str(len(group)), spread(group, "one_to_one")]
        for score in ("many_to_one", "mean_iou"):
            cells += [spread(group, score), _signed(mean(group, score), mean(beside, score))]
        cells += [spread(group, "nmi"), f"{statistics.fmean(len(row['cluster_pixels']) for row in group):.1f}"]
        cells.append(f"{statistics.fmean(_largest(row) for row in group):.2f}")
        cells += [spread(group, "score"), f"{mean(group, 'epochs') or 0:.0f}", f"{mean(group, 'seconds') or 0:.0f}"]
        lines.append(_line(cells))
    return "\n".join(lines) if groups else ""


def by_distance(groups: Sequence[Group], baseline: Sequence[Row]) -> str:
    """Wrong pixels, in percent of those as far from the reference's boundaries; in brackets, less k-means'."""
    dense = [group for group in groups if "by_distance" in group[0]]
    if not dense:
        return ""
    ranges = list(dense[0][0]["by_distance"])
    varied = list(dense[0][0]["varied"])
    lines = _head(["scene", "model", "K", *varied, *(f"error at {name} px, %" for name in ranges)])
    seen: set[str] = set()
    for group in dense:
        scene = group[0]["scene"]
        if scene not in seen:
            seen.add(scene)
            counts = [str(group[0]["by_distance"][name]["pixels"]) for name in ranges]
            lines.append(_line([scene, "(pixels)", "", *("" for _ in varied), *counts]))
        cells = [_text(group[0][key]) for key in ("scene", "model", "classes")]
        cells += [_text(group[0]["varied"][name]) for name in varied]
        for name in ranges:
            own, other = (_error(rows, name) for rows in (group, _beside(group[0], baseline)))
            cells.append("" if own is None else f"{own:.1f} ({_signed(own, other, 1)})")
        lines.append(_line(cells))
    return "\n".join(lines)


def by_class(groups: Sequence[Group]) -> list[str]:
    """A table a scene: recall / IoU of each class in percent, clusters given their majority class."""
    tables = []
    for scene in dict.fromkeys(group[0]["scene"] for group in groups):
        own = [group for group in groups if group[0]["scene"] == scene]
        classes, varied = own[0][0]["by_class"], list(own[0][0]["varied"])
        counted = [f"{name} ({classes[name]['pixels']} px)" for name in classes]
        lines = _head([f"{scene}: recall / IoU, %", "K", *varied, *counted])
        for group in own:
            cells = [group[0]["model"], _text(group[0]["classes"])]
            cells += [_text(group[0]["varied"][name]) for name in varied]
            for name in classes:
                cells.append(" / ".join(_percent(group, name, score) for score in ("recall", "iou")))
            lines.append(_line(cells))
        tables.append("\n".join(lines))
    return tables


def mean(group: Sequence[Row], score: str) -> float | None:
    """The mean of a score, None of no rows."""
    return statistics.fmean(row[score] for row in group) if group else None


def spread(group: Sequence[Row], score: str) -> str:
    """The mean and, of several seeds, the largest less the smallest."""
    values = [row[score] for row in group]
    text = f"{statistics.fmean(values):.3f}"
    return f"{text} ± {max(values) - min(values):.3f}" if len(values) > 1 else text


def _is_baseline(row: Row) -> bool:
    settings = {key: value for key, value in row["settings"].items() if key != "classes"}
    return settings == BASELINE and row.get("majority", 1) == 1


def _beside(row: Row, baseline: Sequence[Row]) -> Group:
    """Pixel k-means of the row's scene and number of clusters."""
    return [other for other in baseline if (other["scene"], other["classes"]) == (row["scene"], row["classes"])]


def _largest(row: Row) -> float:
    return float(row["cluster_pixels"][0] / sum(row["cluster_pixels"]))


def _error(group: Sequence[Row], name: str) -> float | None:
    """Mean error in percent over the seeds, None where there is no pixel."""
    errors = [row["by_distance"][name]["error"] for row in group if row["by_distance"][name]["error"] is not None]
    return 100 * statistics.fmean(errors) if errors else None


def _percent(group: Sequence[Row], name: str, score: str) -> str:
    values = [row["by_class"][name][score] for row in group if row["by_class"][name][score] is not None]
    return f"{100 * statistics.fmean(values):.0f}" if values else "-"


def _signed(own: float | None, other: float | None, digits: int = 3) -> str:
    return "" if own is None or other is None else f"{own - other:+.{digits}f}"


def _text(value: Any) -> str:
    return str(value)


def _head(names: Sequence[str]) -> list[str]:
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
