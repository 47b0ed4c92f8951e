"""What a rehearsed training tells of the real one: seconds of each part, and how each part grows."""

from collections.abc import Callable
from dataclasses import dataclass

from rsseg.learn.channels.fit import PIXELS

FIT_SAMPLES = 100_000
"""Samples that a k-means of what was learned is fitted on at most."""


@dataclass(frozen=True)
class TrainingSize:
    """What a model is trained on: ``pixels`` and valid ``patches`` of all its scenes; ``memory``: bytes for pixels."""

    pixels: int
    patches: int
    memory: int

    def held(self, stored: int) -> float:
        """The part of the pixels, ``stored`` bytes each, that lies in memory at a time."""
        return min(1.0, self.memory / max(1, self.pixels * stored))


@dataclass(frozen=True)
class PhaseSpeed:
    """Seconds of a phase: before its first epoch, before each other, for one index of a batch, and to save its state.

    ``indices``: how many indices the batches of an epoch hold, of so many samples.
    """

    epochs: int
    first: float = 0.0
    start: float = 0.0
    index: float = 0.0
    save: float = 0.0
    indices: Callable[[int], int] = int

    def seconds(self, samples: int, first: float, others: float) -> float:
        """The phase on ``samples`` samples; the work before epochs is ``first`` and ``others`` times the rehearsed."""
        if not self.epochs:
            return 0.0
        epochs = self.epochs * (self.index * self.indices(samples) + self.save)
        return first * self.first + (self.epochs - 1) * others * self.start + epochs


@dataclass(frozen=True)
class TrainingSpeed:
    """What the parts of a training took, in seconds, on the ``pixels`` and ``samples`` of the rehearsal.

    ``reading`` counts patches and loads pixels; ``building`` makes the network; ``fixed`` gathers what the score looks
    at; ``tile`` makes the superpixels of one sample, 0 where there are none. ``scored``, ``settled``, ``started``: of
    how many samples a score, the last statistics, and what is done before the first epoch are at most; the first two
    were timed on ``passed``. ``bytes``: of the model's file; ``stored``: of a pixel in memory.
    """

    pixels: int
    samples: int
    passed: int
    scored: int
    settled: int
    started: int
    stored: int
    bytes: int
    fit: float = 0.0
    reading: float = 0.0
    building: float = 0.0
    fixed: float = 0.0
    score: float = 0.0
    settle: float = 0.0
    finish: float = 0.0
    tile: float = 0.0
    phases: tuple[PhaseSpeed, ...] = ()

    def seconds(self, size: TrainingSize, restarts: int = 1) -> float:
        """A whole training of ``restarts`` runs, none of whose phases ends early."""
        held = size.held(self.stored)
        samples = max(1, round(size.patches * held))
        epochs = restarts * sum(phase.epochs for phase in self.phases)
        draws = 1 if held == 1 else max(1, epochs)
        reading = self.reading * size.pixels / self.pixels * (1 + (draws - 1) * held / 2)
        fitting = self.fit * grown(size.pixels, self.pixels, PIXELS)
        scoring = grown(samples, self.passed, self.scored)
        score = self.score * scoring
        return (
            fitting
            + reading
            + self.fixed * scoring
            + self.tile * samples * draws
            + restarts * (self._run(samples) + score)
            + (epochs + 1) * score
            + self.finish * grown(samples, self.samples, FIT_SAMPLES)
        )

    def _run(self, samples: int) -> float:
        """One run's phases and its last statistics."""
        first, others = grown(samples, self.samples, self.started), samples / self.samples
        phases = sum(phase.seconds(samples, first, others) for phase in self.phases)
        return self.building + phases + self.settle * grown(samples, self.passed, self.settled)


def grown(real: int, rehearsed: int, most: int) -> float:
    """How much more there is to do than in the rehearsal, where never more than ``most`` is done."""
    return max(1, min(real, most)) / max(1, min(rehearsed, most))
