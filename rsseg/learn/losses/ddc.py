"""DDC's loss (Kampffmeyer et al., "Deep divergence-based approach to clustering", section 3.1, eq. 4): clusters that
are apart and compact in the hidden layer, assignments that are orthogonal, and ones near the simplex's corners.

The paper and its group's reference code (DanielTrosten/mvc) differ in the kernel's bandwidth, in a factor before the
divergence and in how the inner products are added up. ``Convention`` has each difference as an option.
"""

from dataclasses import dataclass
from math import comb
from typing import Literal

import torch
from torch import Tensor

Rule = Literal["paper", "reference"]

FLOOR = 1e-9
"""The least that a squared bandwidth, and the kernel sum of two clusters, may be (the reference code's value)."""

RESOLUTION = 1e-6
"""The least that a squared bandwidth may be of the mean squared distance: float32 does not tell shorter ones from 0."""


@dataclass(frozen=True)
class Convention:
    """How the three terms are computed and weighted.

    ``sigma``: paper, sigma = ``factor`` median of the distances of all pairs (section 4.6); reference, sigma^2 =
    ``factor`` median of the squared distances in the full matrix, its diagonal of zeros included.
    ``prefactor``: paper, 1 / k before the sum over pairs of clusters (eq. 3); reference, 2 / (k (k - 1)), their mean.
    ``pairs``: inner products of the assignments as the mean over pairs of samples, or as their sum (section 3.1.2).
    """

    sigma: Rule = "paper"
    factor: float = 0.15
    prefactor: Rule = "paper"
    pairs: Literal["mean", "sum"] = "mean"
    divergence_weight: float = 1.0
    orthogonality_weight: float = 1.0
    corner_weight: float = 1.0

    @property
    def weights(self) -> tuple[float, float, float]:
        """Of the three terms, in the order of eq. 4."""
        return self.divergence_weight, self.orthogonality_weight, self.corner_weight


PAPER = Convention()


def ddc_loss(p: Tensor, hidden: Tensor, convention: Convention = PAPER) -> Tensor:
    """Eq. 4: the weighted sum of the three terms, of assignments p (n, k) and hidden features (n, width); n, k >= 2."""
    divergence, orthogonality, corners = ddc_terms(p, hidden, convention)
    a, b, c = convention.weights
    return a * divergence + b * orthogonality + c * corners


def ddc_terms(p: Tensor, hidden: Tensor, convention: Convention = PAPER) -> tuple[Tensor, Tensor, Tensor]:
    """d_hid,alpha, triu(A A^T) and d_hid,m of eq. 4, unweighted, in at least float32, whatever autocast is in force.

    With the prefactor 1 / k the first and the third lie in [0, (k - 1) / 2], with the other in [0, 1]; the second lies
    in [0, 1] as a mean.
    """
    with torch.autocast(p.device.type, enabled=False):
        p, hidden = wide(p), wide(hidden)
        similarity = kernel(hidden, convention.sigma, convention.factor)
        return (
            cauchy_schwarz(p, similarity, convention.prefactor),
            inner_products(p, convention.pairs),
            cauchy_schwarz(corner_closeness(p), similarity, convention.prefactor),
        )


def wide(values: Tensor) -> Tensor:
    """``values`` in at least float32: differences of squares need it."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def kernel(hidden: Tensor, sigma: Rule = "paper", factor: float = 0.15) -> Tensor:
    """Gaussian similarities (n, n) of hidden features (n, width); no gradient flows through the bandwidth."""
    squared = squared_distances(hidden)
    return torch.exp(squared / (-2 * squared_bandwidth(squared.detach(), sigma, factor)))


def squared_distances(points: Tensor) -> Tensor:
    """Squared Euclidean distances (n, n) of points (n, width), never negative."""
    points = points - points.mean(dim=0)  # less is lost where the squares are subtracted
    norms = (points**2).sum(dim=1)
    return torch.relu(norms[:, None] + norms[None, :] - 2 * points @ points.T)


def squared_bandwidth(squared: Tensor, rule: Rule, factor: float) -> Tensor:
    """sigma^2 from squared distances (n, n); of an even number of them the lower median counts.

    The median is 0 where most samples are equal, such as in calm water, so there are least values.
    """
    if rule == "reference":
        bandwidth = factor * squared.median()
    else:  # the median of distances is the root of that of their squares
        rows, cols = torch.triu_indices(len(squared), len(squared), offset=1, device=squared.device)
        bandwidth = factor**2 * squared[rows, cols].median()
    return torch.maximum(bandwidth, RESOLUTION * squared.mean()).clamp_min(FLOOR)


def cauchy_schwarz(weights: Tensor, kernel: Tensor, prefactor: Rule = "paper") -> Tensor:
    """Eq. 3: how similar clusters are on average, of the samples' weights in them (n, k) and the kernel (n, n)."""
    products = (weights.T @ kernel @ weights).clamp_min(FLOOR)
    own = products.diagonal().sqrt()
    cosines = products / (own[:, None] * own[None, :])
    classes = weights.shape[1]
    return cosines.triu(1).sum() / (classes if prefactor == "paper" else comb(classes, 2))


def inner_products(p: Tensor, pairs: Literal["mean", "sum"] = "mean") -> Tensor:
    """triu(A A^T) of section 3.1.2: inner products of the assignments p (n, k), over all pairs of samples."""
    # the square of a sum holds each pair twice, and the samples' own squares
    total = ((p.sum(dim=0) ** 2).sum() - (p**2).sum()) / 2
    return total / comb(len(p), 2) if pairs == "mean" else total


def corner_closeness(p: Tensor) -> Tensor:
    """m = exp(-||alpha - e||^2) of section 3.1.2, (n, k): 1 where an assignment lies in a corner of the simplex."""
    return torch.exp(-((p**2).sum(dim=1, keepdim=True) - 2 * p + 1))
