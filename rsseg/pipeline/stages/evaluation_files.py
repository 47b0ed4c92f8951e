"""The tables and pictures of an evaluation."""

from dataclasses import asdict
from pathlib import Path

from rsseg.files import write_text
from rsseg.label.mapping import Assignment
from rsseg.label.metrics.confusion import Confusion, row_shares
from rsseg.pipeline.stages.evaluation import Evaluation
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.tables import json_text, matrix_csv, records_csv

TABLE = "evaluation.json"
ORIENTATION = "rows reference, columns map"


def write_evaluation(result: Evaluation, folder: Path) -> None:
    """Write all tables and pictures of an evaluation into an empty folder."""
    write_text(folder / TABLE, json_text(result.as_dict()))
    table = matrix_csv(result.table, result.titles, result.classes, "rows clusters, columns reference")
    write_text(folder / "contingency.csv", table)
    scores = [
        {"assignment": name, **asdict(score)}
        for name, found in result.confusions.items()
        for score in found.class_scores
    ]
    write_text(folder / "classes.csv", records_csv(scores))
    if result.segmentation is not None:
        write_text(folder / "segmentation.csv", records_csv(result.segmentation.records()))
    for name, found in result.confusions.items():
        _write_confusion(name, found, folder)
    if result.estimates is not None:
        for name, estimated in result.estimates.found.items():
            records = estimated.records(result.estimates.total_m2)
            write_text(folder / f"estimates_{_stem(name)}.csv", records_csv(records))


def _stem(name: Assignment) -> str:
    return name.replace("-", "_")


def _write_confusion(name: Assignment, found: Confusion, folder: Path) -> None:
    stem = f"confusion_{_stem(name)}"
    columns = (*found.classes, "unmatched")
    write_text(folder / f"{stem}.csv", matrix_csv(found.matrix, found.classes, columns, ORIENTATION))
    picture_matrix(
        row_shares(found.matrix),
        found.classes,
        columns,
        folder / f"{stem}.png",
        title=f"{name}: accuracy {found.overall_accuracy:.3f}, mean IoU {found.mean_iou:.3f}",
        row_title="reference",
        column_title="map (share of each reference class)",
        framed=len(found.classes),
    )
