"""How much faster the dense losses are than plain loops over the same sums, forward and backward, in one process.

    python benchmarks/dense_losses.py [--classes 24] [--batch 8] [--size 200] [--displacement 10] [--json OUT]

IIC: the loss of all (2 d + 1)^2 displacements at once, against a loop over them, each with its own shifted copy, matrix
product and backward pass (kept together, the loop's copies would take 13 GB). Superpixels: the most frequent label of
every superpixel by one table, against a loop over lists of their pixels, as published code does it. Medians after one
warm-up. ``--loop-displacements N`` runs N of the loop's displacements, evenly chosen, and scales its time up.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.losses.iic import information, normalised
from rsseg.learn.losses.iic_dense import iic_dense_loss
from rsseg.learn.losses.superpixels import refine


def smooth_maps(batch: int, classes: int, size: int, seed: int) -> Tensor:
    """Logits (n, classes, size, size) of smooth fields with noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, classes, size // 8, size // 8, generator=generator)
    fine = functional.interpolate(8 * coarse, size=(size, size), mode="bilinear", align_corners=False)
    return fine + 0.5 * torch.randn(fine.shape, generator=generator)


def fast(first: Tensor, second: Tensor, displacement: int) -> float:
    """The loss, and its gradients in the logits' ``grad``."""
    loss = iic_dense_loss(first.softmax(dim=1), second.softmax(dim=1), displacement=displacement)
    loss.backward()
    return float(loss.detach())


def loop(first: Tensor, second: Tensor, displacement: int, some: int) -> float:
    """The same, one displacement after another: its loss goes backward before the next one's copy is made."""
    p, q = first.softmax(dim=1), second.softmax(dim=1)
    p_leaf, q_leaf = p.detach().requires_grad_(), q.detach().requires_grad_()
    classes, size = p.shape[1], p.shape[2]
    side = 2 * displacement + 1
    every = [(row, col) for row in range(side) for col in range(side)]
    chosen = [every[i] for i in np.linspace(0, len(every) - 1, some).round().astype(int)]
    total = 0.0
    for row, col in chosen:
        padded = functional.pad(q_leaf, (displacement,) * 4)
        shifted = padded[:, :, row : row + size, col : col + size]
        joint = p_leaf.transpose(0, 1).reshape(classes, -1) @ shifted.transpose(0, 1).reshape(classes, -1).T
        loss = -information(normalised(joint)) / len(chosen)
        loss.backward()
        total += float(loss.detach())
    torch.autograd.backward([p, q], [p_leaf.grad, q_leaf.grad])
    return total


def iic(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of both, their ratio, and how far they are apart."""
    displacements = (2 * arguments.displacement + 1) ** 2
    some = min(arguments.loop_displacements or displacements, displacements)
    logits = [smooth_maps(arguments.batch, arguments.classes, arguments.size, seed).requires_grad_() for seed in (0, 0)]
    with torch.no_grad():
        logits[1] += 0.5 * torch.randn(logits[1].shape, generator=torch.Generator().manual_seed(1))
    values, gradients, seconds, peaks = {}, {}, {}, {}
    parts: dict[str, tuple[Callable[[], float], int]] = {
        "fast": (lambda: fast(*logits, arguments.displacement), arguments.repeats),
        "loop": (lambda: loop(*logits, arguments.displacement, some), arguments.loop_repeats),
    }
    for name, (run, repeats) in parts.items():
        values[name], seconds[name] = timed(run, repeats, logits)
        gradients[name] = torch.cat([logit.grad.flatten() for logit in logits])
        peaks[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds["loop"] *= displacements / some
    apart = {}
    if some == displacements:
        apart["value_apart"] = abs(values["fast"] / values["loop"] - 1)
        difference = (gradients["fast"] - gradients["loop"]).norm()
        apart["gradient_apart"] = float(difference / gradients["loop"].norm())
    ratio = seconds["loop"] / seconds["fast"]
    return {"seconds": seconds["fast"], "loop_seconds": seconds["loop"], "ratio": ratio, "loss": values["fast"]} | {
        **apart,
        "peak_mib": peaks["fast"],
    }


def timed(run: Callable[[], float], repeats: int, logits: list[Tensor]) -> tuple[float, float]:
    """The value, and the median of the seconds of ``repeats`` runs after one warm-up."""
    seconds = []
    for _ in range(repeats + 1):
        for logit in logits:
            logit.grad = None
        began = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - began)
    return value, statistics.median(seconds[1:] or seconds)


def cells_of(batch: int, size: int, count: int) -> Tensor:
    """Region numbers (n, size, size) of about ``count`` square cells with ragged edges, as superpixels have them."""
    side = max(1, round(count**0.5))
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(size) * side // size
    cells = rows[:, None] * side + rows
    wobble = torch.randint(0, 2, (batch, size, size), generator=generator)
    return torch.where(wobble.bool(), cells, cells.roll((1, 1), (0, 1)))


def refine_by_lists(labels: Tensor, lists: list[list[np.ndarray]]) -> Tensor:
    """The most frequent label of each superpixel, one list of pixels after another."""
    refined = labels.numpy().copy().reshape(len(labels), -1)
    for image, pixels in zip(refined, lists, strict=True):
        for chosen in pixels:
            found, counts = np.unique(image[chosen], return_counts=True)
            image[chosen] = found[counts.argmax()]
    return torch.from_numpy(refined.reshape(labels.shape))


def superpixels(arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of both and their ratio; the lists of pixels are made outside the clock."""
    regions = cells_of(arguments.batch, arguments.size, arguments.regions)
    generator = torch.Generator().manual_seed(2)
    labels = torch.randint(0, arguments.labels, regions.shape, generator=generator)
    lists = [
        [np.flatnonzero(image.numpy().ravel() == region) for region in range(int(image.max()) + 1)] for image in regions
    ]
    seconds = {}
    for name, run in {
        "fast": lambda: refine(labels, regions, arguments.labels),
        "loop": lambda: refine_by_lists(labels, lists),
    }.items():
        times = []
        for _ in range(arguments.repeats + 1):
            began = time.perf_counter()
            result = run()
            times.append(time.perf_counter() - began)
        seconds[name] = statistics.median(times[1:] or times)
        if name == "fast":
            refined = result
    if not torch.equal(refined, result):
        raise SystemExit("the two refinements differ")
    return {"seconds": seconds["fast"], "loop_seconds": seconds["loop"], "ratio": seconds["loop"] / seconds["fast"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=200)
    parser.add_argument("--displacement", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loop-repeats", type=int, default=1)
    parser.add_argument("--loop-displacements", type=int)
    parser.add_argument("--regions", type=int, default=2400)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = {
        "dense IIC loss, forward and backward": iic(arguments),
        "superpixel refinement": superpixels(arguments),
    }
    for name, row in result.items():
        print(f"{name}: {row['seconds']:.3g} s, loop {row['loop_seconds']:.3g} s, {row['ratio']:.1f} times faster")
        extra = {key: f"{value:.3g}" for key, value in row.items() if key not in ("seconds", "loop_seconds", "ratio")}
        if extra:
            print("   ", ", ".join(f"{key} {value}" for key, value in extra.items()))
    if arguments.json:
        settings = {key: value for key, value in vars(arguments).items() if key != "json"}
        document = {"threads": torch.get_num_threads(), **settings, **result}
        arguments.json.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
