"""The auxiliary classifier of Ntelemis et al. (section III-B): two hidden layers and several cluster heads."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.dcgan import gaussian_start

UNITS = 1024
"""Units of each hidden layer (section IV-F)."""


class ImsatHead(nn.Module):
    """Two hidden layers of ``units`` with ReLU, and ``heads`` cluster heads, of which the ``chosen`` one answers."""

    chosen: Tensor

    def __init__(self, width: int, classes: int, heads: int = 1, units: int = UNITS) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(width, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
        self.linears = nn.ModuleList(nn.Linear(units, classes) for _ in range(heads))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))
        self.start()

    def start(self, deviation: float = 0.01) -> None:
        """Weights from N(0, deviation): 1e-3 for CIFAR, 1e-2 for MNIST and STL; biases zero (section IV-D)."""
        gaussian_start(self, deviation)

    def all(self, features: Tensor) -> Tensor:
        """Scores (heads, n, classes) of every head."""
        hidden = self.hidden(features)
        return torch.stack([linear(hidden) for linear in self.linears])

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes) of the chosen head."""
        scores: Tensor = self.linears[int(self.chosen)](self.hidden(features))
        return scores

    @staticmethod
    def probabilities(scores: Tensor) -> Tensor:
        """(n, classes) float32."""
        return functional.softmax(scores.float(), dim=1)
