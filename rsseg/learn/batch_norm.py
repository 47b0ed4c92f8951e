"""Batch norm over the batches of all processes, on every device: torch's own needs a GPU."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rsseg.learn.gather import processes, stacked


def synchronise(module: nn.Module) -> None:
    """Let every batch norm in a module see all processes' batches in training, in place.

    Modules, parameters and the names of tensors stay as they are. Within ``gather.alone`` each process sees its own.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.forward = partial(_forward, norm)  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, x: Tensor) -> Tensor:
    if not norm.training or processes() == 1:
        return type(norm).forward(norm, x)
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance = _moments(x)
    _record(norm, mean.detach(), variance.detach(), x.numel() // x.shape[1] * processes())
    scale = (variance + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
    shift = -mean * scale
    if norm.affine:
        shift = shift + norm.bias
    return torch.addcmul(shift.view(shape), _wide(x), scale.view(shape)).to(x.dtype)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (channels,) of all processes' x (n, channels, ...), from those of each."""
    variance, mean = torch.var_mean(_wide(x), dim=(0, *range(2, x.ndim)), correction=0)
    means, variances = stacked(torch.stack([mean, variance])[None]).unbind(dim=1)
    return means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)


@torch.no_grad()
def _record(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Update the stored statistics as torch does: with the variance of ``count`` - 1 degrees of freedom."""
    if not norm.track_running_stats or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    part = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    for stored, new in ((norm.running_mean, mean), (norm.running_var, variance * (count / (count - 1)))):
        if stored is not None:
            stored.lerp_(new.to(stored.dtype), part)


def _wide(x: Tensor) -> Tensor:
    """``x`` in at least float32."""
    return x if x.dtype == torch.float64 else x.float()
