"""The table of a run whose models label each other's scenes: how well each model does where it was not trained."""

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.errors import GridError
from rsseg.files import write_text
from rsseg.label.comparison import count
from rsseg.label.consensus import compare
from rsseg.label.maps import LabelMap
from rsseg.progress import SILENT, Reporter
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.tables import matrix_csv
from rsseg.scene.raster import CACHE_BYTES

ACCURACY, JACCARD = "accuracy", "mean Jaccard with the scene's own model"

PREFERRED = ("one-to-one", "names")
"""Whose accuracy is told, the first that an evaluation has: a class for each cluster, or the map's own classes."""


@dataclass(frozen=True)
class CrossScene:
    """One cell of the table: a model's map of a scene, and what it is compared with.

    ``evaluation`` is the map's scores against the scene's reference, if there is one; ``own`` the map by the model of
    this kind that was trained on the scene alone, if there is one.
    """

    model: str
    scene: str
    labels: Path
    evaluation: Path | None = None
    own: Path | None = None


def cross_scene(
    cells: Sequence[CrossScene],
    models: Sequence[str],
    scenes: Sequence[str],
    output: Path,
    *,
    reporter: Reporter = SILENT,
) -> np.ndarray:
    """Write the table of models (rows) by scenes (columns) to ``output``, a ``.csv``, and its heat map beside it.

    A column with a reference holds the accuracy of each map (clusters one to one with classes, or by name); any other
    the mean Jaccard of the classes of the scene's own model with the clusters matched to them by the Hungarian
    method, a class without a match counting 0, and 1 for the own model itself. Cells of which neither is known are
    empty. Maps are read in strips of 512 rows.

    Returns: (models, scenes) float64, 0 to 1, NaN where a cell is empty.
    """
    table = np.full((len(models), len(scenes)), math.nan)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20):
        for cell in cells:
            table[models.index(cell.model), scenes.index(cell.scene)] = _score(cell, reporter)
    measured = {cell.scene: ACCURACY if cell.evaluation else JACCARD for cell in cells}
    columns = [f"{scene} ({measured.get(scene, JACCARD)})" for scene in scenes]
    write_text(output, matrix_csv(table, models, columns, "rows models, columns scenes"), overwrite=True)
    kinds = sorted(set(measured.values()))
    picture_matrix(
        table,
        models,
        scenes,
        output.with_suffix(".png"),
        title=f"Models on scenes: {' or '.join(kinds)}",
        row_title="model",
        column_title="scene",
        overwrite=True,
    )
    return table


def _score(cell: CrossScene, reporter: Reporter) -> float:
    if cell.evaluation is not None:
        return _accuracy(json.loads(cell.evaluation.read_text(encoding="utf-8")))
    if cell.own is None:
        return math.nan
    return 1.0 if cell.own == cell.labels else _recovered(cell.own, cell.labels, reporter)


def _accuracy(evaluation: dict[str, Any]) -> float:
    found = evaluation["assignments"]
    way = next((name for name in PREFERRED if name in found), next(iter(found)))
    score = found[way]["overall_accuracy"]
    return math.nan if score is None else float(score)


def _recovered(own: Path, other: Path, reporter: Reporter) -> float:
    """How much of each class of the one map the other has too, on average."""
    with ExitStack() as stack:
        first = stack.enter_context(LabelMap(own, "own"))
        second = stack.enter_context(LabelMap(other, "other", first.grid))
        try:
            counted = count([first, second], reporter=reporter)
        except GridError:
            return math.nan
    pair = compare(counted.tables[0, 1], "own", "other")
    return float(np.diagonal(pair.jaccard)[: pair.matched].sum() / len(pair.rows))
