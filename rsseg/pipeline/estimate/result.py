"""The estimate of a run: seconds a stage, and in all; memory; disk."""

import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rsseg.errors import RssegError, RssegWarning
from rsseg.label.limits import peak
from rsseg.pipeline.cache import Node
from rsseg.pipeline.estimate.memory import streaming_bytes, training_bytes
from rsseg.pipeline.estimate.parts import Part, labelled_patches, part_of, training_size
from rsseg.pipeline.estimate.rehearsal import Line, Spent
from rsseg.pipeline.estimate.training_speed import TrainingSize
from rsseg.pipeline.estimate.workshop import ONCE, Workshop
from rsseg.pipeline.plan import Plan, RunScene, TrainedModel
from rsseg.progress import Reporter

PICTURE = 1200 * 1200
"""Pixels that a picture shows at most."""

BESIDE = 1.0
"""Seconds of a command that belong to no stage: to start Python, open the scenes, and end."""


@dataclass(frozen=True)
class Estimate:
    """What the stages that are to run will take on this machine.

    ``stages``: seconds by name, None for those that could not be measured; ``start``: seconds before and between them;
    ``memory``: bytes in memory at most, None where the system does not tell; ``disk``: bytes that are written;
    ``measuring``: seconds that the measurement itself took. Phases of a training may end early: seconds are at most.
    """

    stages: Mapping[str, float | None]
    start: float
    memory: int | None
    disk: int
    measuring: float

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.start + sum(found or 0.0 for found in self.stages.values())

    @property
    def unknown(self) -> list[str]:
        """The stages that could not be measured."""
        return [name for name, seconds in self.stages.items() if seconds is None]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"seconds": self.seconds, **asdict(self), "unknown": self.unknown}


def estimate(plan: Plan, todo: Sequence[Node], reporter: Reporter, *, spent: float = 0.0) -> Estimate | None:
    """Rehearse the stages that are to run, in a temporary folder, and scale up what they took.

    ``spent``: seconds that the command took until here, and will take again. Returns: None, with a note to the user,
    where something cannot be measured.
    """
    if not todo:
        return Estimate({}, spent, None, 0, 0.0)
    began = time.perf_counter()
    try:
        with (
            warnings.catch_warnings(),
            tempfile.TemporaryDirectory(prefix="rsseg-estimate-") as folder,
            torch.random.fork_rng(),
            reporter.task("measuring this machine, a few seconds", 3 * len(todo)) as task,
        ):
            warnings.simplefilter("ignore", RssegWarning)
            workshop = Workshop(plan, Path(folder), task.advance)
            workshop.run(todo)
            return _Scaled(plan, workshop).estimate(todo, spent, began)
    except Exception as problem:  # an estimate is a service: a dry run goes on without it
        reason = str(problem) if isinstance(problem, RssegError) else f"{type(problem).__name__}: {problem}"
        reporter.say(f"no estimate of time, memory and disk: {reason}")
        return None


@dataclass(frozen=True)
class _Scaled:
    """From the rehearsal to the run."""

    plan: Plan
    workshop: Workshop

    def estimate(self, todo: Sequence[Node], spent: float, began: float) -> Estimate:
        """Every stage's share; ``began``: when measuring did."""
        parts = {node.name: part_of(node, self.plan) for node in todo}
        stages = {name: self._seconds(part) for name, part in parts.items()}
        disk = sum(self._bytes(part) for part in parts.values())
        loading = sum(max(0.0, one.seconds - self._small(name).seconds) for name, one in self.workshop.first.items())
        memory, start = self._memory(list(parts.values())), spent + loading + BESIDE
        return Estimate(stages, start, memory, round(disk), time.perf_counter() - began)

    def _small(self, name: str) -> Spent:
        return self.workshop.small.get(name, Spent(0, 0.0, 0))

    def _seconds(self, part: Part) -> float | None:
        if part.kind == "train" and part.model:
            return self._training(part.model)
        if part.scene is None:
            return self._table(part)
        pixels = _pixels(part.scene)
        if part.kind == "toa":
            return self.workshop.toa.at(pixels)
        name = self.workshop.name_of(part)
        large = self.workshop.large.get(name or "")
        if large is None or name is None:
            return None
        if part.kind in ONCE:
            maps = self._compared(part.scene) if part.kind == "consensus" else 1
            return large.seconds * maps + max(0, pixels - large.pixels) * maps * self.workshop.look.seconds
        small = self.workshop.small.get(name, large)
        if part.kind == "segment" and part.model:
            return self._labelling(part.scene, part.model, small, large)
        return Line.through((small.pixels, small.seconds), (large.pixels, large.seconds)).at(pixels)

    def _compared(self, scene: RunScene) -> float:
        """How many more maps are compared than in the rehearsal."""
        return sum(scene in model.applied_to for model in self.plan.models) / len(self.workshop.models)

    def _training(self, model: TrainedModel) -> float:
        speed = self.workshop.trained[self._stand_in(model).name]
        return speed.seconds(self._size(model), model.config.restarts)

    def _labelling(self, scene: RunScene, model: TrainedModel, small: Spent, large: Spent) -> float:
        """By patches; those without a valid pixel are left out."""
        counts = [labelled_patches(self.workshop.grids[name], model, self.plan) for name in ("small", "large")]
        line = Line.through((counts[0], small.seconds), (counts[1], large.seconds))
        patches = labelled_patches(scene.source.grid, model, self.plan) * self.workshop.valid(scene)
        voters = model.config.vote if model.name in self.workshop.trained else 1
        return line.constant + voters * line.slope * patches

    def _table(self, part: Part) -> float | None:
        """A table of all maps, which is a small one, and perhaps its picture."""
        pictures = [spent.seconds for name, spent in self.workshop.large.items() if name.startswith("picture ")]
        return max(pictures, default=0.5) if part.kind == "cross-scene" else 0.1

    def _bytes(self, part: Part) -> float:
        if part.kind == "train" and part.model:
            return self.workshop.trained[self._stand_in(part.model).name].bytes * part.model.config.vote
        if part.scene is None:
            return 0.0
        pixels, name = _pixels(part.scene), self.workshop.name_of(part) or ""
        valid = pixels * self.workshop.valid(part.scene)  # the parts are; what holds no data takes next to nothing
        if part.kind == "toa":
            return self.workshop.toa_bytes.at(valid)
        large = self.workshop.large.get(name)
        if large is None:
            return 0.0
        if part.kind == "picture":
            return large.bytes * max(1.0, min(PICTURE, valid) / large.pixels)
        small = self.workshop.first.get(name, large)  # the second time, files only replaced those of the first
        return Line.through((small.pixels, small.bytes), (large.pixels, large.bytes)).at(valid)

    def _memory(self, parts: Sequence[Part]) -> int | None:
        base = peak()
        if base is None:
            return None
        models = [part.model for part in parts if part.kind == "train" and part.model]
        trained = [self.workshop.trained[self._stand_in(m).name] for m in models]
        held = [training_bytes(speed, self._size(m)) for speed, m in zip(trained, models, strict=True)]
        return base + max([streaming_bytes(self.plan.scenes), *held])

    def _stand_in(self, model: TrainedModel) -> TrainedModel:
        found = self.workshop.stand_in(model)
        assert found is not None
        return found

    def _size(self, model: TrainedModel) -> TrainingSize:
        valid = {scene.name: self.workshop.valid(scene) for scene in model.trained_on}
        return training_size(model, valid, self.plan.machine.memory)


def _pixels(scene: RunScene) -> int:
    return scene.source.grid.height * scene.source.grid.width
