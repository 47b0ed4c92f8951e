"""Labels for training from a reference: the classes of patches or pixels, and which of them are held out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.label.reference import PolygonReference, Reference
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Axis, PatchGrid, Window

BLOCK = 16
"""Side in pixels of the squares that pixels of a reference raster are drawn by; patches are drawn by their own size."""


@dataclass(frozen=True)
class Labels:
    """The labelled samples of one scene.

    ``numbers`` (n,): patches by their number in the grid, increasing. ``codes``: their class codes (n,) uint8 from 1,
    or those of their pixels (n, patch, patch) with 0 for none. ``units``, int64 of the same shape: what is drawn as a
    whole, a polygon, or a square of a raster.
    """

    numbers: NDArray[np.int64]
    codes: NDArray[np.uint8]
    units: NDArray[np.int64]

    def counts(self, chosen: NDArray[np.bool_], classes: int) -> NDArray[np.int64]:
        """How many of the ``chosen`` labels each class has: (classes,)."""
        return np.bincount(self.codes[chosen], minlength=classes + 1)[1:]


def patch_labels(
    reference: Reference, grid: PatchGrid, numbers: NDArray[np.int64], advance: Callable[[int], None]
) -> Labels:
    """The classes of patches: at least half of a patch's pixels have a reference, most of them of its class.

    A patch belongs to the polygon that most of its pixels of that class lie in, or to the square of a patch's size
    that it starts in. ``advance`` is called with the rows of patches done.
    """
    found = [_row_labels(reference, grid, chosen, row) for row, chosen in _rows(grid, numbers, advance)]
    parts = [np.concatenate(part) for part in zip(*found, strict=True)]
    return Labels(parts[0], parts[1].astype(np.uint8), parts[2])


def pixel_labels(
    reference: Reference, grid: PatchGrid, numbers: NDArray[np.int64], scene: SceneInput, advance: Callable[[int], None]
) -> Labels:
    """The classes of the valid pixels of tiles; tiles without any are left out."""
    kept, codes, units = [], [], []
    for _, chosen in _rows(grid, numbers, advance):
        for number in chosen.tolist():
            window = grid.window(number)
            found = np.where(scene.source.read(window)[1], reference.read(window), 0).astype(np.uint8)
            if found.any():
                kept.append(number)
                codes.append(found)
                units.append(_pixel_units(reference, window, grid.cols.size))
    shape = (0, grid.patch, grid.patch)
    return Labels(
        np.array(kept, np.int64),
        np.stack(codes) if codes else np.zeros(shape, np.uint8),
        np.stack(units) if units else np.zeros(shape, np.int64),
    )


def _rows(
    grid: PatchGrid, numbers: NDArray[np.int64], advance: Callable[[int], None]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each row of patches with the numbers that are in it."""
    edges = np.searchsorted(numbers, np.arange(grid.rows.count + 1) * grid.cols.count)
    for row in range(grid.rows.count):
        yield row, numbers[edges[row] : edges[row + 1]]
        advance(1)


def _row_labels(
    reference: Reference, grid: PatchGrid, numbers: NDArray[np.int64], row: int
) -> tuple[NDArray, NDArray, NDArray]:
    window = Window(grid.rows.start(row), 0, grid.patch, grid.cols.size)
    codes = reference.read(window)
    starts = np.array(grid.cols.starts, np.int64)[numbers % grid.cols.count]
    counts = _class_counts(codes, starts, grid.patch, len(reference.classes))
    total, largest = counts.sum(axis=0), counts.max(axis=0)
    known = (2 * total >= grid.patch**2) & (2 * largest > total)
    classes, starts = counts.argmax(axis=0)[known] + 1, starts[known]
    if isinstance(reference, PolygonReference):
        units = _majority_polygons(reference.polygons(window), codes, classes, starts, grid.patch)
    else:
        units = _square(window.row, starts, grid.patch, grid.cols.size)
    return numbers[known], classes, units


def _class_counts(codes: NDArray[np.uint8], starts: NDArray[np.int64], patch: int, classes: int) -> NDArray[np.int64]:
    """Pixels of each class in the patches that start at columns ``starts``: (classes, n)."""
    columns = np.stack([(codes == code).sum(axis=0) for code in range(1, classes + 1)])
    running = np.concatenate([np.zeros((classes, 1), np.int64), columns.cumsum(axis=1)], axis=1)
    return running[:, starts + patch] - running[:, starts]


def _majority_polygons(
    polygons: NDArray[np.int32], codes: NDArray[np.uint8], classes: NDArray, starts: NDArray, patch: int
) -> NDArray[np.int64]:
    found = np.zeros(len(starts), np.int64)
    for i, (start, code) in enumerate(zip(starts.tolist(), classes.tolist(), strict=True)):
        columns = slice(start, start + patch)
        values, counts = np.unique(polygons[:, columns][codes[:, columns] == code], return_counts=True)
        found[i] = values[counts.argmax()]
    return found


def _pixel_units(reference: Reference, window: Window, width: int) -> NDArray[np.int64]:
    if isinstance(reference, PolygonReference):
        return reference.polygons(window).astype(np.int64)
    rows = np.arange(window.row, window.row + window.height)[:, None]
    cols = np.arange(window.col, window.col + window.width)[None, :]
    return _square(rows, cols, BLOCK, width)


def _square(row: int | NDArray, col: NDArray, side: int, width: int) -> NDArray[np.int64]:
    """The number of the square that a pixel lies in."""
    squares: NDArray[np.int64] = row // side * -(-width // side) + col // side
    return squares


def drawn(codes: NDArray[np.uint8], units: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Which labels are drawn: of each class whole units, so many that they come closest to ``share`` of its labels.

    Every class keeps at least one unit. A smaller share of the same seed draws a part of what a larger one draws.
    """
    found = np.zeros(codes.shape, bool)
    labelled = codes > 0
    values, ids = np.unique(units[labelled], return_inverse=True)
    ids, classes = ids.reshape(-1), codes[labelled]
    order = np.random.default_rng(seed).permutation(len(values))
    chosen = np.zeros(len(classes), bool)
    for code in np.unique(classes):
        sizes = np.bincount(ids[classes == code], minlength=len(values))
        own = order[sizes[order] > 0]
        reached = sizes[own].cumsum()
        count = 1 + int(np.abs(reached - share * reached[-1]).argmin())
        chosen |= (classes == code) & np.isin(ids, own[:count])
    found[labelled] = chosen
    return found


def apart(grid: PatchGrid, numbers: NDArray[np.int64], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the patches ``numbers`` (n,) share no pixel with any of the ``chosen`` ones (n,)."""
    marks = np.zeros(grid.shape, np.int64)
    marks.reshape(-1)[numbers[chosen]] = 1
    sums = np.pad(marks.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    rows, cols = _near(grid.rows), _near(grid.cols)
    (top, bottom), (left, right) = rows[:, numbers // grid.cols.count], cols[:, numbers % grid.cols.count]
    near = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return ~near.astype(bool)


def _near(axis: Axis) -> NDArray[np.int64]:
    """For each patch the half-open range of patches that overlap it: (2, patches)."""
    starts = np.array(axis.starts)
    first = np.searchsorted(starts, starts - axis.patch, side="right")
    return np.stack([first, np.searchsorted(starts, starts + axis.patch, side="left")])
