"""The counting pass over several label maps: every pair of maps, and every map against a reference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rsseg.errors import GridError
from rsseg.label.consensus_reduction import occurring
from rsseg.label.contingency import contingency
from rsseg.label.maps import LabelMap, LabelReader, strips
from rsseg.label.reference import Reference, check_touches
from rsseg.progress import SILENT, Reporter
from rsseg.scene.grid import Window


@dataclass(frozen=True)
class Comparison:
    """What one pass over several maps counts; only ``pixels`` that all maps label count.

    ``tables`` has the contingency of every two maps, (256, 256) with no data, by their places, those of the first map
    first. ``clusters`` are the values of each map that occur, rising. ``reference`` has for each map its contingency
    against the reference's codes, (256, classes + 1) with no data; it is empty without a reference.
    """

    tables: dict[tuple[int, int], np.ndarray]
    pixels: int
    clusters: tuple[tuple[int, ...], ...]
    reference: tuple[np.ndarray, ...]


def count(maps: Sequence[LabelMap], truth: Reference | None = None, reporter: Reporter = SILENT) -> Comparison:
    """Read all maps once and count how often their values meet.

    Raises: GridError if no pixel is labelled by all maps, or none of those lies on the reference.
    """
    tables = {pair: np.zeros((256, 256), np.int64) for pair in combinations(range(len(maps)), 2)}
    classes = len(truth.classes) if truth is not None else 0
    against = [np.zeros((256, classes + 1), np.int64) for _ in maps if truth is not None]
    for _, labels, codes in common_strips(maps, truth, reporter, "compare"):
        for (first, second), table in tables.items():
            table += contingency(labels[first], labels[second], 255, 255)
        if codes is not None:
            for table, values in zip(against, labels, strict=True):
                table += contingency(values, codes, 255, classes)
    both = tables[0, 1][1:, 1:]
    if not both.any():
        raise GridError(f"{', '.join(str(item.path) for item in maps)} have no pixel that all of them label")
    if truth is not None:
        check_touches(truth, against[0], maps[0].grid)
    return Comparison(tables, int(both.sum()), _clusters(tables, len(maps)), tuple(against))


def _clusters(tables: dict[tuple[int, int], np.ndarray], maps: int) -> tuple[tuple[int, ...], ...]:
    first = [occurring(tables[0, place])[1] for place in range(1, maps)]
    return tuple(map(tuple, (occurring(tables[0, 1])[0], *first)))


def common_strips(
    maps: Sequence[LabelMap], truth: Reference | None, reporter: Reporter, description: str
) -> Iterator[tuple[Window, list[np.ndarray], np.ndarray | None]]:
    """Strips of all maps, set to 0 wherever one of them has no data, and of the reference's codes if there is one."""
    grid = maps[0].grid
    sources: list[LabelReader] = [*maps, *([truth] if truth is not None else [])]
    with reporter.task(description, grid.height) as task:
        for window, values in strips(sources, grid):
            labels = values[: len(maps)]
            # two maps alone need no mask: their table has a row and a column for no data
            if len(values) > 2:
                valid = np.logical_and.reduce([item > 0 for item in labels])
                labels = [item * valid for item in labels]
            yield window, labels, values[-1] if truth is not None else None
            task.advance(window.height)
