"""The losses of Ntelemis, Jin and Thomas, "Image Clustering using an Augmented Generative Adversarial Network and
Information Maximization" (2020): the adversarial game, regularised information maximisation, and two divergences.

Probabilities are (n, k), features (n, width). All of it is computed in at least float32.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.gather import processes, summed

TINY = 1e-16
"""Probabilities are clipped to [TINY, 1] before a logarithm, as in the authors' code."""

Responses = Callable[[Tensor], Sequence[Tensor]]
"""From features (n, width) to the scores (n, k of the head) of every cluster head."""


@dataclass(frozen=True)
class Constants:
    """The numbers of eq. 9. ``deltas``: the tolerance of each head, in parts of ln k."""

    deltas: Sequence[float]
    rim_weight: float = 0.2
    balance_weight: float = 4.0
    alpha_random: float = 0.3
    alpha_adversarial: float = 0.15
    vat: bool = True


def wide(values: Tensor) -> Tensor:
    """The values in at least float32."""
    return values if values.dtype == torch.float64 else values.float()


def entropy(p: Tensor) -> Tensor:
    """Entropy of each row in nats, (n,)."""
    p = wide(p).clamp(TINY, 1)
    return -(p * p.log()).sum(dim=-1)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of q from p, row by row in nats, (n,); gradients flow to both."""
    p, q = wide(p).clamp(TINY, 1), wide(q).clamp(TINY, 1)
    return (p * (p.log() - q.log())).sum(dim=-1)


def rim_loss(p: Tensor, delta: float = 1e-4, balance_weight: float = 4.0) -> Tensor:
    """Eq. 4: balance_weight max(KL(mean p || u) - delta ln k, 0) + mean H(p), over the batch of all processes.

    The paper's ``balance_weight`` is 1, its authors' code and IMSAT have 4; delta in parts of ln k (section IV-D).
    """
    p = wide(p)
    sums = summed(torch.cat([p.sum(dim=0), entropy(p).sum()[None], p.new_tensor([float(len(p))])]))
    count, limit = sums[-1].detach(), math.log(p.shape[1])
    imbalance = limit - entropy(sums[:-2] / count)
    return balance_weight * functional.relu(imbalance - delta * limit) + sums[-2] / count


def perturbed(m: Tensor, directions: Tensor, alpha: float) -> Tensor:
    """Features moved by ``alpha`` times their own norm along unit rows (eq. 7: epsilon_i = alpha ||m_i||)."""
    return m + alpha * m.norm(dim=1, keepdim=True) * directions


def unit_rows(rows: Tensor) -> Tensor:
    """Rows of length one; rows of zeros stay. Divided by the largest value first, lest small squares underflow."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    return functional.normalize(rows / torch.where(largest > 0, largest, 1), dim=1)


def adversarial_directions(responses: Responses, m: Tensor, p: Sequence[Tensor], alpha: float) -> Tensor:
    """Unit rows (n, width) along which the heads' answers change most, by one power iteration (eq. 7).

    ``p``: each head's probabilities at ``m``, which are held fixed. Random unit rows times ``alpha`` ||m|| start the
    iteration; the direction is the gradient of the divergence there, averaged over the heads. ``m`` and the network's
    parameters receive no gradient.
    """
    m = m.detach()
    with torch.enable_grad():
        moved = perturbed(m, unit_rows(torch.randn_like(m)), alpha).requires_grad_()
        answers = [functional.softmax(wide(scores), dim=1) for scores in responses(moved)]
        # a sum over rows, where the paper has a mean: only each row's direction counts
        change = torch.stack([divergence(a.detach(), b).sum() for a, b in zip(p, answers, strict=True)]).mean()
        (gradient,) = torch.autograd.grad(change, moved)
    return unit_rows(gradient)


def head_losses(responses: Responses, m: Tensor, dropped: Tensor | None, copies: int, constants: Constants) -> Tensor:
    """Eq. 9 before the mean over the heads: the loss of each head, (heads,).

    m: (n, width). dropped: (copies n, width), the features again with dropout, copy by copy, or None to leave the
    divergence of eq. 8 out. Its gradient flows through both sides, that of the adversarial one (eq. 6) through the
    perturbed side only.
    """
    p = [functional.softmax(wide(scores), dim=1) for scores in responses(m)]
    losses = [
        constants.rim_weight * rim_loss(q, delta, constants.balance_weight)
        for q, delta in zip(p, constants.deltas, strict=True)
    ]
    if dropped is not None:
        losses = _added(losses, _divergences(responses, dropped, p, copies))
    if constants.vat:
        fixed = [q.detach() for q in p]
        many = m.detach().repeat(copies, 1)
        wanted = [q.repeat(copies, 1) for q in fixed]
        directions = adversarial_directions(responses, many, wanted, constants.alpha_random)
        moved = perturbed(many, directions, constants.alpha_adversarial)
        losses = _added(losses, _divergences(responses, moved, fixed, copies))
    return torch.stack(losses)


def _divergences(responses: Responses, other: Tensor, p: Sequence[Tensor], copies: int) -> list[Tensor]:
    """Each head's mean divergence of the answers at ``other`` (copies n, width) from ``p``."""
    answers = [functional.softmax(wide(scores), dim=1) for scores in responses(other)]
    return [divergence(a.repeat(copies, 1), b).mean() for a, b in zip(p, answers, strict=True)]


def _added(losses: Sequence[Tensor], divergences: Sequence[Tensor]) -> list[Tensor]:
    """The losses with half of each divergence."""
    return [loss + 0.5 * part for loss, part in zip(losses, divergences, strict=True)]


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 1 as a loss of logits (n, 1): -log D(x) - log(1 - D(G(z))), each averaged over the batch."""
    return functional.softplus(-wide(real)).mean() + functional.softplus(wide(fake)).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """The non-saturating loss of logits (n, 1): -log D(G(z)), averaged over the batch (Algorithm 1)."""
    return functional.softplus(-wide(fake)).mean()


def activation_penalty(m: Tensor, limit: float = 20.0, slope: float = 0.2) -> Tensor:
    """Sum of max(|a| - limit, 0) over the values ``a`` before the leaky ReLU of ``slope`` that gave m (section III-A).

    Written with the features after it, as in the authors' code: a = m where m > 0, and m / slope elsewhere. Of several
    processes the sum over all of their values is the mean of what this gives in each, and so is its gradient.
    """
    m = wide(m)
    return processes() * (functional.relu(m - limit).sum() + functional.relu(-m / slope - limit).sum())
