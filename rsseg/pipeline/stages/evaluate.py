"""The stage ``evaluate``: one label map against a reference."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.files import write_text
from rsseg.label.contingency import contingency
from rsseg.label.maps import LabelMap, Resample, strips
from rsseg.label.metrics.clustering import adjusted_rand_index, normalised_mutual_information
from rsseg.label.metrics.confusion import Confusion, confusion
from rsseg.label.reference import Reference, check_touches, open_reference
from rsseg.label.scores import ASSIGN, ASSIGNMENTS, Assignment
from rsseg.label.segmentation_scores import Regions
from rsseg.pipeline.folders import result_folder
from rsseg.pipeline.stages.evaluate_regions import Comparison, Segmentation, compare_segmentations
from rsseg.progress import SILENT, Reporter
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.tables import json_text, matrix_csv, records_csv
from rsseg.scene.raster import CACHE_BYTES

TABLE = "evaluation.json"
ORIENTATION = "rows reference, columns map"


@dataclass(frozen=True)
class Evaluation:
    """A label map's scores; ``table`` (clusters, classes) counts the pixels that map and reference both label.

    ``clusters`` are the map's values, ``titles`` their names; ``unlabelled`` counts reference pixels where the map has
    no data, which enter no score.
    """

    name: str
    clusters: tuple[int, ...]
    titles: tuple[str, ...]
    classes: tuple[str, ...]
    table: np.ndarray
    unlabelled: int
    confusions: dict[Assignment, Confusion]
    segmentation: Segmentation

    @property
    def pixels(self) -> int:
        """The pixels compared."""
        return int(self.table.sum())

    @property
    def nmi(self) -> float:
        """Normalised mutual information (arithmetic mean) of clusters and classes."""
        return normalised_mutual_information(self.table)

    @property
    def ari(self) -> float:
        """Adjusted Rand index of clusters and classes."""
        return adjusted_rand_index(self.table)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "map": self.name,
            "pixels": self.pixels,
            "unlabelled_pixels": self.unlabelled,
            "nmi": self.nmi,
            "ari": self.ari,
            "segmentation": self.segmentation.as_dict(),
            "assignments": {name: self._assignment(name) for name in self.confusions},
            "contingency": {
                "orientation": "rows clusters of the map, columns classes of the reference",
                "rows": list(self.clusters),
                "titles": list(self.titles),
                "columns": list(self.classes),
                "counts": self.table.tolist(),
            },
        }

    def _assignment(self, name: Assignment) -> dict[str, Any]:
        result = self.confusions[name]
        named = {
            value: self.classes[owner] if owner >= 0 else None
            for value, owner in zip(self.clusters, result.assigned, strict=True)
        }
        return {"assigned": named, **result.as_dict(), "segmentation": asdict(self.segmentation.scores[name])}


def evaluate(
    labels: Path,
    reference: Path,
    output: Path | None = None,
    *,
    field: str | None = None,
    mapping: tuple[Assignment, ...] = ASSIGNMENTS,
    resample: Resample | None = None,
    regions: Regions = "classes",
    tile: int | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Evaluation:
    """Score a label map; pixels without a reference, or without a label, enter no score.

    Writes to the folder ``output``, if it is given: ``evaluation.json``, ``classes.csv`` (scores of each class),
    ``segmentation.csv`` (the mapped map as a segmentation), ``contingency.csv`` (clusters against classes), and for
    each assignment ``confusion_ASSIGNMENT.csv`` and ``.png``. The map is read in strips of 512 rows, and once more
    for the segmentation scores: in strips of ``tile`` rows, or whole up to 64 million pixels.

    Args:
        reference: polygons with a class ``field``, or a raster of classes.
        mapping: how clusters get classes: "one-to-one" (Hungarian method on counts; clusters left over are errors),
            "many-to-one" (each cluster its majority class).
        resample: "nearest" brings a reference raster of another grid to the map's.
        regions: what the segmentation scores take for a region: all pixels of a class, or its connected components.
        tile: average the segmentation scores over tiles of ``tile`` x ``tile`` pixels, as Ferreira et al. do with 200;
            the clusters' classes are those of the whole map. Tiles at the right and lower edge are smaller; tiles
            without a compared pixel do not count. None scores the whole raster; above 64 million pixels the boundary
            displacement error is then left out.

    Raises: UsageError, InputError, GridError.
    """
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        folder = None
        if output is not None:
            folder = stack.enter_context(result_folder(output, TABLE, (labels, reference), overwrite))
        source = stack.enter_context(LabelMap(labels))
        comparison = Comparison(regions, tile)
        comparison.check(source.grid)
        truth = stack.enter_context(open_reference(reference, source.grid, labels, field, resample))
        table = _count(source, truth, reporter)
        result = _score(source, truth, table, mapping, comparison, reporter)
        if folder is not None:
            _write(result, folder)
    return result


def _count(source: LabelMap, truth: Reference, reporter: Reporter) -> np.ndarray:
    classes = len(truth.classes)
    table = np.zeros((256, classes + 1), np.int64)
    with reporter.task("evaluate", source.grid.height) as task:
        for window, (labels, codes) in strips((source, truth), source.grid):
            table += contingency(labels, codes, 255, classes)
            task.advance(window.height)
    check_touches(truth, table, source.grid)
    return table


def _score(
    source: LabelMap,
    truth: Reference,
    table: np.ndarray,
    mapping: tuple[Assignment, ...],
    comparison: Comparison,
    reporter: Reporter,
) -> Evaluation:
    clusters = np.flatnonzero(table[1:, 1:].any(axis=1)) + 1
    counts = table[clusters, 1:]
    confusions = {name: confusion(counts, ASSIGN[name](counts), truth.classes) for name in mapping}
    values = tuple(int(value) for value in clusters)
    return Evaluation(
        source.name,
        values,
        tuple(source.title(value) for value in values),
        truth.classes,
        counts,
        int(table[0, 1:].sum()),
        confusions,
        compare_segmentations(source, truth, values, confusions, comparison, reporter),
    )


def _write(result: Evaluation, folder: Path) -> None:
    write_text(folder / TABLE, json_text(result.as_dict()))
    table = matrix_csv(result.table, result.titles, result.classes, "rows clusters, columns reference")
    write_text(folder / "contingency.csv", table)
    scores = [
        {"assignment": name, **asdict(score)}
        for name, found in result.confusions.items()
        for score in found.class_scores
    ]
    write_text(folder / "classes.csv", records_csv(scores))
    write_text(folder / "segmentation.csv", records_csv(result.segmentation.records()))
    for name, found in result.confusions.items():
        _write_confusion(name, found, folder)


def _write_confusion(name: Assignment, found: Confusion, folder: Path) -> None:
    stem = f"confusion_{name.replace('-', '_')}"
    columns = (*found.classes, "unmatched")
    write_text(folder / f"{stem}.csv", matrix_csv(found.matrix, found.classes, columns, ORIENTATION))
    totals = found.matrix.sum(axis=1, keepdims=True)
    shares = np.divide(found.matrix, totals, out=np.full(found.matrix.shape, np.nan), where=totals > 0)
    picture_matrix(
        shares,
        found.classes,
        columns,
        folder / f"{stem}.png",
        title=f"{name}: accuracy {found.overall_accuracy:.3f}, mean IoU {found.mean_iou:.3f}",
        row_title="reference",
        column_title="map (share of each reference class)",
        framed=len(found.classes),
    )
