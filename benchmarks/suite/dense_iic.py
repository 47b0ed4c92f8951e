"""IIC's dense loss at all displacements, forward and backward, against loops and the published code's convolution.

ours          ``iic_dense_loss``: a cross-correlation by Fourier transforms, of which only the near lags are kept.
limit         the transforms alone: both maps forward, both gradients back, and the products at each frequency, three in
              all. No way by transforms can be faster; ours adds the near lags, the information and its gradient.
instead_conv  the published code's way: one convolution of a map by the other, padded by the displacement.
instead_loop  a shifted copy, a matrix product and a backward pass for each displacement; run for ``some`` of them,
              evenly chosen, and scaled up.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row
from suite.scenes import steady

LINES = (
    Line(
        "dense-iic",
        "IIC's dense loss, forward and backward",
        __name__,
        {
            "ours": "iic_dense_loss",
            "limit": "the Fourier transforms and the products at each frequency alone",
            "instead_conv": "one torch convolution of a map by the other, as the published code does it",
            "instead_loop": "a loop over displacements (over some of them, scaled up)",
        },
        settings={"classes": 24, "batch": 2, "side": 200, "displacement": 10, "some": 21},
        full={"batch": 8},
        unit="displacements",
        aims=[Aim("instead / ours", 5.0)],
        derive=lambda parts: {"loss, ours and the convolution apart": abs(_loss(parts, "ours") - _loss(parts, "conv"))},
    ),
)


def _loss(parts: dict[str, Row], name: str) -> float:
    return next(row["loss"] for key, row in parts.items() if key.endswith(name))


def _maps(settings: dict[str, Any]) -> tuple[Any, Any]:
    """Probabilities (n, classes, h, w) of a pair: smooth fields with noise, as leaves."""
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(0)
    shape, size = (settings["batch"], settings["classes"]), settings["side"]
    coarse = torch.randn(*shape, size // 8, size // 8, generator=generator)
    smooth = functional.interpolate(8 * coarse, size=(size, size), mode="bilinear", align_corners=False)
    noisy = [smooth + 0.5 * torch.randn(smooth.shape, generator=generator) for _ in range(2)]
    first, second = (logits.softmax(dim=1).requires_grad_() for logits in noisy)
    return first, second


def _displacements(settings: dict[str, Any]) -> int:
    return int((2 * settings["displacement"] + 1) ** 2)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.learn.losses.iic_dense import iic_dense_loss

    first, second = _maps(settings)
    loss = first.new_zeros(())

    def both_ways() -> None:
        nonlocal loss
        loss = iic_dense_loss(first, second, displacement=settings["displacement"])
        loss.backward()

    seconds = steady(both_ways)
    return {"seconds": seconds, "work": _displacements(settings), "loss": float(loss.detach())}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import torch

    from rsseg.learn.losses.iic_dense import fast_size

    maps = [leaf.detach() for leaf in _maps(settings)]
    side = fast_size(settings["side"] + settings["displacement"])

    def transforms() -> None:
        first, second = (torch.fft.rfft2(one, s=(side, side)) for one in maps)
        one, other = (spectrum.flatten(2).permute(2, 0, 1).contiguous() for spectrum in (first, second))
        product = torch.bmm(one.mH, other)
        torch.bmm(other, product.mH)
        torch.bmm(one, product)
        for spectrum in (first, second):
            torch.fft.irfft2(spectrum, s=(side, side))

    return {"seconds": steady(transforms), "work": _displacements(settings)}


def instead_conv(folder: Path, settings: dict[str, Any]) -> Row:
    from torch.nn import functional

    from rsseg.learn.losses.iic import information, normalised

    first, second = _maps(settings)
    began = time.perf_counter()
    joint = functional.conv2d(second.transpose(0, 1), first.transpose(0, 1), padding=settings["displacement"])
    loss = -information(normalised(joint.permute(2, 3, 1, 0))).mean()
    loss.backward()
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "work": _displacements(settings), "loss": float(loss.detach())}


def instead_loop(folder: Path, settings: dict[str, Any]) -> Row:
    from torch.nn import functional

    from rsseg.learn.losses.iic import information, normalised

    first, second = _maps(settings)
    d, size, classes = settings["displacement"], settings["side"], settings["classes"]
    every = [(row, col) for row in range(2 * d + 1) for col in range(2 * d + 1)]
    chosen = every[:: max(1, len(every) // settings["some"])]
    began = time.perf_counter()
    for row, col in chosen:
        shifted = functional.pad(second, (d,) * 4)[:, :, row : row + size, col : col + size]
        joint = first.transpose(0, 1).reshape(classes, -1) @ shifted.transpose(0, 1).reshape(classes, -1).T
        (-information(normalised(joint)) / len(every)).backward()
    return {"seconds": time.perf_counter() - began, "work": len(chosen)}
