"""Which clusters of two maps are taken together before they are matched, and which map the others are told in."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rsseg.errors import UsageError

Reduce = Literal["auto", "names", "overlap", "none"]
"""How clusters of several maps are brought together: by their class names, by joining the clusters of the map that has
more of them, or not at all; "auto" takes the names where all maps draw on one list of them, else "overlap"."""

Used = Literal["names", "overlap", "none"]
"""A ``Reduce`` once the maps are known."""

Way = Literal["names", "overlap", "one-to-one"]
"""How the clusters of one pair were matched; "one-to-one" is the Hungarian method."""

Names = Mapping[int, str]
"""Class names by value, as a file has them."""

_NUMBERED = re.compile(r"(^|\s)\d+\s*$")
_NAMELESS = re.compile(r"cluster \d+")
"""What a legend calls a cluster that it knows nothing of."""


@dataclass(frozen=True)
class Grouping:
    """Clusters of two maps in groups, and which groups match.

    ``rows`` and ``cols`` have the clusters of each group, rising; ``matches`` pairs groups by their place, or is None
    where the Hungarian method is to find them.
    """

    way: Way
    rows: tuple[tuple[int, ...], ...]
    cols: tuple[tuple[int, ...], ...]
    matches: tuple[tuple[int, int], ...] | None = None


def occurring(table: np.ndarray) -> tuple[list[int], list[int]]:
    """The clusters of both maps that have a pixel which both label; row and column 0 of the table are no data."""
    both = table[1:, 1:]
    rows, cols = np.flatnonzero(both.any(axis=1)) + 1, np.flatnonzero(both.any(axis=0)) + 1
    return rows.tolist(), cols.tolist()


def separate(table: np.ndarray) -> Grouping:
    """Every cluster for itself."""
    rows, cols = occurring(table)
    return Grouping("one-to-one", tuple((value,) for value in rows), tuple((value,) for value in cols))


def by_overlap(table: np.ndarray, towards: Literal["first", "second"]) -> Grouping:
    """Each cluster of one map joins the cluster of the other with which it shares most pixels (the lowest of equals).

    Args:
        table: (256, 256) contingency with no data in row and column 0.
        towards: the map whose clusters stay as they are. One of them that nothing joins has no match.
    """
    if towards == "first":
        turned = by_overlap(table.T, "second")
        matches = tuple((row, col) for col, row in turned.matches or ())
        return Grouping("overlap", turned.cols, turned.rows, matches)
    rows, cols = occurring(table)
    target = table[np.ix_(rows, cols)].argmax(axis=1)
    members = {place: tuple(np.array(rows)[target == place].tolist()) for place in range(len(cols))}
    taken = [place for place, found in members.items() if found]
    groups = tuple(members[place] for place in taken)
    return Grouping("overlap", groups, tuple((value,) for value in cols), tuple(enumerate(taken)))


def by_name(table: np.ndarray, first: Names, second: Names) -> Grouping:
    """Clusters of one name are one class, on both sides; a class that only one map has, has no match."""
    rows, cols = occurring(table)
    left, right = _gathered(rows, first), _gathered(cols, second)
    places = {name: place for place, name in enumerate(right)}
    matches = tuple((place, places[name]) for place, name in enumerate(left) if name in places)
    return Grouping("names", tuple(map(tuple, left.values())), tuple(map(tuple, right.values())), matches)


def grouping(
    table: np.ndarray, used: Used, first: Names, second: Names, towards: Literal["first", "second"] | None = None
) -> Grouping:
    """The groups of a pair of maps.

    Under "overlap" equal numbers of clusters stay apart; of unequal ones those of ``towards`` stay, by default those
    of the map that has fewer.
    """
    if used == "names":
        return by_name(table, first, second)
    rows, cols = occurring(table)
    if used == "none" or len(rows) == len(cols):
        return separate(table)
    return by_overlap(table, towards or ("second" if len(rows) > len(cols) else "first"))


def resolve(reduce: Reduce, titles: Sequence[str], names: Sequence[Names], clusters: Sequence[Collection[int]]) -> Used:
    """What "auto" means for these maps; the others mean themselves.

    Args:
        titles: the maps' own names, for errors.
        names: each map's class names.
        clusters: each map's clusters that occur.

    Raises: UsageError if names are asked for and a cluster has none.
    """
    if reduce == "auto":
        return "names" if _one_list(names, clusters) else "overlap"
    if reduce == "names":
        for title, known, values in zip(titles, names, clusters, strict=True):
            bare = sorted(value for value in values if value not in known)
            if bare:
                raise UsageError(
                    f"--reduce names, but the file of {title} has no name for its cluster {bare[0]}; "
                    "rsseg relabel writes names, or choose --reduce overlap"
                )
    return reduce


def _one_list(names: Sequence[Names], clusters: Sequence[Collection[int]]) -> bool:
    """Whether the classes that occur are named everywhere, and all are in the list of one of the maps.

    A name that ends in a number ("cluster 3", "sparse vegetation-like 2") tells clusters of one map apart and says
    nothing about another's. A cluster that a legend left without a class ("cluster 3") stays one, as long as no other
    map has one of that name.
    """
    used: list[set[str]] = []
    nameless: set[str] = set()
    for known, values in zip(names, clusters, strict=True):
        if any(value not in known for value in values):
            return False
        found = {known[value] for value in values}
        left = {name for name in found if _NAMELESS.fullmatch(name)}
        if nameless & left or any(_NUMBERED.search(name) for name in found - left):
            return False
        nameless |= left
        used.append(found - left)
    every = set().union(*used)
    return bool(set.intersection(*used)) and any(every <= set(known.values()) for known in names)


def _gathered(values: Sequence[int], names: Names) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for value in values:
        found.setdefault(names[value], []).append(value)
    return found
