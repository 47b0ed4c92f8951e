"""How often the clusters of a map meet the classes of a reference."""

import numpy as np

from rsseg.label.contingency import contingency
from rsseg.label.maps import LabelMap, LabelReader, strips
from rsseg.label.numbered import NumberedMap, pair_counts
from rsseg.label.reference import PointReference, Reference, check_touches
from rsseg.progress import Reporter


def meetings(source: LabelMap, other: LabelReader, classes: int, title: str, reporter: Reporter) -> np.ndarray:
    """How often each value of a map meets each code of something else on its grid, no data included.

    Both are read once, in strips of 512 rows.

    Args:
        classes: the largest code.
        title: what the progress calls it.

    Returns: (256, classes + 1) int64.
    """
    table = np.zeros((256, classes + 1), np.int64)
    with reporter.task(title, source.grid.height) as task:
        for window, (labels, codes) in strips((source, other), source.grid):
            table += contingency(labels, codes, 255, classes)
            task.advance(window.height)
    return table


def count(source: NumberedMap, truth: Reference, reporter: Reporter) -> np.ndarray:
    """Pixels, or points, of each code of the map and each class: (codes, classes + 1) int64, no data included.

    Raises: GridError if none has both.
    """
    rows, classes = len(source.values) - 1, len(truth.classes)
    table = np.zeros((rows + 1, classes + 1), np.int64)
    with reporter.task("evaluate", source.grid.height) as task:
        if isinstance(truth, PointReference):
            for window, (codes,) in strips((source,), source.grid):
                found = truth.places(window)
                np.add.at(table, (codes[found.rows, found.cols], found.codes), 1)
                task.advance(window.height)
        else:
            for window, (codes, classed) in strips((source, truth), source.grid):
                table += pair_counts(codes, classed, rows, classes)
                task.advance(window.height)
    check_touches(truth, table, source.grid)
    return table
