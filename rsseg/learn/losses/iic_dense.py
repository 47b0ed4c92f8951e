"""IIC's loss for segmentation (Ji, Henriques and Vedaldi, "Invariant Information Clustering for Unsupervised Image
Classification and Segmentation", section 3.3): information between pixels of a pair, at all small displacements."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from rsseg.errors import UsageError
from rsseg.learn.gather import summed
from rsseg.learn.losses.iic import information, normalised, wide


def iic_dense_loss(
    first: Tensor,
    second: Tensor,
    mask: Tensor | None = None,
    *,
    displacement: int = 10,
    weight: float = 1.0,
    collapsed: bool = False,
    tolerance: float = 0.0,
) -> Tensor:
    """Minus the information (eq. 5) between pixel u of one map and pixel u + t of the other, over all |t| <= d.

    ``first``, ``second``: probabilities (n, classes, h, w) of the two of a pair, the second already brought back to
    the first one's coordinates. ``mask``: (n, h, w), 0 where a pixel of either must not count. ``displacement`` is d
    in pixels, ``weight`` the entropy coefficient lambda. ``collapsed``: the information of the mean joint matrix,
    instead of the mean information of (2 d + 1)^2 matrices, which the paper found slightly better. ``tolerance``: nats
    by which the clusters may be unequal at no cost (``information``).

    The loss lies in [-ln K, 0] at weight 1, never below -(2 weight - 1) ln K above it, and is computed in at least
    float32. Under several processes it is the loss of the pairs of all of them.
    Raises: UsageError where the displacement leaves some pixels of the map no partner at all.
    """
    if displacement >= min(first.shape[2:]):
        raise UsageError(
            f"a displacement of {displacement} pixels is too large for maps of {first.shape[2]} x {first.shape[3]}; "
            "choose a smaller one, or larger tiles"
        )
    with torch.autocast(first.device.type, enabled=False):
        first, second = wide(first), wide(second)
        if mask is not None:
            shown = mask[:, None].to(first.dtype)
            first, second = first * shown, second * shown
        sums = pooled_sums if collapsed else displaced_sums
        # the transforms' rounding leaves tiny negative sums; and of no pixels at all, 0 / 0
        totals = summed(sums(first, second, displacement)).clamp_min(torch.finfo(first.dtype).tiny)
        return -information(normalised(totals), weight, tolerance).mean()


def pooled_sums(first: Tensor, second: Tensor, displacement: int) -> Tensor:
    """Sum over all displacements and pixels of first_u second_{u+t}^T: (classes, classes).

    The sum over the displacements is taken first, as a moving sum of ``second``.
    """
    side = 2 * displacement + 1
    rows = functional.avg_pool2d(second, (side, 1), stride=1, padding=(displacement, 0))
    moving = functional.avg_pool2d(rows, (1, side), stride=1, padding=(0, displacement)) * side**2
    return first.transpose(0, 1).flatten(1) @ moving.transpose(0, 1).flatten(1).T


def displaced_sums(first: Tensor, second: Tensor, displacement: int) -> Tensor:
    """Sum over images and pixels of first_u second_{u+t}^T, (2 d + 1, 2 d + 1, classes, classes) by rows and cols of t.

    A cross-correlation by Fourier transforms: some 4 GFLOP at 24 classes, 8 maps of 200 x 200 and d = 10, where (2 d +
    1)^2 matrix products take 160.
    """
    total: Tensor = _Correlation.apply(first, second, displacement)
    return total


class _Correlation(torch.autograd.Function):
    """The sums at all displacements; its gradients are correlations too, so that no displaced copy is ever kept.

    With F the transforms of the maps at one frequency (classes, images), that of the sums is conj(F1) F2^T. With G the
    transform of the sums' gradient, those of the maps' gradients are conj(G) F2 and G^T F1.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, displacement: int) -> Tensor:
        # d zeros behind the map are enough: a displacement to either side reads them, by the transform's wrapping
        size = fast_size(first.shape[2] + displacement), fast_size(first.shape[3] + displacement)
        spectra = [_by_frequency(torch.fft.rfft2(maps, s=size)) for maps in (first, second)]
        ctx.save_for_backward(*spectra)
        ctx.size, ctx.shape, ctx.displacement = size, first.shape, displacement
        product = torch.bmm(spectra[0].mH, spectra[1])
        return _near_lags(product, size, displacement)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        first, second = ctx.saved_tensors
        with torch.autocast(first.device.type, enabled=False):
            slope = _of_near_lags(gradients[0], ctx.size, ctx.displacement)
            to_first = _maps(torch.bmm(second, slope.mH), ctx.size, ctx.shape)
            to_second = _maps(torch.bmm(first, slope), ctx.size, ctx.shape)
        return to_first, to_second, None


