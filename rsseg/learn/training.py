"""The training loop, written once; it knows phases, not methods.

Every random choice of an epoch follows from (seed, run, phase, epoch), so a training that is resumed between two
epochs goes on as if it had never stopped. Of several processes each takes its part of every batch; the first one
judges, decides and writes.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor

from rsseg.errors import ModelError, TrainingError, UsageError, WeightsWarning
from rsseg.files import write_text
from rsseg.learn.batch_norm import synchronise
from rsseg.learn.checkpoint import Checkpoint, Progress, Tensors, part, restore_optimiser
from rsseg.learn.compiling import compile_trunk
from rsseg.learn.distributed import any_process, by_first, check_alike, send_module
from rsseg.learn.gather import alone, processes, rank
from rsseg.learn.methods.base import Method, Phase
from rsseg.learn.networks.build import Network
from rsseg.learn.runs import (
    Trained,
    TrainingSettings,
    answer_together,
    seed_epoch,
    seed_process,
    warn_of_collapse,
)
from rsseg.learn.samples import Samples
from rsseg.learn.steps import Precision, Steps, autocast, check_score, is_shortage
from rsseg.progress import SILENT, Reporter, Task

__all__ = ["Precision", "Trained", "Trainer", "TrainingSettings"]

SETTLE_SAMPLES = 8192


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
        self.notes = json.loads(json.dumps({**settings.described(), **(identity or {})}))
        self.checkpoint = Checkpoint(checkpoint, self.notes) if checkpoint else None
        self.history_path, self.reporter, self.on_epoch = history, reporter, on_epoch
        self.progress = Progress()
        self.best: list[Tensors] = []
        self.fixed: Any = None

    def train(self, resume: bool = False, strict: bool = True) -> Trained:
        """Train all runs, or those that a checkpoint says are left, and return the best.

        A checkpoint of other settings is an error, or is ignored when not ``strict``.
        """
        saved = self._load(strict) if resume else None
        self._check_processes()
        method: Method | None = None
        with self._enough_memory():
            for run in range(self.progress.run, self.settings.restarts):
                method = self._begin(run)
                self._train_run(method, saved)
                saved = None
                self._judge(method)
            if method is None:
                raise TrainingError(f"{self.settings.restarts} restarts leave no run to train; choose at least 1")
            # like settling, on patches that do not depend on where a training was resumed
            self.samples.redraw(0)
            return self._answer(method)

    def _answer(self, method: Method) -> Trained:
        """The best run, finished; of several processes in the first alone."""
        run, score = self.progress.top[0]
        if rank() > 0:
            return Trained(method, method.network, score, run, {}, self.progress.history)
        with alone():
            network = self._finished(method)
            fitted, shares = method.score(self.fixed)
        warn_of_collapse(method, shares)
        if not method.phases:
            run, score = 0, fitted
        return Trained(method, network, score, run, shares, self.progress.history)

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
        return answer_together(members, self.samples, self._fixed_sample(method.score_samples)).to(self.device)

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
        seed_epoch(self.settings.seed, run, -1, 0)
        method = self.make()
        method.module.to(self.device).to(memory_format=torch.channels_last)
        if processes() > 1:
            synchronise(method.module)
            send_module(method.module)
        if self.settings.compile and processes() == 1:
            compile_trunk(method.network, self.reporter.say)
        if self.fixed is None and rank() == 0:
            # of the first draw of the samples, and the same for all epochs and runs
            self.samples.redraw(0)
            self.fixed = method.fixed(self.samples, self._fixed_sample(method.score_samples))
        self.deadline = time.monotonic() + (self.settings.seconds or math.inf)
        return method

    def _train_run(self, method: Method, saved: tuple[Tensors, Mapping[str, Any]] | None) -> None:
        names = [phase.name for phase in method.phases]
        first = 0
        if saved:
            try:
                first = names.index(self.progress.phase)
                method.module.load_state_dict(part(saved[0], "network"))
            except (ValueError, RuntimeError) as problem:
                told = "the checkpoint is of another network; remove it, or train without --resume"
                raise ModelError(told) from problem
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
                if self.checkpoint and rank() == 0:
                    self.checkpoint.save(self.progress, method, phase, self.best)

    def _epoch(self, method: Method, phase: Phase, number: int, task: Task) -> dict[str, Any]:
        """One epoch: every training patch in memory once; returns its row of the history."""
        epoch, began = self.progress.epochs_done, time.perf_counter()
        batches = self._start_epoch(method, phase, number)
        where = f"of epoch {epoch + 1} (phase {phase.name})"
        steps = Steps(self.samples, self.device, self.settings.precision, self.progress.parts)
        losses = steps.through(phase, batches, where, self._late)
        phase.end_of_epoch()
        score, shares = self._score(method)
        check_score(score, len(losses), where)
        mean = float(torch.stack(losses).double().mean()) if losses else None  # an epoch may have no step left to do
        told = "" if mean is None else f"loss {mean:.4f}, "
        task.advance(1, f"{told}{shares['clusters_used']} clusters")
        cut = {"parts": steps.parts[phase.name]} if phase.name in steps.parts else {}
        place = {"run": self.progress.run, "phase": phase.name, "epoch": epoch + 1, "steps": len(losses), **cut}
        seconds = round(time.perf_counter() - began, 3)
        return {**place, "loss": mean, "score": score, **shares, "seconds": seconds}

    def _start_epoch(self, method: Method, phase: Phase, number: int) -> Iterator[Tensor]:
        """Draw the samples, seed, and make the phase ready, alike in all processes; returns the epoch's batches."""
        epoch = self.progress.epochs_done
        self.samples.redraw(epoch)
        place = self.settings.seed, self.progress.run, number, epoch
        generator = seed_epoch(*place)
        method.module.train()
        with alone():
            phase.start_of_epoch(self.samples, epoch)
        send_module(method.module)
        seed_process(*place)
        return phase.batches(len(self.samples), generator)

    def _autocast(self) -> AbstractContextManager[Any]:
        return autocast(self.device, self.settings.precision)

    def _score(self, method: Method) -> tuple[float, Mapping[str, float]]:
        """The first process's score; it may choose among heads, so all take its tensors."""

        def scored() -> tuple[float, Mapping[str, float]]:
            with self._autocast():
                return method.score(self.fixed)

        found = by_first(scored)
        send_module(method.module)
        return found

    def _judge(self, method: Method) -> None:
        """Settle a finished run's batch norm, score it, and keep its tensors if it is among the best so far."""
        self.samples.redraw(0)
        score = by_first(lambda: self._settled_score(method))
        run, self.progress.run = self.progress.run, self.progress.run + 1
        rank_of_run = sum(other <= score for _, other in self.progress.top)
        if rank_of_run >= self.settings.vote:
            return
        self.progress.top.insert(rank_of_run, (run, score))
        del self.progress.top[self.settings.vote :]
        if self.settings.restarts > 1:
            state = {name: tensor.detach().clone() for name, tensor in method.module.state_dict().items()}
            self.best.insert(rank_of_run, state)
            del self.best[self.settings.vote :]

    def _settled_score(self, method: Method) -> float:
        if method.phases:
            method.settle(self.samples, self._fixed_sample(SETTLE_SAMPLES))
        return method.score(self.fixed)[0]

    def _late(self) -> bool:
        """Whether the run has used up the time that the settings give it."""
        return self.settings.seconds is not None and any_process(time.monotonic() > self.deadline)

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
        if self.history_path and rank() == 0:
            lines = (json.dumps(line, sort_keys=True) for line in self.progress.history)
            write_text(self.history_path, "\n".join(lines) + "\n", overwrite=True)

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
        self.best = [part(tensors, f"best/{place}") for place in range(len(self.progress.top))]
        done = f"{self.progress.epochs_done} epochs of run {self.progress.run + 1}"
        self.reporter.say(f"going on from {self.checkpoint.path.name}: {done} are done")
        return tensors, numbers

    def _check_processes(self) -> None:
        """Refuse processes that would not train the same, before one waits for another in vain."""
        check_alike("their settings, scenes or memory", json.dumps([self.notes, len(self.samples)], sort_keys=True))
        check_alike("the checkpoint that they go on from", json.dumps(vars(self.progress), sort_keys=True))

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Say what to do where memory runs out elsewhere than in a step."""
        try:
            yield
        except (RuntimeError, MemoryError) as problem:
            if not is_shortage(problem):
                raise
            raise TrainingError(
                f"memory ran out on {self.device} while training was prepared or scored; "
                "choose a smaller --memory or --patch, or another --device"
            ) from problem

    def _fixed_sample(self, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.settings.seed)
        return torch.randperm(len(self.samples), generator=generator)[:count].to(self.device)

    def _title(self, phase: Phase) -> str:
        runs = f" (run {self.progress.run + 1} of {self.settings.restarts})" if self.settings.restarts > 1 else ""
        return f"training, epochs{runs}: {phase.name}"
