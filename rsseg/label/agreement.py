"""Several maps, pixel by pixel: where they agree, what most of them say, and how that meets a reference."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from rsseg.label.consensus import PairConsensus
from rsseg.label.contingency import contingency


def translation(pair: PairConsensus) -> np.ndarray:
    """Which cluster of the first map each value of the second means: (256,) uint8, 0 for none."""
    table = np.zeros(256, np.uint8)
    for row, col in pair.pairs:
        table[col] = row
    return table


def plurality(votes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The value that most maps give to each pixel, whatever the order of the maps.

    Args:
        votes: arrays of one shape, uint8; 0 is no vote.

    Returns: (winner, count), both uint8: the winner is 0 where two values share the first place or nobody votes;
    count is how many votes the most frequent value has.
    """
    counts = [np.zeros(vote.shape, np.uint8) for vote in votes]
    for mine, vote in zip(counts, votes, strict=True):
        for other in votes:
            mine += vote == other
        mine[vote == 0] = 0
    best = np.maximum.reduce(counts)
    winner = np.zeros_like(best)
    tied = np.zeros(best.shape, bool)
    for mine, vote in zip(counts, votes, strict=True):
        leads = (mine == best) & (best > 0)
        tied |= leads & (winner > 0) & (winner != vote)
        np.copyto(winner, vote, where=leads)
    winner[tied] = 0
    return winner, best


def agreement(
    labels: Sequence[np.ndarray], tables: Sequence[np.ndarray], disagree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the matched clusters of all maps are one, and what most of them say.

    Args:
        labels: (h, w) uint8 of each map, the first of which is the pivot; 0 is no data.
        tables: for each map after the first, ``translation`` of its values into the pivot's.
        disagree: the value that says that they differ.

    Returns: (map, count, vote), all (h, w) uint8, 0 where a map has no data: the pivot's cluster or ``disagree``; the
    number of maps in the largest group that agrees (1: no two maps do); and the cluster of that group in the pivot's
    numbers, the pivot's own where several groups are the largest.
    """
    valid = np.logical_and.reduce([values > 0 for values in labels])
    translated = [labels[0], *(table[values] for table, values in zip(tables, labels[1:], strict=True))]
    agreed = np.logical_and.reduce([values == labels[0] for values in translated])
    result = np.where(agreed, labels[0], np.uint8(disagree))
    if len(labels) > 2:
        winner, count = plurality(translated)
        vote = np.where(winner > 0, winner, labels[0])
    else:
        count, vote = agreed.astype(np.uint8) + np.uint8(1), labels[0].copy()
    for layer in (result, count, vote):
        layer[~valid] = 0
    return result, count, vote


class VoteTally:
    """Counts how the pairwise intersections and the majority vote of several maps meet a reference.

    Args:
        assigned: for each map, (256,) uint8: the class code of each cluster, 0 for none.
        classes: the number of classes.
    """

    def __init__(self, assigned: Sequence[np.ndarray], classes: int) -> None:
        self.assigned = tuple(assigned)
        self.classes = classes
        self.pairs = {pair: self._empty() for pair in combinations(range(len(assigned)), 2)}
        self.majority = self._empty()

    def _empty(self) -> np.ndarray:
        return np.zeros((self.classes + 1, self.classes + 1), np.int64)

    def add(self, labels: Sequence[np.ndarray], reference: np.ndarray) -> None:
        """Count pixels given as cluster values of each map, (n,) uint8, and class codes of the reference, (n,)."""
        votes = [table[values] for table, values in zip(self.assigned, labels, strict=True)]
        for (first, second), table in self.pairs.items():
            both = np.where(votes[first] == votes[second], votes[first], np.uint8(0))
            table += contingency(both, reference, self.classes, self.classes)
        self.majority += contingency(plurality(votes)[0], reference, self.classes, self.classes)


def class_jaccard(table: np.ndarray) -> np.ndarray:
    """Jaccard similarity of each class mask with the reference's.

    Args:
        table: (classes + 1, classes + 1) contingency of predicted against reference classes over the reference's
            pixels: row 0 counts pixels predicted to be no class, column 0 is empty.

    Returns: (classes,) float64: |M and R| / |M or R|; NaN where neither has the class.
    """
    both = np.diagonal(table)[1:]
    either = table.sum(axis=1)[1:] + table.sum(axis=0)[1:] - both
    return np.divide(both, either, out=np.full(len(both), np.nan), where=either > 0)
