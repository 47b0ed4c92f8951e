"""Losses of the superpixel family (Ferreira et al., "Ablation Studies for A Novel Unsupervised Approach for Training
Convolutional DSSNs on Remote Sensing", and the papers it builds on): a network's own labels, made equal within each
superpixel, are the targets of a weighted cross entropy."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.gather import summed

Weights = Literal["inverse", "sqrt-inverse", "none"]

IGNORED = -100
"""Target of the pixels that do not count."""


def refine(labels: Tensor, regions: Tensor, classes: int, valid: Tensor | None = None) -> Tensor:
    """Give every pixel the most frequent label of its superpixel; of equally frequent ones the smallest.

    ``labels``, ``regions``: (n, h, w) int64, regions numbered from 0 in each image; ``valid``: (n, h, w) bool, pixels
    outside do not vote and keep their label. All superpixels of the batch are counted at once, in a table of
    superpixels x classes (Kanezaki, 2018, section 2; the papers loop over superpixels).
    """
    count = int(regions.max()) + 1 if regions.numel() else 0
    first = torch.arange(len(regions), device=regions.device)[:, None, None] * count
    place = regions + first
    votes = torch.zeros(len(regions) * count * classes, dtype=torch.int32, device=labels.device)
    ballots = torch.ones_like(labels, dtype=torch.int32) if valid is None else valid.to(torch.int32)
    votes.scatter_add_(0, (place * classes + labels).reshape(-1), ballots.reshape(-1))
    winners = votes.view(-1, classes).argmax(dim=1)[place]
    return winners if valid is None else torch.where(valid, winners, labels)


def class_weights(targets: Tensor, classes: int, kind: Weights = "inverse", valid: Tensor | None = None) -> Tensor:
    """Weights (classes,) float32 of the classes of a batch, whose sum over its pixels is the number of pixels.

    ``targets``: (n, h, w) int64. inverse: w_c = N / (K_present n_c), each class counts alike; sqrt-inverse: in
    proportion to 1 / sqrt(n_c); none: 1. A class without pixels weighs 0. The paper renews the weights for every batch
    and gives no formula; this one is ours.
    """
    seen = targets if valid is None else targets.masked_fill(~valid, classes)
    counts = torch.zeros(classes + 1, dtype=torch.int64, device=targets.device)
    counts = counts.scatter_add_(0, seen.reshape(-1), torch.ones_like(seen).reshape(-1))
    counts = summed(counts[:classes]).double()
    power = {"inverse": 1.0, "sqrt-inverse": 0.5, "none": 0.0}[kind]
    weights = torch.where(counts > 0, counts.clamp_min(1.0) ** -power, 0.0)
    scale = counts.sum() / (weights * counts).sum().clamp_min(torch.finfo(counts.dtype).tiny)
    return (weights * scale).float()


def weighted_cross_entropy(scores: Tensor, targets: Tensor, weights: Tensor, valid: Tensor | None = None) -> Tensor:
    """sum w_t CE / sum w_t over the valid pixels of a batch: 0 where there are none.

    ``scores``: (n, classes, h, w) before the softmax; ``targets``: (n, h, w) int64, without gradient; ``weights``:
    (classes,). With weights of 1 it is the plain cross entropy.
    """
    scores = _wide(scores)
    weights = weights.to(scores.dtype)
    counted = targets if valid is None else targets.masked_fill(~valid, IGNORED)
    each = functional.cross_entropy(scores, counted, weights, ignore_index=IGNORED, reduction="none")
    total = weights[targets] if valid is None else weights[targets] * valid
    return summed(each.sum()) / _positive(summed(total.sum()))


def continuity(scores: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean absolute difference of the scores (n, classes, h, w) of neighbours, down plus across (eq. 15).

    Each direction is the mean over its own pairs of valid pixels, as Kim et al. (2020) compute it; eq. 15 leaves the
    pairs of the last row and column out and divides by K (H - 1) (W - 1).
    """
    down, across = _differences(_wide(scores), valid)
    pairs_down, pairs_across = _pairs(scores, valid)
    classes = scores.shape[1]
    return summed(down) / _positive(classes * summed(pairs_down)) + summed(across) / _positive(
        classes * summed(pairs_across)
    )


def mumford_shah(
    image: Tensor, probabilities: Tensor, valid: Tensor | None = None, mean: bool = False
) -> tuple[Tensor, Tensor]:
    """The two terms of eq. 16 (Kim and Ye, 2020): level and total variation, as sums over the batch.

    ``image``: (n, bands, h, w); ``probabilities``: (n, classes, h, w). The level is sum |x - c_k|^2 y_k with the mean
    c_k of each image and class weighted by y_k; the total variation is sum |grad y_k|, down and across. ``mean``:
    divide both by the number of valid pixels of the batch, which makes them independent of the tile size.
    """
    y = _wide(probabilities)
    level, (down, across) = _level(image.to(y.dtype), y, valid), _differences(y, valid)
    if not mean:
        return summed(level), summed(down + across)
    pixels = torch.tensor(y[:, 0].numel(), device=y.device) if valid is None else valid.sum()
    total = _positive(summed(pixels.to(y.dtype)))
    return summed(level) / total, summed(down + across) / total


def _level(image: Tensor, y: Tensor, valid: Tensor | None) -> Tensor:
    """sum (x - c)^2 y = sum x^2 y - (sum x y)^2 / sum y, by matrix products instead of an array a class and band."""
    weight = y.flatten(2) if valid is None else (y * valid[:, None]).flatten(2)
    x = image.flatten(2).transpose(1, 2)
    seen = torch.ones_like(x[:, :, :1]) if valid is None else valid.flatten(1)[:, :, None].to(x.dtype)
    # around the mean the sum is the same, and its rounding errors shrink
    x = (x - (x * seen).sum(dim=1, keepdim=True) / _positive(seen.sum(dim=1, keepdim=True))) * seen
    mass = _positive(weight.sum(dim=2))[:, :, None]
    with torch.autocast(x.device.type, enabled=False):
        return (weight @ (x * x)).sum() - ((weight @ x) ** 2 / mass).sum()


def _differences(values: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Sums of the absolute differences (n, channels, h, w) of valid neighbours: down, and across."""
    down = (values[:, :, 1:] - values[:, :, :-1]).abs()
    across = (values[:, :, :, 1:] - values[:, :, :, :-1]).abs()
    if valid is not None:
        down = down * (valid[:, 1:] & valid[:, :-1])[:, None]
        across = across * (valid[:, :, 1:] & valid[:, :, :-1])[:, None]
    return down.sum(), across.sum()


def _pairs(values: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """How many pairs of valid neighbours there are: down, and across."""
    n, _, h, w = values.shape
    if valid is None:
        return (
            torch.tensor(n * (h - 1) * w, device=values.device),
            torch.tensor(n * h * (w - 1), device=values.device),
        )
    return (valid[:, 1:] & valid[:, :-1]).sum(), (valid[:, :, 1:] & valid[:, :, :-1]).sum()


def _positive(value: Tensor) -> Tensor:
    """A divisor of sums that may be 0; neither it nor its square, of which gradients are made, is 0."""
    return value.clamp_min(1e-12 if value.is_floating_point() else 1)


def _wide(values: Tensor) -> Tensor:
    """At least float32: sums over a tile lose their small parts in half precision."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
