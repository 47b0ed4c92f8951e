"""Accuracy of clusters that were given classes, from one contingency table."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ClassScore:
    """How well one class is found; None where it is undefined (a class without pixels, or never predicted).

    ``pixels`` are the class's reference pixels, ``mapped`` those that the map gives to it. Remote sensing calls
    ``precision`` user's accuracy and ``recall`` producer's accuracy; ``specificity`` is the share of the pixels of
    other classes that the map does not give to this one.
    """

    name: str
    pixels: int
    mapped: int
    iou: float | None
    precision: float | None
    recall: float | None
    specificity: float | None
    f1: float | None


@dataclass(frozen=True)
class Confusion:
    """Reference against map after each cluster was given a class.

    ``matrix`` is (classes, classes + 1) int64: rows are the reference, columns the map; the last column holds pixels
    of clusters that have no class. ``assigned`` gives each cluster's class index, or -1.
    """

    classes: tuple[str, ...]
    matrix: np.ndarray
    assigned: tuple[int, ...]

    @property
    def hits(self) -> np.ndarray:
        """Correct pixels of each class, (classes,)."""
        return np.diagonal(self.matrix)

    @property
    def overall_accuracy(self) -> float:
        """Correct pixels over all."""
        return float(self.hits.sum() / self.matrix.sum())

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class, (classes,); NaN where neither side has it."""
        mapped = self.matrix[:, :-1].sum(axis=0)
        return _ratio(self.hits, self.matrix.sum(axis=1) + mapped - self.hits)

    @property
    def mean_iou(self) -> float:
        """Mean IoU of the classes that the reference has."""
        return float(self.iou[self.matrix.sum(axis=1) > 0].mean())

    @property
    def weighted_iou(self) -> float:
        """IoU of the classes weighted by their shares of the reference: the sum of w_c IoU_c.

        Ferreira et al. (ablation studies, equation 8) print 1 / C in front, which their numbers do not have.
        """
        pixels = self.matrix.sum(axis=1)
        present = pixels > 0
        return float((pixels[present] * self.iou[present]).sum() / pixels.sum())

    @property
    def mean_f1(self) -> float:
        """Mean F1 of the classes that the reference has."""
        pixels = self.matrix.sum(axis=1)
        both = pixels + self.matrix[:, :-1].sum(axis=0)
        return float(_ratio(2 * self.hits, both)[pixels > 0].mean())

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: accuracy beyond what the marginal totals give by chance; None where chance gives all."""
        total = self.matrix.sum()
        mapped = self.matrix[:, :-1].sum(axis=0)
        chance = float(((self.matrix.sum(axis=1) / total) * (mapped / total)).sum())
        return None if chance == 1 else (self.overall_accuracy - chance) / (1 - chance)

    @property
    def class_scores(self) -> tuple[ClassScore, ...]:
        """IoU, precision, recall, specificity and F1 of each class."""
        pixels, mapped = self.matrix.sum(axis=1), self.matrix[:, :-1].sum(axis=0)
        others = self.matrix.sum() - pixels
        columns = (
            self.iou,
            _ratio(self.hits, mapped),
            _ratio(self.hits, pixels),
            _ratio(others - (mapped - self.hits), others),
            _ratio(2 * self.hits, pixels + mapped),
        )
        return tuple(
            ClassScore(name, int(pixels[i]), int(mapped[i]), *(_or_none(column[i]) for column in columns))
            for i, name in enumerate(self.classes)
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "overall_accuracy": self.overall_accuracy,
            "mean_iou": self.mean_iou,
            "weighted_iou": self.weighted_iou,
            "mean_f1": self.mean_f1,
            "kappa": self.kappa,
            "classes": [asdict(score) for score in self.class_scores],
            "matrix": {
                "orientation": "rows reference, columns map",
                "rows": list(self.classes),
                "columns": [*self.classes, "unmatched"],
                "counts": self.matrix.tolist(),
            },
        }


def confusion(table: np.ndarray, assigned: np.ndarray, classes: tuple[str, ...]) -> Confusion:
    """Gather the clusters of a table by the class that each was given.

    Args:
        table: (clusters, classes) counts.
        assigned: (clusters,) class index of each cluster, -1 for none: its pixels are errors.
        classes: the class names.
    """
    matrix = np.zeros((len(classes), len(classes) + 1), np.int64)
    for cluster, owner in enumerate(assigned):
        matrix[:, owner] += table[cluster]
    return Confusion(classes, matrix, tuple(int(owner) for owner in assigned))


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """What part of its row each cell of a matrix (rows, columns) is; NaN in empty rows."""
    totals = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, totals, out=np.full(matrix.shape, np.nan), where=totals > 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
