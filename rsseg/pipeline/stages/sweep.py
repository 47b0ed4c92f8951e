"""The table of a sweep: what was varied, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rsseg.files import write_text
from rsseg.learn.model import load_model
from rsseg.publish.tables import records_csv


def sweep_table(
    varied: Mapping[str, Mapping[str, Any]],
    models: Mapping[str, Path],
    evaluations: Sequence[tuple[str, str, Path]],
    output: Path,
) -> list[dict[str, Any]]:
    """Write a row for each variant and scene: its options, the training's score, and the map's scores.

    ``varied``: variant -> its options; ``models``: variant -> model file; ``evaluations``: (scene, variant, evaluation
    table). Variants without a reference have a row with the training's score alone.
    """
    options = list(dict.fromkeys(key for row in varied.values() for key in row))
    rows = []
    for name, chosen in varied.items():
        if name not in models:
            continue
        provenance = load_model(models[name]).provenance
        shares = provenance.get("shares", {})
        start = {
            "variant": name,
            **{key: chosen.get(key) for key in options},
            "score": provenance.get("score"),
            "clusters_used": shares.get("clusters_used"),
        }
        scored = [(scene, path) for scene, variant, path in evaluations if variant == name]
        rows += [{"scene": scene, **start, **_scores(path)} for scene, path in scored] or [{"scene": "", **start}]
    write_text(output, records_csv(rows), overwrite=True)
    return rows


def _scores(path: Path) -> dict[str, Any]:
    """The numbers of an evaluation that fit one row: those of the clusters, then those of each assignment."""
    content = json.loads(path.read_text(encoding="utf-8"))
    found = {key: content[key] for key in ("nmi", "ari")}
    for assignment, scores in content["assignments"].items():
        title = assignment.replace("-", "_")
        every = {**(scores.get("segmentation") or {}), **scores}  # accuracy and IoU are those of the whole map
        found |= {
            f"{title}_{key}": value for key, value in every.items() if value is None or isinstance(value, int | float)
        }
    return found
