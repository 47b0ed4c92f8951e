"""The training loop, written once; it knows phases, not methods.

Every random choice of an epoch follows from (seed, run, phase, epoch), so a training that is resumed between two
epochs goes on as if it had never stopped.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from warnings import warn

import torch
from torch import Tensor

from rsseg.errors import CollapseWarning, ModelError, TrainingError, UsageError
from rsseg.files import write_text
from rsseg.learn.checkpoint import Checkpoint, Progress, Tensors, part, restore_optimiser
from rsseg.learn.methods.base import Method, Phase
from rsseg.learn.networks.patch import settle
from rsseg.learn.samples import Samples
from rsseg.progress import SILENT, Reporter, Task

Precision = Literal["fp32", "bf16"]

SCORE_SAMPLES = 4096
SETTLE_BATCHES = 32
SETTLE_SIZE = 256
CHECK_STEPS = 50


@dataclass(frozen=True)
class TrainingSettings:
    """How to train, whatever the method.

    ``patience``: epochs without a better score after which a phase ends (0: never); an improvement counts when it is
    more than ``tolerance`` in the loss.
    """

    seed: int = 0
    restarts: int = 1
    patience: int = 5
    tolerance: float = 1e-3
    precision: Precision = "fp32"


@dataclass
class Trained:
    """The chosen run: its method with the trained network, its score and every run's history."""

    method: Method
    score: float
    run: int
    shares: Mapping[str, float]
    history: list[dict[str, Any]]


