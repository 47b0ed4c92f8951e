"""Class masks of single maps, of their intersections and of their majority vote, against a reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rsseg.label.agreement import VoteTally, class_jaccard
from rsseg.label.consensus_reduction import Names
from rsseg.label.mapping import BY_COUNTS, Assignment, assign, is_named


def class_codes(
    table: np.ndarray, assignment: Assignment, names: Names | None = None, classes: Sequence[str] = ()
) -> np.ndarray:
    """The class code of every cluster: (256,) uint8, 0 for none.

    Args:
        table: (256, classes + 1) contingency of clusters against class codes, with the no-data row and column.
        names: what the map calls its clusters, for the assignment by name.
        classes: the reference's classes.
    """
    known = names or {}
    codes = np.zeros(256, np.uint8)
    codes[1:] = assign(assignment, table[1:, 1:], [known.get(value, "") for value in range(1, 256)], classes) + 1
    return codes


def assignments(maps: Sequence[Names], classes: Sequence[str]) -> tuple[Assignment, ...]:
    """The assignments that suit several maps: by name where all speak of the reference's classes, else by counts.

    Args:
        maps: for each map, the names of the clusters that occur.
        classes: the reference's classes.
    """
    return ("names",) if all(is_named(list(names.values()), classes) for names in maps) else BY_COUNTS


@dataclass(frozen=True)
class ReferenceScore:
    """Jaccard similarity of class masks with the reference's, (classes,); NaN where neither has the class.

    The mask M of a class is, for ``kind`` "map", where the map's clusters say it; for "intersection" where both maps
    do; for "vote" where more maps say it than any other class. The score is |M and R| / |M or R| over the
    reference's pixels.
    """

    assignment: Assignment
    kind: Literal["map", "intersection", "vote"]
    maps: tuple[str, ...]
    jaccard: np.ndarray


@dataclass(frozen=True)
class ReferenceConsensus:
    """Several maps against one reference.

    ``pixels`` (classes,) are the reference pixels that all maps label, ``unlabelled`` counts the others. ``assigned``
    gives, by assignment and map, the class name of each cluster.
    """

    classes: tuple[str, ...]
    pixels: np.ndarray
    unlabelled: int
    scores: tuple[ReferenceScore, ...]
    assigned: dict[Assignment, dict[str, dict[int, str]]]

    def mean(self, score: ReferenceScore) -> float:
        """Mean Jaccard of the classes that the reference has."""
        return float(score.jaccard[self.pixels > 0].mean())

    def records(self) -> list[dict[str, Any]]:
        """One line a score: assignment, kind, maps, a column for each class, and the mean."""
        return [
            {"assignment": score.assignment, "kind": score.kind, "maps": " + ".join(score.maps)}
            | {"mean": self.mean(score)}
            | {f"jaccard {name}": float(value) for name, value in zip(self.classes, score.jaccard, strict=True)}
            for score in self.scores
        ]

    def long_records(self) -> list[dict[str, Any]]:
        """One line a score and class: assignment, kind, maps, class, the class's reference pixels, Jaccard."""
        return [
            {"assignment": score.assignment, "kind": score.kind, "maps": " + ".join(score.maps)}
            | {"class": name, "reference_pixels": int(pixels), "jaccard": float(value)}
            for score in self.scores
            for name, pixels, value in zip(self.classes, self.pixels, score.jaccard, strict=True)
        ]

    def matrix(self, assignment: Assignment) -> tuple[np.ndarray, list[str]]:
        """Classes, and last their mean, (classes + 1, scores): maps, intersections, vote; and the scores' names."""
        scores = [score for score in self.scores if score.assignment == assignment]
        values = np.array([[*score.jaccard, self.mean(score)] for score in scores]).T
        return values, ["vote" if score.kind == "vote" else " & ".join(score.maps) for score in scores]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON but for NaN."""
        return {
            "classes": list(self.classes),
            "pixels": self.pixels.tolist(),
            "unlabelled_pixels": self.unlabelled,
            "assigned": self.assigned,
            "scores": [
                {
                    "assignment": score.assignment,
                    "kind": score.kind,
                    "maps": list(score.maps),
                    "jaccard": score.jaccard.tolist(),
                    "mean_jaccard": self.mean(score),
                }
                for score in self.scores
            ],
        }


def reference_consensus(
    names: Sequence[str],
    classes: tuple[str, ...],
    tables: Sequence[np.ndarray],
    tallies: Mapping[Assignment, VoteTally],
) -> ReferenceConsensus:
    """Gather the scores of every map, every pair and the majority.

    Args:
        names: the maps.
        classes: the reference's classes.
        tables: for each map, (256, classes + 1) contingency against the reference over the pixels that all maps label;
            row 0 holds the others.
        tallies: the counted votes of each assignment.
    """
    scores = [score for assignment, tally in tallies.items() for score in _scores(names, tables, assignment, tally)]
    assigned = {
        assignment: {
            name: {value: classes[code - 1] for value, code in enumerate(codes) if code and table[value, 1:].any()}
            for name, codes, table in zip(names, tally.assigned, tables, strict=True)
        }
        for assignment, tally in tallies.items()
    }
    pixels = tables[0][1:, 1:].sum(axis=0)
    return ReferenceConsensus(classes, pixels, int(tables[0][0, 1:].sum()), tuple(scores), assigned)


def _scores(
    names: Sequence[str], tables: Sequence[np.ndarray], assignment: Assignment, tally: VoteTally
) -> list[ReferenceScore]:
    scores = [
        ReferenceScore(assignment, "map", (name,), class_jaccard(_by_class(table, codes)))
        for name, table, codes in zip(names, tables, tally.assigned, strict=True)
    ]
    scores += [
        ReferenceScore(assignment, "intersection", (names[i], names[j]), class_jaccard(table))
        for (i, j), table in tally.pairs.items()
    ]
    return [*scores, ReferenceScore(assignment, "vote", tuple(names), class_jaccard(tally.majority))]


def _by_class(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Clusters gathered by class code: (classes + 1, classes + 1), column 0 empty."""
    gathered = np.zeros((table.shape[1], table.shape[1]), np.int64)
    np.add.at(gathered, codes[1:], table[1:])
    gathered[:, 0] = 0
    return gathered
