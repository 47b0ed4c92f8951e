"""Pairs of compared maps as ``consensus.json`` tells of them, read without trusting it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Match:
    """A group of clusters of the first map that is one of the second, their Jaccard similarity, and shared pixels."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    jaccard: float
    pixels: int


@dataclass(frozen=True)
class Pair:
    """Two maps compared: their clusters in matched order (groups, where some were joined), and the Jaccard table.

    ``jaccard`` (rows, columns) float64; the ``matches`` lie on its diagonal. ``way`` says how clusters were matched.
    """

    first: str
    second: str
    way: str
    rows: tuple[tuple[int, ...], ...]
    columns: tuple[tuple[int, ...], ...]
    jaccard: np.ndarray
    matches: tuple[Match, ...]
    mean: float
    agreement: float


def pairs_of(content: Mapping[str, Any]) -> Iterator[Pair]:
    """The pairs that are whole."""
    given = content.get("pairs")
    for item in given if isinstance(given, list) else []:
        try:
            yield _pair(item)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            continue


def titles_of(content: Mapping[str, Any], name: str) -> dict[int, str]:
    """The names of a map's clusters, by value."""
    clusters = content.get("clusters")
    found = clusters.get(name) if isinstance(clusters, dict) else None
    if not isinstance(found, dict):
        return {}
    return {int(value): str(title) for value, title in found.items() if str(value).isdecimal()}


def _pair(item: Mapping[str, Any]) -> Pair:
    rows = _groups(item.get("row_clusters") or [[value] for value in item["rows"]])
    columns = _groups(item.get("column_clusters") or [[value] for value in item["columns"]])
    jaccard = np.array(item["jaccard"], np.float64)
    counts = np.array(item["counts"], np.int64)
    if jaccard.shape != (len(rows), len(columns)) or counts.shape != jaccard.shape or not jaccard.size:
        raise ValueError("the table has another shape than its rows and columns")
    matches = tuple(
        Match(rows[place], columns[place], float(jaccard[place, place]), int(counts[place, place]))
        for place in range(len(item["matches"]))
    )
    return Pair(
        str(item["first"]),
        str(item["second"]),
        str(item.get("matching", "")),
        rows,
        columns,
        jaccard,
        matches,
        float(item["mean_matched_jaccard"]),
        float(item["agreement"]),
    )


def _groups(values: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(value) for value in group) for group in values)
