"""Training steps a second of every method against the bare network: the same network, loss and optimiser on one
resident batch.

    python benchmarks/training.py [--methods recal iic ...] [--patches 8 16 32] [--device cpu] [--threads 2]
                                  [--seconds 4] [--repeats 5] [--json OUT]

The scene is an array of 10-bit noise in memory, so that this runs where no raster package is installed. Both loops
run in this process in turns, epoch by epoch: ours is the trainer's own epoch (shuffled indices, gathering,
augmentation, step, optimiser, checks of the losses), timed between its first and its last batch; bare repeats the
method's step on samples and pairs that were gathered once. The median of the ratios of neighbouring turns counts.
"""

import argparse
import json
import resource
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import hardware
from torch import Tensor

from rsseg.errors import RssegWarning
from rsseg.learn.devices import choose_device
from rsseg.learn.inputs import TILE_VALID_SHARE, VALID_SHARE, SceneInput
from rsseg.learn.methods import METHODS, build, settings_of
from rsseg.learn.methods.base import Method, MethodSettings, Phase
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trainer, TrainingSettings

PATCHES = {"recal": (8, 16, 32), "iic": (8, 16, 32), "ddc": (8, 16, 32), "gan-imsat": (8, 16, 32)}
DENSE = ("iic-dense", "wce", "context")
SQUARES = 25
"""Side, in pixels, of the squares that stand for superpixels: what makes them is measured elsewhere."""


class Resident:
    """Samples whose every answer is the first one of its kind, kept."""

    def __init__(self, samples: Any) -> None:
        self.samples, self.kept = samples, {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.samples, name)
        return self._keeping(name, value) if name in ("gather", "valid", "regions") else value

    def _keeping(self, name: str, function: Any) -> Any:
        def answer(indices: Tensor, size: int | None = None, *more: Any) -> Any:
            key = name, size, len(indices)
            if key not in self.kept:
                self.kept[key] = function(indices, *((size, *more) if name != "regions" else ()))
            return self.kept[key]

        return answer


class ResidentPairs:
    """Pairs that are drawn once."""

    def __init__(self, pairs: Any) -> None:
        self.pairs, self.kept = pairs, {}

    def draw(self, samples: Any, indices: Tensor, *more: Any) -> Any:
        if len(indices) not in self.kept:
            self.kept[len(indices)] = self.pairs.draw(samples, indices, *more)
        return self.kept[len(indices)]


class Squares:
    """Regions of a sample: squares, instead of superpixels."""

    def __call__(self, x: Any, valid: Any, scene: Any, window: Any) -> np.ndarray:
        rows, cols = np.indices(x.shape[1:]) // SQUARES
        return rows * (cols.max() + 1) + cols


def make_samples(settings: MethodSettings, side: int, device: torch.device) -> SceneSamples:
    """Training patches of a scene of noise, three bands of 10 bits."""
    values = np.random.default_rng(0).integers(1, 1024, (3, side, side)).astype(np.uint16)
    share = TILE_VALID_SHARE if settings.dense else VALID_SHARE
    scene = SceneInput.of_array("noise", values)
    patches, moments = find_patches([scene], settings.patch, settings.stride, valid_share=share)
    regions = Squares() if settings.superpixel_options() else None
    return SceneSamples(
        patches, moments, device=device, memory=8 << 30, kind=settings.normalise, masks=settings.masks, regions=regions
    )


class Timed:
    """Gives a phase only ``steps`` batches an epoch and keeps what they took, the first one aside."""

    def __init__(self, phase: Phase, device: torch.device) -> None:
        self.phase, self.device, self.original, self.steps, self.seconds = phase, device, phase.batches, 3, 0.0
        phase.batches = self.batches  # type: ignore[method-assign]

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        made, began = 0, 0.0
        while made <= self.steps:
            for indices in self.original(count, generator):
                yield indices
                if made == 0:  # what comes once in an epoch is not a step
                    began = self._now()
                made += 1
                if made > self.steps:
                    break
        self.seconds = self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def measure(method: str, patch: int | None, arguments: argparse.Namespace, device: torch.device) -> list[dict]:
    """One row for each phase: steps a second of the trainer and of the bare loop, and their ratio."""
    options = {} if patch is None else {"patch": patch, "stride": patch}
    settings = settings_of(method, **options)
    samples = make_samples(settings, max(1024, 8 * settings.patch), device)
    training = TrainingSettings(precision=arguments.precision, patience=0)
    trainer = Trainer(lambda: build(method, settings, 3), samples, training, device)
    made = trainer._begin(0)
    made.score = lambda sample: (0.0, {"clusters_used": 1})  # type: ignore[method-assign,assignment]
    rows = []
    for number, phase in enumerate(made.phases):
        timed = Timed(phase, device)
        ratios = [_turn(trainer, made, phase, number, timed, arguments) for _ in range(arguments.repeats + 1)][1:]
        ours, bare = (statistics.median(pair[i] for pair in ratios) for i in (0, 1))
        row = {"method": method, "phase": phase.name, "patch": settings.patch, "steps": timed.steps}
        row |= {"ours": ours, "bare": bare, "ratio": statistics.median(a / b for a, b in ratios)}
        rows.append(row)
        print(f"{method:>10} {phase.name:>12} {settings.patch:4d} px: {ours:8.2f} of {bare:8.2f} steps/s, "
              f"ratio {row['ratio']:.3f}", flush=True)  # fmt: skip
    return rows


def _turn(
    trainer: Trainer, method: Method, phase: Phase, number: int, timed: Timed, arguments: argparse.Namespace
) -> tuple[float, float]:
    """An epoch of the trainer, then as many bare steps: steps a second of both. The next turn is as long as asked."""

    class Silent:
        def advance(self, *what: Any) -> None: ...

    trainer._epoch(method, phase, number, Silent())  # type: ignore[arg-type]
    ours = timed.steps / timed.seconds
    bare = _bare(trainer, phase, timed)
    timed.steps = max(3, round(arguments.seconds * bare))
    trainer.progress.epochs_done += 1
    return ours, bare


def _bare(trainer: Trainer, phase: Phase, timed: Timed) -> float:
    samples: Any = Resident(trainer.samples)
    indices = next(iter(timed.original(len(samples), torch.Generator().manual_seed(0)))).to(trainer.device)
    pairs = getattr(phase, "pairs", None)
    if pairs is not None:
        phase.pairs = ResidentPairs(pairs)  # type: ignore[attr-defined]
    began = 0.0
    for step in range(timed.steps + 1):
        phase.optimiser.zero_grad(set_to_none=True)
        with trainer._autocast():
            phase.step(samples, indices)
        phase.optimiser.step()
        if step == 0:
            began = timed._now()
    seconds = timed._now() - began
    if pairs is not None:
        phase.pairs = pairs  # type: ignore[attr-defined]
    return timed.steps / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="*", default=[*PATCHES, *DENSE], choices=[*METHODS])
    parser.add_argument("--patches", nargs="*", type=int, default=[8, 16, 32])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", RssegWarning)
    device = choose_device(arguments.device, arguments.threads)
    rows: list[dict] = []
    for method in arguments.methods:
        for patch in [None] if method in DENSE else [p for p in arguments.patches if p in PATCHES[method]]:
            rows += measure(method, patch, arguments, device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = {"rows": rows, "peak_mib": peak, "precision": arguments.precision, **hardware(device)}
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