def fast_size(least: int) -> int:
    """The smallest number from ``least`` on whose only prime factors are 2, 3 and 5, where transforms are fast."""
    size = least
    while _without_small_factors(size) > 1:
        size += 1
    return size


def _without_small_factors(number: int) -> int:
    for factor in (2, 3, 5):
        while number % factor == 0:
            number //= factor
    return number


def _by_frequency(spectrum: Tensor) -> Tensor:
    """(n, classes, rows, cols) -> (rows cols, n, classes), one matrix a frequency."""
    return spectrum.flatten(2).permute(2, 0, 1).contiguous()


def _maps(spectrum: Tensor, size: tuple[int, int], shape: torch.Size) -> Tensor:
    """(rows cols, n, classes) at each frequency -> maps of ``shape`` (n, classes, h, w)."""
    rows, cols = size[0], size[1] // 2 + 1
    maps = torch.fft.irfft2(spectrum.permute(1, 2, 0).reshape(*shape[:2], rows, cols), s=size)
    return maps[..., : shape[2], : shape[3]]


def _near_lags(spectrum: Tensor, size: tuple[int, int], displacement: int) -> Tensor:
    """The inverse transform (2 d + 1, 2 d + 1, k, k) at the lags -d..d only, of (rows cols, k, k) at each frequency.

    Two matrix products are cheaper than a transform of all k^2 pairs at all lags, of which nearly all are dropped.
    """
    side, cols = 2 * displacement + 1, size[1] // 2 + 1
    by_row = _waves(size[0], displacement, spectrum) @ spectrum.reshape(size[0], -1)
    across = _waves(size[1], displacement, spectrum)[:, :cols] * _halves(size[1], spectrum) / (size[0] * size[1])
    by_row = by_row.view(side, cols, -1)
    real = torch.cat([across.real, -across.imag], dim=1) @ torch.cat([by_row.real, by_row.imag], dim=1)
    return real.view(side, side, *spectrum.shape[1:])


def _of_near_lags(values: Tensor, size: tuple[int, int], displacement: int) -> Tensor:
    """The transform (rows cols, k, k) of values (2 d + 1, 2 d + 1, k, k) at the lags -d..d."""
    side, cols = 2 * displacement + 1, size[1] // 2 + 1
    complex_values = values.reshape(side, side, -1).to(values.dtype.to_complex())
    across = _waves(size[1], displacement, complex_values)[:, :cols].mH @ complex_values
    by_row = _waves(size[0], displacement, complex_values).mH @ across.view(side, -1)
    return by_row.view(size[0] * cols, *values.shape[2:])


def _waves(size: int, displacement: int, like: Tensor) -> Tensor:
    """exp(2 pi i f t / size) of the lags t = -d..d and the frequencies f: (2 d + 1, size), in the type of ``like``."""
    lags = torch.arange(-displacement, displacement + 1, device=like.device)
    turns = (lags[:, None] * torch.arange(size, device=like.device)) % size  # whole numbers, so the angle is exact
    angle = turns.to(like.real.dtype) * (2 * math.pi / size)
    return torch.polar(torch.ones_like(angle), angle).to(like.dtype)


def _halves(size: int, like: Tensor) -> Tensor:
    """How often each frequency of a real transform stands in the whole one: (size // 2 + 1,)."""
    times = torch.full((size // 2 + 1,), 2.0, dtype=like.real.dtype, device=like.device)
    times[0] = 1
    if size % 2 == 0:
        times[-1] = 1
    return times
