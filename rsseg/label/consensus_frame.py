"""One numbering of classes for several maps: the pivot's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rsseg.errors import UsageError
from rsseg.label.comparison import Comparison
from rsseg.label.consensus import PairConsensus, compare
from rsseg.label.consensus_reduction import Names, Reduce, Used, grouping, resolve
from rsseg.label.maps import LabelMap


@dataclass(frozen=True)
class Frame:
    """The numbers in which several maps are told together.

    ``tables`` has for each map (256,) uint8: the common value of each of its clusters, 0 where there is none.
    ``sources`` says for each common value which map (its place) and cluster give it name and colour: the pivot's own
    clusters and, by names, classes that only other maps have. ``disagree`` is the first value after them.
    """

    used: Used
    pivot: int
    tables: tuple[np.ndarray, ...]
    sources: dict[int, tuple[int, int]]

    @property
    def disagree(self) -> int:
        """The value that says that the maps differ."""
        return max(self.sources) + 1


@dataclass(frozen=True)
class Relations:
    """Every two maps compared, and the common numbering of all."""

    pairs: tuple[PairConsensus, ...]
    frame: Frame


def relate(
    maps: Sequence[LabelMap], counted: Comparison, reduce: Reduce = "auto", pivot: str | None = None
) -> Relations:
    """Reduce, match and compare.

    Args:
        reduce: how unequal clusters are brought together.
        pivot: the name of the map in whose clusters all are told: in a pair with it, the other map's clusters join its
            own. By default the first, and of two maps whose numbers of clusters differ the one with fewer.

    Raises: UsageError if there is no such map, names are asked for that a file does not have, or no value is left.
    """
    titles, names = [item.name for item in maps], [item.names for item in maps]
    check_pivot(pivot, titles)
    used = resolve(reduce, titles, names, counted.clusters)
    place = titles.index(pivot) if pivot is not None else _default_pivot(used, counted)
    pairs = tuple(
        compare(table, titles[i], titles[j], grouping(table, used, names[i], names[j], _towards(i, j, place)))
        for (i, j), table in counted.tables.items()
    )
    if used == "names":
        frame = _by_names(names, counted.clusters, place)
    else:
        frame = _by_matches(pairs, list(counted.tables), names[place], counted.clusters, place, used)
    if frame.disagree > 255:
        raise UsageError(
            f"{maps[place].path} uses the value 255, which leaves none for 'disagree'; --pivot chooses another map"
        )
    return Relations(pairs, frame)


def check_pivot(pivot: str | None, titles: Sequence[str]) -> None:
    """Raises: UsageError if a pivot is given that is none of the maps."""
    if pivot is not None and pivot not in titles:
        raise UsageError(f"--pivot {pivot} is none of the maps; they are called {', '.join(titles)}")


def _default_pivot(used: Used, counted: Comparison) -> int:
    sizes = [len(found) for found in counted.clusters]
    return 1 if used == "overlap" and len(sizes) == 2 and sizes[1] < sizes[0] else 0


def _towards(first: int, second: int, pivot: int) -> Literal["first", "second"] | None:
    return "first" if first == pivot else "second" if second == pivot else None


def translation(pair: PairConsensus, into: Literal["first", "second"] = "first") -> np.ndarray:
    """Which cluster of one map each value of the other means: (256,) uint8, 0 for none."""
    table = np.zeros(256, np.uint8)
    for (row, col), (rows, cols) in zip(pair.pairs, pair.groups, strict=True):
        if into == "first":
            table[list(cols)] = row
        else:
            table[list(rows)] = col
    return table


def _by_matches(
    pairs: Sequence[PairConsensus],
    places: Sequence[tuple[int, int]],
    names: Names,
    clusters: Sequence[Sequence[int]],
    pivot: int,
    used: Used,
) -> Frame:
    tables = [np.zeros(256, np.uint8) for _ in clusters]
    tables[pivot][list(clusters[pivot])] = clusters[pivot]
    for pair, (i, j) in zip(pairs, places, strict=True):
        if i == pivot:
            tables[j] = translation(pair, "first")
        elif j == pivot:
            tables[i] = translation(pair, "second")
    largest = max(*names, *clusters[pivot], 1)
    return Frame(used, pivot, tuple(tables), {value: (pivot, value) for value in range(1, largest + 1)})


def _by_names(names: Sequence[Names], clusters: Sequence[Sequence[int]], pivot: int) -> Frame:
    order = [pivot, *(place for place in range(len(names)) if place != pivot)]
    values: dict[str, int] = {}
    for value in sorted({*clusters[pivot], *names[pivot]}, key=lambda item: (item not in clusters[pivot], item)):
        values.setdefault(names[pivot][value], value)
    sources = {value: (pivot, value) for value in values.values()}
    free = max(sources) + 1
    for place in order[1:]:
        for value in clusters[place]:
            if names[place][value] not in values:
                values[names[place][value]], sources[free] = free, (place, value)
                free += 1
    if free > 255:
        raise UsageError(f"the maps have {free - 1} values and classes together; one map holds 254 and 'disagree'")
    tables = [np.zeros(256, np.uint8) for _ in names]
    for place, table in enumerate(tables):
        for value in clusters[place]:
            table[value] = values[names[place][value]]
    return Frame("names", pivot, tuple(tables), sources)
