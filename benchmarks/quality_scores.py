"""What a label map is worth beside a reference: overall, by class, and by distance to the classes' boundaries."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter

from rsseg.label.contingency import contingency
from rsseg.label.maps import LabelMap
from rsseg.label.matching import assign_many_to_one, assign_one_to_one
from rsseg.label.metrics.clustering import normalised_mutual_information
from rsseg.label.metrics.confusion import Confusion, confusion
from rsseg.label.reference import open_reference

DISTANCES: tuple[tuple[int, int | None], ...] = ((0, 1), (2, 3), (4, 7), (8, None))
"""First and last whole distance of each group of pixels; the last group is open."""


def scored_file(labels: Path, reference: Path, field: str | None, dense: bool) -> dict[str, Any]:
    """``scored`` of a label raster and a reference of polygons, with their class ``field``, or of a raster.

    Raises: InputError or GridError if they cannot be read on one grid.
    """
    with LabelMap(labels) as source, open_reference(reference, source.grid, labels, field) as truth:
        window = source.grid.window
        return scored(source.read(window), truth.read(window), truth.classes, dense)


def scored(
    labels: NDArray[np.uint8], reference: NDArray[np.uint8], classes: tuple[str, ...], dense: bool
) -> dict[str, Any]:
    """All scores of a map over the pixels with a label and a reference, ready for JSON.

    Args:
        labels: (h, w) clusters from 1, 0 for no data.
        reference: (h, w) class codes from 1, 0 for no reference.
        classes: the names of the codes.
        dense: whether the reference covers the scene, so that its boundaries mean something.

    Recall, IoU and the error by distance are of clusters that each have their majority class (many to one).
    ``cluster_pixels`` are the sizes of all clusters in the whole map, largest first.
    """
    table = contingency(labels, reference, 255, len(classes))
    clusters = np.flatnonzero(table[1:, 1:].any(axis=1)) + 1
    counts = table[clusters, 1:]
    many = confusion(counts, assign_many_to_one(counts), classes)
    one = confusion(counts, assign_one_to_one(counts), classes)
    sizes = table[1:].sum(axis=1)
    found: dict[str, Any] = {
        "pixels": int(counts.sum()),
        "one_to_one": one.overall_accuracy,
        "many_to_one": many.overall_accuracy,
        "mean_iou": many.mean_iou,
        "nmi": normalised_mutual_information(counts),
        "by_class": {
            score.name: {"pixels": score.pixels, "recall": score.recall, "iou": score.iou}
            for score in many.class_scores
        },
        "cluster_pixels": sorted((int(size) for size in sizes[sizes > 0]), reverse=True),
    }
    if dense:
        found["by_distance"] = error_by_distance(mapped(labels, clusters, many), labels, reference)
    return found


def mapped(labels: NDArray[np.uint8], clusters: NDArray[np.int64], found: Confusion) -> NDArray[np.uint8]:
    """The class code that each pixel's cluster was given: (h, w), 0 for none."""
    codes = np.zeros(256, np.uint8)
    codes[clusters] = np.array(found.assigned) + 1
    return codes[labels]


def boundary_distance(reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How many pixels lie between a pixel and the nearest one of another class: (h, w), 0 beside it.

    Euclidean, less the one step from a pixel to its neighbour. Pixels without a reference are no class, and have NaN;
    so have those of a reference of one class: infinity.
    """
    distance = np.full(reference.shape, np.nan)
    for code in np.unique(reference[reference > 0]):
        own, other = reference == code, (reference > 0) & (reference != code)
        distance[own] = distance_transform_edt(~other)[own] - 1 if other.any() else np.inf
    return distance


def error_by_distance(
    answered: NDArray[np.uint8], labels: NDArray[np.uint8], reference: NDArray[np.uint8]
) -> dict[str, dict[str, float | int | None]]:
    """Pixels and the share of wrong ones in each group of distances, over pixels with a label and a reference.

    Args:
        answered: (h, w) class codes of the map; 0, for clusters without a class, is wrong.
        labels, reference: (h, w), 0 for none.
    """
    distance = boundary_distance(reference)
    known, wrong = (labels > 0) & (reference > 0), answered != reference
    found: dict[str, dict[str, float | int | None]] = {}
    for first, last in DISTANCES:
        beyond = np.inf if last is None else last + 1
        group = known & (distance >= first) & ((distance < beyond) | (last is None))
        pixels = int(group.sum())
        error = float(wrong[group].mean()) if pixels else None
        found[f"{first}+" if last is None else f"{first}-{last}"] = {"pixels": pixels, "error": error}
    return found


def majority_filtered(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Each pixel's most frequent label (the lowest of equals) in a window of ``side`` pixels, an odd number: (h, w).

    Pixels without a label (0) stay so and have no voice; beyond the map its outermost pixels count again.
    """
    best, found = np.zeros(labels.shape), labels.copy()
    for value in np.unique(labels[labels > 0]):
        # whole counts: their rounded means would decide ties
        share = np.rint(uniform_filter((labels == value).astype(np.float64), side, mode="nearest") * side**2)
        found[share > best] = value
        np.maximum(best, share, out=best)
    found[labels == 0] = 0
    return found
