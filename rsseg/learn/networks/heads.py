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


class LinearHead(nn.Module):
    """One linear layer and softmax, He start (DDC, section 3)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes) before the softmax."""
        scores: Tensor = self.linear(features)
        return scores

    @staticmethod
    def probabilities(scores: Tensor) -> Tensor:
        """(n, classes) float32."""
        return functional.softmax(scores.float(), dim=1)


class SubHeads(nn.Module):
    """Several linear heads on one trunk, of which the ``chosen`` one answers (IIC, section 3.1)."""

    chosen: Tensor

    def __init__(self, width: int, classes: int, heads: int = 1) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(width, classes) for _ in range(heads))
        for linear in self.linears:
            nn.init.normal_(linear.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def all(self, features: Tensor) -> Tensor:
        """Scores (heads, n, classes) of every head."""
        return torch.stack([linear(features) for linear in self.linears])

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes) of the chosen head."""
        scores: Tensor = self.linears[int(self.chosen)](features)
        return scores

    @staticmethod
    def probabilities(scores: Tensor) -> Tensor:
        """(n, classes) float32."""
        return functional.softmax(scores.float(), dim=1)
