"""A mapped label map against its reference by the nine metrics of Ferreira et al. (ablation studies, Table I)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from rsseg.label.metrics.boundary import boundary_displacement_error
from rsseg.label.metrics.confusion import Confusion, confusion
from rsseg.label.metrics.segmentation import (
    Overlap,
    global_consistency_error,
    overlap_of_labels,
    overlap_of_table,
    rand_index,
    segmentation_covering,
    variation_of_information,
)
from rsseg.label.numbered import pair_counts

Regions = Literal["classes", "components"]
"""What a region is: all pixels of a class, or each of its connected components (pixels that share an edge)."""


@dataclass(frozen=True)
class SegmentationScores:
    """Scores of a mapped map against its reference, over the pixels that both label.

    The first four are of classes, the others of regions: ``variation_of_information`` in bits,
    ``boundary_displacement_error`` in pixels (None where it was not computed), ``segmentation_covering`` of the map's
    regions by the reference's and ``reference_covering`` of the reference's by the map's. Low is good for variation of
    information, consistency error and displacement, high for the others.
    """

    overall_accuracy: float
    mean_iou: float
    weighted_iou: float
    mean_f1: float
    variation_of_information: float
    probabilistic_rand_index: float
    global_consistency_error: float
    boundary_displacement_error: float | None
    segmentation_covering: float
    reference_covering: float


@dataclass(frozen=True)
class MappedClusters:
    """Which class each cluster of a map was given.

    Args:
        clusters: (k,) the map's codes (see ``numbered.NumberedMap``), from 1.
        assigned: (k,) the class index of each, -1 for none; such pixels form one more region, which is never right.
        classes: the class names.
    """

    clusters: tuple[int, ...]
    assigned: tuple[int, ...]
    classes: tuple[str, ...]

    def regions(self, labels: np.ndarray) -> np.ndarray:
        """Class codes of labels (h, w): (h, w) uint16, from 1, 0 for no data, classes + 1 for no class."""
        codes = np.zeros(np.iinfo(labels.dtype).max + 1, np.uint16)
        for cluster, owner in zip(self.clusters, self.assigned, strict=True):
            codes[cluster] = owner + 1 if owner >= 0 else len(self.classes) + 1
        return codes[labels]

    def confusion(self, labels: np.ndarray, reference: np.ndarray) -> Confusion:
        """The confusion of labels (h, w) uint8 or uint16 with class codes (h, w) uint8."""
        rows = 255 if labels.dtype == np.uint8 else max(int(labels.max()), *self.clusters)
        table = pair_counts(labels, reference, rows, len(self.classes))
        return confusion(table[list(self.clusters), 1:], np.array(self.assigned), self.classes)


def score_table(found: Confusion) -> SegmentationScores:
    """What one confusion tells, with classes as regions: everything but the boundary displacement error."""
    return _scores(found, overlap_of_table(found.matrix.T), None)


def score_arrays(
    labels: np.ndarray, reference: np.ndarray, mapped: MappedClusters, regions: Regions, boundaries: bool = True
) -> SegmentationScores | None:
    """Score a map, or a tile of it; None if no pixel has both a label and a reference.

    Components are those of the compared pixels: where label or reference is missing, they end.

    Args:
        labels: (h, w) uint8 or uint16 codes of clusters, 0 for no data.
        reference: (h, w) uint8 class codes, 0 for no reference.
        mapped: the classes of the clusters.
        regions: what the scores of regions take for one.
        boundaries: whether to compute the boundary displacement error, which takes by far the longest. Components
            have the boundaries of their classes, so that it does not depend on ``regions``.

    Memory is about 20 bytes a pixel with boundaries, 45 with components.
    """
    known = (labels > 0) & (reference > 0)
    if not known.any():
        return None
    found = mapped.confusion(labels, reference)
    codes = mapped.regions(labels)
    overlap = overlap_of_table(found.matrix.T) if regions == "classes" else _component_overlap(codes, reference, known)
    return _scores(found, overlap, boundary_displacement_error(codes, reference) if boundaries else None)


def mean_scores(scores: Sequence[SegmentationScores]) -> SegmentationScores:
    """The mean of each score over tiles (at least one), every tile with the same weight."""
    means: dict[str, Any] = {}
    for field in fields(SegmentationScores):
        values = [getattr(score, field.name) for score in scores]
        means[field.name] = None if None in values else float(np.mean(values))
    return SegmentationScores(**means)


def components(codes: np.ndarray) -> np.ndarray:
    """Number the connected components of a class map (h, w), 0 for none: (h, w) int64, from 1, 0 where codes are 0.

    Pixels of one class are connected where they share an edge.
    """
    from skimage.measure import label  # half a second, which class maps need not wait for

    numbered: np.ndarray = label(codes, background=0, connectivity=1)
    return numbered


def _component_overlap(codes: np.ndarray, reference: np.ndarray, known: np.ndarray) -> Overlap:
    first = components(np.where(known, codes, 0))[known] - 1
    return overlap_of_labels(first, components(np.where(known, reference, 0))[known] - 1)


def _scores(found: Confusion, overlap: Overlap, displacement: float | None) -> SegmentationScores:
    return SegmentationScores(
        overall_accuracy=found.overall_accuracy,
        mean_iou=found.mean_iou,
        weighted_iou=found.weighted_iou,
        mean_f1=found.mean_f1,
        variation_of_information=variation_of_information(overlap),
        probabilistic_rand_index=rand_index(overlap),
        global_consistency_error=global_consistency_error(overlap),
        boundary_displacement_error=displacement,
        segmentation_covering=segmentation_covering(overlap),
        reference_covering=segmentation_covering(overlap, "reference"),
    )
