"""How far the boundaries of two segmentations lie apart."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from rsseg.errors import InputError

_ROWS = 512


def boundary(labels: np.ndarray) -> np.ndarray:
    """The pixels that have one of their four neighbours in another region: (h, w) bool.

    Both sides of a boundary belong to it, so that it is two pixels thick. Labels are compared for being unequal: a
    gradient of the label image, which the paper takes, misses the middle of lines that are one pixel wide.

    Args:
        labels: (h, w) whole numbers; 0 is no region, and makes no boundary with anything.

    With a single region, or several that nowhere touch, the boundary is the frame of the smallest rectangle that holds
    all regions: for an image without gaps its outermost pixels, as in the toolbox of Yang and Wright (2007).
    """
    found = np.zeros(labels.shape, bool)
    for before, after in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        first, second = labels[before], labels[after]
        changes = (first != second) & (first != 0) & (second != 0)
        found[before] |= changes
        found[after] |= changes
    return found if found.any() else _frame(labels)


def boundary_displacement_error(labels: np.ndarray, reference: np.ndarray) -> float:
    """The mean distance, in pixels, from a boundary to the nearest point of the other, averaged over both directions.

    Freixenet et al. (2002), as the toolbox of Yang and Wright (2007) computes it and Ferreira et al. (ablation studies,
    section I-B) describe it. Pixels without a label or without a reference belong to no region of either side and make
    no boundary; distances run straight across them. Where the compared pixels are scattered islands, such as training
    polygons, hardly any boundary is left, and the number says little.

    Args:
        labels: (h, w) whole numbers, 0 for no data.
        reference: (h, w), likewise.

    Memory is about 20 bytes a pixel.

    Raises: InputError if no pixel has both.
    """
    known = (labels != 0) & (reference != 0)
    if not known.any():
        raise InputError("two segmentations without a common pixel cannot be compared")
    inside = _rectangle(known)
    known, labels, reference = known[inside], labels[inside], reference[inside]
    first, second = boundary(np.where(known, labels, 0)), boundary(np.where(known, reference, 0))
    return (_mean_distance(first, second) + _mean_distance(second, first)) / 2


def _mean_distance(origin: np.ndarray, target: np.ndarray) -> float:
    """Mean distance of the pixels of ``origin`` (h, w) to their nearest of ``target``."""
    # only the boundary's distances are needed: half the time of asking for every pixel's
    nearest = distance_transform_edt(~target, return_distances=False, return_indices=True)
    total = 0.0
    for first in range(0, len(origin), _ROWS):  # positions of a noisy map's boundary outweigh the map itself
        rows, cols = np.nonzero(origin[first : first + _ROWS])
        rows += first
        total += float(np.hypot(nearest[0, rows, cols] - rows, nearest[1, rows, cols] - cols).sum())
    return total / int(np.count_nonzero(origin))


def _frame(labels: np.ndarray) -> np.ndarray:
    found = np.zeros(labels.shape, bool)
    if labels.any():
        rows, cols = _rectangle(labels != 0)
        found[rows, cols] = True
        found[rows.start + 1 : rows.stop - 1, cols.start + 1 : cols.stop - 1] = False
    return found


def _rectangle(known: np.ndarray) -> tuple[slice, slice]:
    """The smallest rectangle of an array (h, w) that holds all its true pixels."""
    rows, cols = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)
