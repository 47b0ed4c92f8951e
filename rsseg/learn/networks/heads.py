"""Heads: from features to one score a cluster, and from scores to the votes of a patch."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class EntropyHead(nn.Module):
    """RECAL's classification layers: linear, batch normalisation, ReLU, softmax (section 3.4), Xavier start.

    ``forward`` gives the values before the ReLU. Samples with no positive value are exactly uniform after it, so
    those values decide ties.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.norm = nn.BatchNorm1d(classes)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes) before the ReLU."""
        return self.norm(self.linear(features))

    @staticmethod
    def probabilities(scores: Tensor) -> Tensor:
        """(n, classes) float32, eq. 2 of the paper."""
        return functional.softmax(functional.relu(scores.float()), dim=1)


class CentreHead(nn.Module):
    """Clusters by their nearest centre, as k-means answers."""

    centres: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(classes, width))

    def forward(self, features: Tensor) -> Tensor:
        """Minus half the squared distance to each centre (n, classes), less what all centres share."""
        return features.float() @ self.centres.T - 0.5 * (self.centres**2).sum(dim=1)

    @staticmethod
    def probabilities(scores: Tensor) -> Tensor:
        """One for the nearest centre, zero elsewhere (n, classes)."""
        return functional.one_hot(scores.argmax(dim=1), scores.shape[1]).float()
