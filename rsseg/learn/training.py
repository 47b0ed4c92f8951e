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
from warnings import catch_warnings, simplefilter, warn

import torch
from torch import Tensor

from rsseg.errors import CollapseWarning, ModelError, TrainingError, UsageError, WeightsWarning
from rsseg.files import write_text
from rsseg.learn.checkpoint import Checkpoint, Progress, Tensors, part, restore_optimiser
from rsseg.learn.methods.base import Method, Phase
from rsseg.learn.networks.build import Network, is_dense
from rsseg.learn.networks.vote import labels_of, vote_of
from rsseg.learn.samples import Samples
from rsseg.progress import SILENT, Reporter, Task

Precision = Literal["fp32", "bf16"]

SETTLE_SAMPLES = 8192
CHECK_STEPS = 50


@dataclass(frozen=True)
class TrainingSettings:
    """How to train, whatever the method.

    ``patience``: epochs without a better score after which a phase ends (0: never); an improvement counts when it is
    more than ``tolerance`` in the loss. ``seconds``: a run ends when it has taken as long, whatever it has reached; for
    benchmarks, since the answer then depends on the machine. ``vote``: how many of the best runs answer together, by
    majority (DDC-VOTE); 1 is the best alone.
    """

    seed: int = 0
    restarts: int = 1
    patience: int = 5
    tolerance: float = 1e-3
    precision: Precision = "fp32"
    seconds: float | None = None
    vote: int = 1

    def __post_init__(self) -> None:
        if self.vote > max(1, self.restarts):
            raise UsageError(
                f"{self.vote} runs are to vote, and {self.restarts} are made; give --restarts {self.vote} or more"
            )


