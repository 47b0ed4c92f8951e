"""IIC's loss for pairs of samples (Ji, Henriques and Vedaldi, "Invariant Information Clustering for Unsupervised Image
Classification and Segmentation", section 3.1): minus the information that the clusters of a pair share."""

import math

import torch
from torch import Tensor

from rsseg.learn.gather import summed

EPSILON = torch.finfo(torch.float64).eps
"""Smaller probabilities count as this much, which keeps logarithms and gradients finite (the authors' value)."""


def iic_loss(first: Tensor, second: Tensor, weight: float = 1.0, tolerance: float = 0.0) -> Tensor:
    """Minus eq. 3 of pairs, whose clusters have the probabilities ``first`` and ``second`` (..., n, classes).

    Leading dimensions, such as sub-heads, each have a loss of their own: (...,), in at least float32. ``weight`` is the
    entropy coefficient lambda (section 3.1), ``tolerance`` what ``information`` says of it. The loss lies in [-ln K, 0]
    at 1; above 1 its least value is -(2 weight - 1) ln K. Under several processes it is the loss of the pairs of all of
    them.
    """
    return -information(joint(first, second), weight, tolerance)


def joint(first: Tensor, second: Tensor) -> Tensor:
    """P of eq. 2, (..., classes, classes): the mean of z z'^T over the pairs, symmetric, of sum 1."""
    with torch.autocast(first.device.type, enabled=False):  # a product in half precision loses the rare clusters
        total = wide(first).transpose(-1, -2) @ wide(second)
    return normalised(summed(total))


def normalised(total: Tensor) -> Tensor:
    """Sums of z z'^T (..., classes, classes), made symmetric and divided by their sum."""
    symmetric = (total + total.transpose(-1, -2)) / 2
    return symmetric / symmetric.sum(dim=(-2, -1), keepdim=True)


def information(joint: Tensor, weight: float = 1.0, tolerance: float = 0.0) -> Tensor:
    """Sum of P (log P - weight log Pi - weight log Pj) of symmetric P (..., classes, classes), in nats: (...,).

    At ``weight`` 1 it is the mutual information (eq. 3), in [0, ln K]. Another weight adds (weight - 1) times the
    entropies of both marginals, so that above 1 clusters of equal size count for more. With a ``tolerance``, in nats,
    a marginal entropy above ln K - tolerance counts as that, so that unequal clusters cost nothing up to there: the
    constraint of IMSAT (Hu et al. 2017, eq. 9) in the place of the pull to equal masses.
    """
    certain = joint.clamp_min(EPSILON)
    if tolerance:
        shares = joint.sum(dim=-1).clamp_min(EPSILON)
        entropy = -(shares * shares.log()).sum(dim=-1)
        entropy = entropy.clamp_max(math.log(joint.shape[-1]) - tolerance)
        return (certain * certain.log()).sum(dim=(-2, -1)) + 2 * weight * entropy
    marginal = joint.sum(dim=-1).clamp_min(EPSILON).log()
    return (certain * (certain.log() - weight * (marginal[..., :, None] + marginal[..., None, :]))).sum(dim=(-2, -1))


def wide(p: Tensor) -> Tensor:
    """``p`` in at least float32."""
    return p.float() if p.dtype in (torch.float16, torch.bfloat16) else p
