"""How the clusters of a map get the classes of a reference: by their names, or by the pixels that they share."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

from rsseg.label.matching import assign_many_to_one, assign_one_to_one

Assignment = Literal["names", "one-to-one", "many-to-one"]
"""Each cluster the class of its name; each class once (Hungarian method on counts); each cluster its majority class."""

BY_COUNTS: tuple[Assignment, ...] = ("one-to-one", "many-to-one")
"""The mappings that look at the reference."""

UNNAMED = re.compile(r"(?:cluster|class) \d+(?: \(\d+\))*")
"""What rsseg calls a cluster that nobody named, such as "cluster 3" or, where that was taken, "class 2 (5)"."""


def assign(mapping: Assignment, counts: np.ndarray, names: Sequence[str], classes: Sequence[str]) -> np.ndarray:
    """The class index of every cluster, -1 for none: (clusters,) int64.

    Args:
        counts: (clusters, classes) pixels that they share; "names" does not look at them.
        names: what the map calls its clusters, an empty text where it does not.
        classes: the reference's classes.
    """
    if mapping == "one-to-one":
        return assign_one_to_one(counts)
    if mapping == "many-to-one":
        return assign_many_to_one(counts)
    number = {name: index for index, name in enumerate(classes)}
    return np.array([number.get(name, -1) for name in names], np.int64)


def is_named(names: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a map speaks of the reference's classes: it names clusters, and every name is a class.

    "cluster 3", which rsseg writes where nobody named a cluster, is no name.
    """
    given = {name for name in names if name and not UNNAMED.fullmatch(name)}
    return bool(given) and given <= set(classes)


def choose(names: Sequence[str], classes: Sequence[str]) -> tuple[Assignment, ...]:
    """The mappings that suit a map: its names where they are the reference's classes, else both that count pixels."""
    return ("names",) if is_named(names, classes) else BY_COUNTS