@dataclass
class Trained:
    """The chosen run: its method, the network that answers (of the run, or a vote), its score, all runs' history."""

    method: Method
    network: Network
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
        on_epoch: Callable[[Method, Mapping[str, Any]], None] = lambda method, row: None,
    ) -> None:
        """``identity``: what a checkpoint must agree on, beside the training settings, to be resumed.

        ``on_epoch`` is called after each epoch with its row of the history.
        """
        self.make, self.samples, self.settings, self.device = make, samples, settings, device
        notes = {**asdict(settings), **(identity or {})}
        self.checkpoint = Checkpoint(checkpoint, json.loads(json.dumps(notes))) if checkpoint else None
        self.history_path, self.reporter, self.on_epoch = history, reporter, on_epoch
        self.progress = Progress()
        self.best: list[Tensors] = []
        self.fixed: Any = None

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
        # like settling, on patches that do not depend on where a training was resumed
        self.samples.redraw(0)
        network = self._finished(method)
        score, shares = method.score(self.fixed)
        self._warn_of_collapse(method, shares)
        progress = self.progress
        run, score = progress.top[0] if method.phases else (0, score)
        return Trained(method, network, score, run, shares, progress.history)

    def _finished(self, method: Method) -> Network:
        """Finish the best run, and with a vote the next best ones too; the method is left with the best."""
        if self.best and self.best[0]:
            method.module.load_state_dict(self.best[0])
        method.finish(self.samples, self.settings.seed)
        others = [self._member(tensors) for tensors in self.best[1:]]
        if not others:
            network: Network = method.network
            return network
        members = [method.network, *others]
        fixed = self._fixed_sample(method.score_samples)
        labels = [labels_of(member, self.samples, fixed) for member in members]
        if is_dense(members[0]):
            seen = torch.cat([self.samples.valid(tile) for tile in fixed.split(1)]).flatten().cpu().numpy()
            labels = [found[seen] for found in labels]
        return vote_of(members, labels).to(self.device)

    def _member(self, tensors: Tensors) -> Any:
        """The finished network of another run."""
        with catch_warnings():
            simplefilter("ignore", WeightsWarning)  # said when the run began
            method = self._begin(0)
        method.module.load_state_dict(tensors)
        method.finish(self.samples, self.settings.seed)
        return method.network

    def _begin(self, run: int) -> Method:
        """A fresh method of one run, on the device."""
        self._seed(run, -1, 0)
        method = self.make()
        method.module.to(self.device).to(memory_format=torch.channels_last)
        if self.fixed is None:  # of the first draw of the samples, and the same for all epochs and runs
            self.samples.redraw(0)
            self.fixed = method.fixed(self.samples, self._fixed_sample(method.score_samples))
        self.deadline = time.monotonic() + (self.settings.seconds or math.inf)
        return method

    def _train_run(self, method: Method, saved: tuple[Tensors, Mapping[str, Any]] | None) -> None:
        names = [phase.name for phase in method.phases]
        first = names.index(self.progress.phase) if saved else 0
        if saved:
            method.module.load_state_dict(part(saved[0], "network"))
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
                self.progress.phase_ended = (phase.patient and self._enough(row["score"])) or self._late()
                self._record(row)
                self.on_epoch(method, row)
                if self.checkpoint:
                    self.checkpoint.save(self.progress, method, phase, self.best)

    def _epoch(self, method: Method, phase: Phase, number: int, task: Task) -> dict[str, Any]:
        """One epoch: every training patch in memory once; returns its row of the history."""
        epoch, began = self.progress.epochs_done, time.perf_counter()
        self.samples.redraw(epoch)
        generator = self._seed(self.progress.run, number, epoch)
        method.module.train()
        phase.start_of_epoch(self.samples, epoch)
        losses: list[Tensor] = []
        for indices in phase.batches(len(self.samples), generator):
            phase.optimiser.zero_grad(set_to_none=True)
            with self._autocast():
                losses.append(phase.step(self.samples, indices.to(self.device)))
            phase.optimiser.step()
            if self._late():
                break
            if len(losses) % CHECK_STEPS == 0:
                self._check_finite(losses, phase, epoch)
        phase.end_of_epoch()
        self._check_finite(losses, phase, epoch)
        with self._autocast():
            score, shares = method.score(self.fixed)
        if not math.isfinite(score):
            raise TrainingError(self._broken(len(losses), phase, epoch))
        loss = float(torch.stack(losses).double().mean()) if losses else None  # an epoch may have no step left to do
        told = "" if loss is None else f"loss {loss:.4f}, "
        task.advance(1, f"{told}{shares['clusters_used']} clusters")
        where = {"run": self.progress.run, "phase": phase.name, "epoch": epoch + 1, "steps": len(losses)}
        seconds = round(time.perf_counter() - began, 3)
        return {**where, "loss": loss, "score": score, **shares, "seconds": seconds}

    def _judge(self, method: Method) -> None:
        """Settle a finished run's batch norm, score it, and keep its tensors if it is among the best so far."""
        self.samples.redraw(0)
        if method.phases:
            method.settle(self.samples, self._fixed_sample(SETTLE_SAMPLES))
        score = method.score(self.fixed)[0]
        run, self.progress.run = self.progress.run, self.progress.run + 1
        rank = sum(other <= score for _, other in self.progress.top)
        if rank >= self.settings.vote:
            return
        self.progress.top.insert(rank, (run, score))
        del self.progress.top[self.settings.vote :]
        if self.settings.restarts > 1:
            state = {name: tensor.detach().clone() for name, tensor in method.module.state_dict().items()}
            self.best.insert(rank, state)
            del self.best[self.settings.vote :]

    def _late(self) -> bool:
        """Whether the run has used up the time that the settings give it."""
        return time.monotonic() > self.deadline

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
        self.best = [part(tensors, f"best/{rank}") for rank in range(len(self.progress.top))]
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
        if method.collapsed(shares):
            warn(
                f"the clustering collapsed: {shares['clusters_used']} of {method.network.classes} clusters are used "
                f"and the largest holds {shares['largest_share']:.0%} of the sample; try {method.remedy}",
                CollapseWarning,
                stacklevel=3,
            )
