"""RECAL's loss (Saha and Mukhopadhyay, "RECAL: Reuse of Established CNN classifier Apropos unsupervised Learning
paradigm", eq. 3): low entropy for each sample, high entropy for the mean of the batch."""

import torch
from torch import Tensor

from rsseg.learn.gather import processes, summed


def plogp(p: Tensor) -> Tensor:
    """p log p, with 0 at p = 0 and a finite gradient there."""
    return p * p.clamp_min(torch.finfo(p.dtype).tiny).log()


def _wide(p: Tensor) -> Tensor:
    """``p`` in at least float32: entropies of half precision lose the clusters of small probability."""
    return p.float() if p.dtype in (torch.float16, torch.bfloat16) else p


def classification_entropy(p: Tensor) -> Tensor:
    """H_phi: the mean entropy of the rows of ``p`` (n, classes), in nats."""
    return -plogp(p).sum() / len(p)


def class_entropy(mean: Tensor) -> Tensor:
    """H_psi: the entropy of the batch's mean probability (classes,), in nats."""
    return -plogp(mean / mean.sum()).sum()


def recal_loss(p: Tensor, weight: float = 1.0) -> Tensor:
    """L = weight H_phi - H_psi of probabilities (n, classes), in at least float32.

    ``weight`` is the paper's lambda, whose value it does not give. The loss lies in [-ln K, weight ln K]. At 1 it is
    minus the mutual information of sample and cluster; below 1 the uniform answer costs less than one cluster for
    all, above 1 more. Of several processes, each of which has as many rows, it is the loss of all rows.
    """
    p = _wide(p)
    entropy = summed(classification_entropy(p)) / processes()
    return weight * entropy - class_entropy(summed(p.sum(dim=0)))


class Accumulator:
    """Algorithm 2: a large batch in K + 1 numbers, of mini-batches seen before, each the rows of all processes.

    The paper's listing accumulates +sum p log p for H_phi, whose minus sign it omits, and does not reset the sums with
    the counter; both are put right here.
    """

    def __init__(self, classes: int, device: torch.device) -> None:
        self.count = 0
        self.phi = torch.zeros((), device=device)
        self.psi = torch.zeros(classes, device=device)

    def add(self, p: Tensor) -> None:
        """Store a mini-batch's probabilities (n, classes); no gradient flows through them later."""
        p = _wide(p.detach())
        self.count += len(p) * processes()
        self.phi = self.phi - summed(plogp(p).sum())
        self.psi = self.psi + summed(p.sum(dim=0))

    def loss(self, p: Tensor, weight: float = 1.0) -> Tensor:
        """The loss of all that was stored together with ``p``, whose gradient flows."""
        p = _wide(p)
        entropy = (self.phi - summed(plogp(p).sum())) / (self.count + len(p) * processes())
        return weight * entropy - class_entropy(self.psi + summed(p.sum(dim=0)))

    def surrogate(self, p: Tensor, weight: float = 1.0) -> Tensor:
        """A value whose gradient over all chunks sums to the exact gradient of the large batch's loss.

        ``add`` must have seen every chunk, ``p`` among them. With N samples and their mean q the loss is
        weight mean H(p) + sum q log q, and d(sum q log q)/dp = (1 + log q) / N. Each process gives its own rows' part,
        as many times as there are processes, since the trainer takes the mean over them.
        """
        p = _wide(p)
        mean = self.psi / self.psi.sum()
        slope = 1 + mean.clamp_min(torch.finfo(mean.dtype).tiny).log()
        return processes() * (-weight * plogp(p).sum() + (p * slope).sum()) / self.count
