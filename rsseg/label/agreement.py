"""Several maps, pixel by pixel: where they agree, what most of them say, and how that meets a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from rsseg.label.contingency import contingency
from rsseg.label.shares import NO_SHARE, SHARE_STEPS


def support(votes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """How many maps say what each of them says: uint8 arrays like ``votes``; 0 where a map has no vote (0)."""
    counts = [np.ones(vote.shape, np.uint8) for vote in votes]
    for i, j in combinations(range(len(votes)), 2):
        same = votes[i] == votes[j]
        counts[i] += same
        counts[j] += same
    for mine, vote in zip(counts, votes, strict=True):
        mine[vote == 0] = 0
    return counts


def plurality(votes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The value that most maps give to each pixel, whatever the order of the maps.

    Args:
        votes: arrays of one shape, uint8; 0 is no vote.

    Returns: (winner, count), both uint8: the winner is 0 where two values share the first place or nobody votes;
    count is how many votes the most frequent value has.
    """
    return _leaders(votes, support(votes))


def _leaders(votes: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    best = np.maximum.reduce(counts)
    winner = np.zeros_like(best)
    tied = np.zeros(best.shape, bool)
    for mine, vote in zip(counts, votes, strict=True):
        leads = (mine == best) & (best > 0)
        tied |= leads & (winner > 0) & (winner != vote)
        np.copyto(winner, vote, where=leads)
    winner[tied] = 0
    return winner, best


def entropy(counts: Sequence[np.ndarray]) -> np.ndarray:
    """Normalised entropy of the votes: uint8, 0 (all maps say one) to 254 (each says something else).

    H = -sum over the values said of (c / n) ln(c / n), over ln n, for n maps and c votes of a value; a map without a
    vote is alone with what it says.

    Args:
        counts: the maps' ``support``.
    """
    total = len(counts)
    logs = np.log(np.maximum(np.arange(total + 1), 1))
    # a value with c votes comes c times here, once for each map that says it
    said = np.zeros(counts[0].shape)
    for mine in counts:
        said += logs[mine]
    share = 1 - said / (total * np.log(total))
    return np.rint(np.clip(share, 0, 1) * SHARE_STEPS).astype(np.uint8)


@dataclass(frozen=True)
class Layers:
    """What several maps say together, (h, w) uint8 each; 0 (``entropy``: 255) where a map has no data.

    ``unanimous`` is the common value where all maps say it and 0 elsewhere, ``agreement`` the same with a value for
    "disagree"; ``count`` is the number of maps in the largest group that agrees (1: no two maps do); ``vote`` is the
    value of that group, the pivot's own where several groups are the largest; ``entropy`` is as the function says.
    """

    agreement: np.ndarray
    unanimous: np.ndarray
    count: np.ndarray
    vote: np.ndarray
    entropy: np.ndarray


def agreement(labels: Sequence[np.ndarray], tables: Sequence[np.ndarray], pivot: int, disagree: int) -> Layers:
    """Where all maps say the same, how many do, and what most of them say.

    Args:
        labels: (h, w) uint8 of each map; 0 is no data.
        tables: for each map (256,) uint8, the common value of each cluster, 0 for none.
        pivot: the place of the map that decides between equals.
        disagree: the value that says that they differ.
    """
    valid = np.logical_and.reduce([values > 0 for values in labels])
    votes = [table[values] for table, values in zip(tables, labels, strict=True)]
    counts = support(votes)
    winner, largest = _leaders(votes, counts)
    agreed = valid & (largest == len(labels))
    unanimous = np.where(agreed, votes[pivot], np.uint8(0))
    result = np.where(valid & ~agreed, np.uint8(disagree), unanimous)
    vote = np.where(winner > 0, winner, votes[pivot])
    doubt = entropy(counts)
    for layer, nothing in ((largest, 0), (vote, 0), (doubt, NO_SHARE)):
        layer[~valid] = nothing
    return Layers(result, unanimous, largest, vote, doubt)


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
