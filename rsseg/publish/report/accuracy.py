"""How well the maps meet their references, where there are some."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsseg.label.metrics.confusion import row_shares
from rsseg.publish.report.heat import heat_table
from rsseg.publish.report.html import Html, Section, join, name, number, table, tag
from rsseg.publish.run_folder import SceneFolder

_OVERALL = (
    ("overall_accuracy", "Accuracy"),
    ("mean_iou", "Mean IoU"),
    ("weighted_iou", "Weighted IoU"),
    ("mean_f1", "Mean F1"),
    ("kappa", "Kappa"),
)
_BY_CLASS = (("iou", "IoU"), ("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"))


def accuracy_section(scenes: Sequence[SceneFolder]) -> Section | None:
    """Scores, a part for each scene that has a reference; None where none has."""
    parts = [_part(scene) for scene in scenes if scene.evaluations]
    if not parts:
        return None
    about = (
        "One-to-one gives each reference class one cluster (Hungarian method); clusters left over are errors. "
        "Many-to-one gives each cluster the class that most of its reference pixels have, which flatters maps of many "
        "clusters. Only pixels with a reference count."
    )
    return Section("Accuracy", tag("p", about), tuple(parts))


def _part(scene: SceneFolder) -> Section:
    overall = _overall(scene)
    parts = [Section(model, _of_map(scene, model, found)) for model, found in scene.evaluations.items()]
    return Section(scene.name, overall, tuple(parts))


def assignments(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The scores of an evaluation by how clusters got classes; those that are none are left out."""
    given = found.get("assignments")
    return {key: value for key, value in given.items() if isinstance(value, dict)} if isinstance(given, dict) else {}


def _number(value: Any, digits: int = 3) -> Html:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return tag("td", number(float(value), digits) if known else "\u2013", class_="n")


def _overall(scene: SceneFolder) -> Html:
    rows = []
    for model, found in scene.evaluations.items():
        for way, scored in assignments(found).items():
            pixels = found.get("pixels")
            scores = [_number(scored.get(key)) for key, _ in _OVERALL]
            shared = [_number(found.get("nmi")), _number(found.get("ari"))]
            rows.append([name(model), way, pixels if isinstance(pixels, int) else "\u2013", *scores, *shared])
    columns = ["Map", "Classes by", "Pixels", *(title for _, title in _OVERALL), "NMI", "ARI"]
    return table(join(["Scores of the maps of ", name(scene.name)]), columns, rows)


def _of_map(scene: SceneFolder, model: str, found: Mapping[str, Any]) -> Html:
    parts = []
    for way, scored in assignments(found).items():
        parts += [_classes(scene, model, way, scored), _confusion(scene, model, way, scored)]
    return join(parts)


def _classes(scene: SceneFolder, model: str, way: str, scored: Mapping[str, Any]) -> Html:
    classes = [item for item in _list(scored.get("classes")) if isinstance(item, dict)]
    if not classes:
        return Html("")
    rows = [
        [
            name(item.get("name", "")),
            *(_number(item.get(key), 0) for key in ("pixels", "mapped")),
            *(_number(item.get(key)) for key, _ in _BY_CLASS),
        ]
        for item in classes
    ]
    columns = ["Class", "Reference pixels", "Map pixels", *(title for _, title in _BY_CLASS)]
    return table(join([f"Classes {way}: ", name(model), " on ", name(scene.name)]), columns, rows)


def _confusion(scene: SceneFolder, model: str, way: str, scored: Mapping[str, Any]) -> Html:
    matrix = scored.get("matrix")
    if not isinstance(matrix, dict):
        return Html("")
    rows, columns = _list(matrix.get("rows")), _list(matrix.get("columns"))
    try:
        counts = np.array(matrix.get("counts"), np.float64)
    except (TypeError, ValueError):
        return Html("")
    if counts.shape != (len(rows), len(columns)) or not counts.size:
        return Html("")
    orientation = str(matrix.get("orientation", "rows reference, columns map"))
    told = f": {orientation}; pixels, coloured by their share of the row"
    caption = join([f"Confusion matrix {way} of ", name(model), " on ", name(scene.name), told])
    return heat_table(
        row_shares(counts),
        [name(item) for item in rows],
        [name(item) for item in columns],
        caption=caption,
        corner=orientation,
        shown=lambda row, col: number(int(counts[row, col])),
        framed=len(rows),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