class Trainer:
    """One training, possibly of several runs, of which the best by its unsupervised score is kept."""

    def __init__(
        self,
        make: Callable[[], Method],
        samples: Samples,
        settings: TrainingSettings,
        device: torch.device,
        *,
        identity: Mapping[str, Any] | None = None,
        checkpoint: Path | None = None,
        history: Path | None = None,
        reporter: Reporter = SILENT,
    ) -> None:
        """``identity``: what a checkpoint must agree on, beside the training settings, to be resumed."""
        self.make, self.samples, self.settings, self.device = make, samples, settings, device
        notes = {**asdict(settings), **(identity or {})}
        self.checkpoint = Checkpoint(checkpoint, json.loads(json.dumps(notes))) if checkpoint else None
        self.history_path, self.reporter = history, reporter
        self.progress = Progress()
        self.best: Tensors | None = None
        self.fixed = samples.gather(self._fixed_sample(SCORE_SAMPLES))

    def train(self, resume: bool = False, strict: bool = True) -> Trained:
        """Train all runs, or those that a checkpoint says are left, and return the best.

        A checkpoint of other settings is an error, or is ignored when not ``strict``.
        """
        saved = self._load(strict) if resume else None
        method: Method | None = None
        for run in range(self.progress.run, self.settings.restarts):
            method = self._begin(run)
            self._train_run(method, saved)
            saved = None
            self._judge(method)
        if method is None:
            raise TrainingError(f"{self.settings.restarts} restarts leave no run to train; choose at least 1")
        if self.best is not None:
            method.network.load_state_dict(self.best)
        self.samples.redraw(0)  # like settling, on patches that do not depend on where a training was resumed
        method.finish(self.samples, self.settings.seed)
        score, shares = method.score(self.fixed)
        self._warn_of_collapse(method, shares)
        if method.phases:
            score = self.progress.best_score or 0.0
        return Trained(method, score, self.progress.best_run or 0, shares, self.progress.history)

    def _begin(self, run: int) -> Method:
        """A fresh method of one run, on the device."""
        self._seed(run, -1, 0)
        method = self.make()
        method.network.to(self.device).to(memory_format=torch.channels_last)
        return method

    def _train_run(self, method: Method, saved: tuple[Tensors, Mapping[str, Any]] | None) -> None:
        names = [phase.name for phase in method.phases]
        first = names.index(self.progress.phase) if saved else 0
        if saved:
            method.network.load_state_dict(part(saved[0], "network"))
            restore_optimiser(method.phases[first].optimiser, part(saved[0], "optimiser"), saved[1])
        for number, phase in enumerate(method.phases[first:], start=first):
            if not (saved and number == first):
                self.progress.phase, self.progress.epochs_done = phase.name, 0
                self.progress.best_in_phase, self.progress.epochs_since_best = None, 0
                self.progress.phase_ended = False
            self._train_phase(method, phase, number)

    def _train_phase(self, method: Method, phase: Phase, number: int) -> None:
        left = phase.epochs - self.progress.epochs_done
        with self.reporter.task(self._title(phase), left) as task:
            while self.progress.epochs_done < phase.epochs and not self.progress.phase_ended:
                row = self._epoch(method, phase, number, task)
                self.progress.epochs_done += 1
                self.progress.phase_ended = self._enough(row["score"])
                self._record(row)
                if self.checkpoint:
                    self.checkpoint.save(self.progress, method, phase, self.best)

    def _epoch(self, method: Method, phase: Phase, number: int, task: Task) -> dict[str, Any]:
        """One epoch: every training patch in memory once; returns its row of the history."""
        epoch, began = self.progress.epochs_done, time.perf_counter()
        self.samples.redraw(epoch)
        generator = self._seed(self.progress.run, number, epoch)
        method.network.train()
        losses: list[Tensor] = []
        for indices in phase.batches(len(self.samples), generator):
            phase.optimiser.zero_grad(set_to_none=True)
            with self._autocast():
                losses.append(phase.step(self.samples, indices.to(self.device)))
            phase.optimiser.step()
            if len(losses) % CHECK_STEPS == 0:
                self._check_finite(losses, phase, epoch)
        phase.end_of_epoch()
        self._check_finite(losses, phase, epoch)
        with self._autocast():
            score, shares = method.score(self.fixed)
        if not math.isfinite(score):
            raise TrainingError(self._broken(len(losses), phase, epoch))
        loss = float(torch.stack(losses).double().mean()) if losses else float("nan")
        task.advance(1, f"loss {loss:.4f}, {shares['clusters_used']} clusters")
        where = {"run": self.progress.run, "phase": phase.name, "epoch": epoch + 1, "steps": len(losses)}
        seconds = round(time.perf_counter() - began, 3)
        return {**where, "loss": loss, "score": score, **shares, "seconds": seconds}

    def _judge(self, method: Method) -> None:
        """Settle a finished run's batch norm, score it, and keep its tensors if it is the best so far."""
        self.samples.redraw(0)
        if method.phases:
            fixed = self._fixed_sample(SETTLE_BATCHES * SETTLE_SIZE)
            settle(method.network, (self.samples.gather(chunk) for chunk in fixed.split(SETTLE_SIZE) if len(chunk) > 1))
        score = method.score(self.fixed)[0]
        best, self.progress.run = self.progress.best_score, self.progress.run + 1
        if best is not None and not score < best:
            return
        self.progress.best_score, self.progress.best_run = score, self.progress.run - 1
        if self.settings.restarts > 1:
            self.best = {name: tensor.detach().clone() for name, tensor in method.network.state_dict().items()}

    def _enough(self, score: float) -> bool:
        """Whether the phase has stopped getting better, by its unsupervised score."""
        progress = self.progress
        if progress.best_in_phase is None or score < progress.best_in_phase - self.settings.tolerance:
            progress.best_in_phase, progress.epochs_since_best = score, 0
        else:
            progress.epochs_since_best += 1
        return bool(self.settings.patience) and progress.epochs_since_best >= self.settings.patience

    def _record(self, row: dict[str, Any]) -> None:
        self.progress.history.append(row)
        if self.history_path:
            lines = (json.dumps(line, sort_keys=True) for line in self.progress.history)
            write_text(self.history_path, "\n".join(lines) + "\n", overwrite=True)

    def _check_finite(self, losses: list[Tensor], phase: Phase, epoch: int) -> None:
        """Look at the losses in one go, so that the loop does not wait for the device at each step."""
        if not losses:
            return
        broken = torch.nonzero(~torch.isfinite(torch.stack(losses)))
        if len(broken):
            raise TrainingError(self._broken(int(broken[0]) + 1, phase, epoch))

    @staticmethod
    def _broken(step: int, phase: Phase, epoch: int) -> str:
        return (
            f"the loss is not finite at step {step} of epoch {epoch + 1} (phase {phase.name}); "
            "try a smaller learning_rate, or --precision fp32"
        )

    def _load(self, strict: bool) -> tuple[Tensors, Mapping[str, Any]] | None:
        """The checkpoint's tensors and numbers, if there is a checkpoint."""
        if self.checkpoint is None or not self.checkpoint.path.is_file():
            return None
        try:
            self.progress, tensors, numbers = self.checkpoint.load()
        except (UsageError, ModelError):
            if strict:
                raise
            return None
        self.best = part(tensors, "best") or None
        done = f"{self.progress.epochs_done} epochs of run {self.progress.run + 1}"
        self.reporter.say(f"going on from {self.checkpoint.path.name}: {done} are done")
        return tensors, numbers

    def _fixed_sample(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.settings.seed)
        return torch.randperm(len(self.samples), generator=generator)[:count].to(self.device)

    def _seed(self, run: int, phase: int, epoch: int) -> torch.Generator:
        """Seed every generator for one epoch; returns the sampler's own."""
        text = f"{self.settings.seed}/{run}/{phase}/{epoch}".encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
        torch.manual_seed(number)
        return torch.Generator().manual_seed(number)

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.settings.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _title(self, phase: Phase) -> str:
        runs = f" (run {self.progress.run + 1} of {self.settings.restarts})" if self.settings.restarts > 1 else ""
        return f"training, epochs{runs}: {phase.name}"

    def _warn_of_collapse(self, method: Method, shares: Mapping[str, float]) -> None:
        classes = method.network.classes
        if shares["clusters_used"] < max(2, classes / 3) or shares["largest_share"] > 0.95:
            warn(
                f"the clustering collapsed: {shares['clusters_used']} of {classes} clusters are used and the largest "
                f"holds {shares['largest_share']:.0%} of the patches; try another --seed, --restarts 3, "
                "or a larger batch",
                CollapseWarning,
                stacklevel=3,
            )
