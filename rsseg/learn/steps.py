"""The steps of training: one update of the parameters each, by one process or several, in the memory there is."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal
from warnings import warn

import torch
from torch import Tensor

from rsseg.errors import MemoryWarning, TrainingError
from rsseg.learn.distributed import average
from rsseg.learn.gather import own_part, processes
from rsseg.learn.methods.base import Phase
from rsseg.learn.samples import Samples

Precision = Literal["fp32", "bf16"]

CHECK_STEPS = 50
"""Losses are looked at after so many steps, in one go, so that the loop does not wait for the device at each."""

LEAST = 2
"""Samples in a step, at least: of a single one losses over a batch tell nothing, and batch norm has no statistics."""

SHORTAGE = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")
"""What torch and the libraries below it say when memory runs out."""


class Steps:
    """What becomes of a batch: a step, or several where it does not fit in memory."""

    def __init__(self, samples: Samples, device: torch.device, precision: Precision, parts: dict[str, int]) -> None:
        """``parts``: into how many steps a batch is cut, by a phase's name; it grows when memory runs out."""
        self.samples, self.device, self.precision, self.parts = samples, device, precision, parts

    def through(self, phase: Phase, batches: Iterable[Tensor], where: str, late: Callable[[], bool]) -> list[Tensor]:
        """The losses of all steps of an epoch; it ends early when it is ``late`` after a batch.

        ``where`` names the epoch in errors. Raises: TrainingError for a loss that is not finite.
        """
        losses: list[Tensor] = []
        checked = 0
        for batch in batches:
            for loss in self.take(phase, batch):
                losses.append(loss)
                if len(losses) - checked == CHECK_STEPS:
                    check_finite(losses[checked:], where, checked)
                    checked = len(losses)
            if late():
                break
        check_finite(losses[checked:], where, checked)
        return losses

    def take(self, phase: Phase, batch: Tensor) -> Iterator[Tensor]:
        """The losses of a batch's steps, on the device, each when its update is done.

        ``batch``: indices (n,) on the CPU, of all processes. Raises: TrainingError if the smallest part does not fit.
        """
        waiting = cut(own_part(batch), self.parts.get(phase.name, 1))
        while waiting:
            loss = self._step(phase, waiting[0])
            if loss is None:
                self._halve(phase, len(waiting[0]))
                waiting = [half for part in waiting for half in cut(part, 2)]
            else:
                del waiting[0]
                yield loss

    def _step(self, phase: Phase, indices: Tensor) -> Tensor | None:
        """One update; None if memory ran out before it, when nothing has been changed but batch norm's statistics."""
        phase.optimiser.zero_grad(set_to_none=True)
        try:
            with autocast(self.device, self.precision):
                loss = phase.step(self.samples, self._placed(indices))
        except (RuntimeError, MemoryError) as problem:
            if not is_shortage(problem):
                raise
            loss = None  # what the failed step held is free only when the exception is gone
        if loss is None:
            return None
        loss = average(phase.optimiser, loss)
        phase.optimiser.step()
        return loss

    def _placed(self, indices: Tensor) -> Tensor:
        """Indices on the device, without waiting for it."""
        if self.device.type != "cuda":
            return indices.to(self.device)
        return indices.pin_memory().to(self.device, non_blocking=True)

    def _halve(self, phase: Phase, size: int) -> None:
        """From now on cut the phase's batches into twice as many parts, and say so."""
        phase.optimiser.zero_grad(set_to_none=True)
        if processes() > 1:  # the others are in the middle of the same step, and wait for this one's sums
            raise TrainingError(
                f"a process has no memory for its {size} samples of a batch (phase {phase.name}); give a --batch half "
                "as large and a smaller --memory, or start more processes on more machines"
            )
        if size < 2 * LEAST:
            raise TrainingError(
                f"there is no memory for a step of {size} samples on {self.device} (phase {phase.name}); choose a "
                "smaller --patch or --memory, another --device, or a smaller network"
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        parts = self.parts[phase.name] = 2 * self.parts.get(phase.name, 1)
        warn(
            f"{size} samples do not fit in the memory of {self.device} (phase {phase.name}); training goes on with "
            f"batches cut into {parts}, next time give --batch {size // 2}",
            MemoryWarning,
            stacklevel=2,
        )


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """The arithmetic of forward passes."""
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, dtype=torch.bfloat16)


def cut(indices: Tensor, parts: int) -> list[Tensor]:
    """Indices in so many parts of about equal size, or fewer where they would be smaller than ``LEAST``."""
    return list(indices.tensor_split(max(1, min(parts, len(indices) // LEAST))))


def is_shortage(problem: BaseException) -> bool:
    """Whether memory ran out, of a GPU or of the machine."""
    if isinstance(problem, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(problem, RuntimeError) and any(words in str(problem) for words in SHORTAGE)


def check_finite(losses: list[Tensor], where: str, done: int = 0) -> None:
    """Raise TrainingError for the first loss that is not finite.

    ``done``: steps before the first of them; ``where`` follows the step's number.
    """
    if not losses:
        return
    broken = torch.nonzero(~torch.isfinite(torch.stack(losses)))
    if len(broken):
        raise not_finite(done + int(broken[0]) + 1, where)


def check_score(score: float, step: int, where: str) -> None:
    """Raise TrainingError if the score after ``step`` steps is not finite."""
    if not math.isfinite(score):
        raise not_finite(step, where)


def not_finite(step: int, where: str) -> TrainingError:
    """The error of a loss that is not finite."""
    return TrainingError(
        f"the loss is not finite at step {step} {where}; try a smaller learning_rate, or --precision fp32"
    )
