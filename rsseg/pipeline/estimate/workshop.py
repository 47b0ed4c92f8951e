"""Where a run is rehearsed: which parts of which scene, which models, in what order."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rsseg.pipeline.cache import Node
from rsseg.pipeline.estimate.crops import Look, look_at, window_at, write_crop
from rsseg.pipeline.estimate.parts import Part, part_of
from rsseg.pipeline.estimate.rehearsal import Line, Spent, rehearse, small_plan
from rsseg.pipeline.estimate.training import rehearse_training
from rsseg.pipeline.estimate.training_speed import TrainingSpeed
from rsseg.pipeline.plan import Plan, RunScene, TrainedModel
from rsseg.scene.grid import Grid

SMALL, MIDDLE, LARGE = 64, 256, 512
"""Sides in pixels of the parts on which stages are rehearsed: what they take at any size, and what a pixel takes."""

LABELLING_SECONDS = 0.7
"""How long a part of ``LARGE`` may take to be labelled; for slower networks it is smaller, ``MIDDLE`` at least."""

ONCE = ("picture", "consensus")
"""Stages that are rehearsed once: what they draw takes most of their time, whatever the size."""

ALIKE = ("picture", "evaluate")
"""Stages that take as long for the map of any model."""


@dataclass
class Workshop:
    """A run's rehearsal in a temporary folder.

    ``small`` and ``large``: what the stages took on the two parts, by name; ``first``: on the small one when nothing
    was loaded yet; ``grids``: of the two parts; ``trained``: the trainings by model; ``toa``: seconds and bytes of
    converting pixels; ``did`` is called after every stage.
    """

    plan: Plan
    folder: Path
    did: Callable[[], Any] = lambda: None
    small: Mapping[str, Spent] = field(default_factory=dict)
    large: Mapping[str, Spent] = field(default_factory=dict)
    first: Mapping[str, Spent] = field(default_factory=dict)
    trained: dict[str, TrainingSpeed] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.toa = self.toa_bytes = Line(0.0)
        self.scene = self.plan.scenes[0]
        self.look: Look = look_at(self.scene)
        self.others: dict[str, Look] = {self.scene.name: self.look}

    def valid(self, scene: RunScene) -> float:
        """The share of a scene's pixels that are valid."""
        if scene.name not in self.others:
            self.others[scene.name] = look_at(scene)
        return self.others[scene.name].valid

    def run(self, todo: Sequence[Node]) -> None:
        """Rehearse what is to be done."""
        parts = [part_of(node, self.plan) for node in todo]
        self.models = _kept(self.plan, parts)
        names = {name for part in parts if (name := self.name_of(part))}
        self._convert()
        self._train({_key(part.model) for part in parts if part.kind == "train" and part.model})
        side = max([SMALL, *(model.config.settings.patch for model in self.models)])
        steady = {name for name in names if name.split()[0] not in ONCE}
        self.first = self._rehearse("small", side, steady)
        self.small = self._rehearse("small", side, steady)
        self.large = self._rehearse("large", self._side(side), names)

    def name_of(self, part: Part) -> str | None:
        """The rehearsed stage that stands for a stage of the run; None for those that have none."""
        if part.kind in ("train", "toa") or part.scene is None:
            return None
        model = part.model or (self.models[0] if part.kind == "evaluate" else None)
        stand_in = self.models[0] if model and part.kind in ALIKE else self.stand_in(model)
        return " ".join([part.kind, self.scene.name, *([stand_in.name] if stand_in else [])])

    def stand_in(self, model: TrainedModel | None) -> TrainedModel | None:
        """The rehearsed model that costs what this one does."""
        return None if model is None else next(other for other in self.models if _key(other) == _key(model))

    def _convert(self) -> None:
        """Make the parts, which for a product of digital numbers is the stage ``toa``."""
        sizes, times, written = [], [], []
        for side in (SMALL, SMALL, LARGE):
            began = time.perf_counter()
            part = self._part(f"toa-{side}", side)
            times.append(time.perf_counter() - began)
            sizes.append(float(part.source.grid.height * part.source.grid.width))
            written.append(float(part.source.path.stat().st_size))
        self.toa = Line.through((sizes[1], times[1]), (sizes[2], times[2]))
        self.toa_bytes = Line.through((sizes[1], written[1]), (sizes[2], written[2]))
        self.sample = part
        self.did()

    def _part(self, name: str, side: int) -> RunScene:
        window = window_at(self.scene.source, self.look.centre, side)
        return write_crop(self.plan, self.scene, window, self.folder / name)

    def _model(self, model: TrainedModel) -> Path:
        return self.folder / "models" / f"{model.name}.safetensors"

    def _train(self, untrained: set[str]) -> None:
        """A model of every kind: rehearsed, or the run's own where all of the kind are trained already."""
        done: dict[str, TrainedModel] = {}
        for model in self.models:
            target, known = self._model(model), done.get(_key(model))
            target.parent.mkdir(exist_ok=True)
            if known:
                shutil.copy(self._model(known), target)
                if known.name in self.trained:
                    self.trained[model.name] = self.trained[known.name]
            elif _key(model) not in untrained and self.plan.model(model).is_file():
                shutil.copy(self.plan.model(model), target)
            else:
                self.trained[model.name] = rehearse_training(model, self.sample, self.plan.machine, target)
            done.setdefault(_key(model), model)
            self.did()

    def _rehearse(self, name: str, side: int, names: set[str]) -> Mapping[str, Spent]:
        folder, scene = self.folder / name, self._part(name, side)
        self.grids[name] = scene.source.grid
        plan = small_plan(self.plan, scene, self.models, folder)
        for model in self.models:
            plan.model(model).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._model(model), plan.model(model))
        return rehearse(plan, names, self.did)

    def _side(self, small: int) -> int:
        """The side of the larger part: as large as labelling it allows, and larger than the small one."""
        labelling = [spent for name, spent in self.small.items() if name.startswith("segment ")]
        pixel = sum(spent.seconds / spent.pixels for spent in labelling)
        side = (LABELLING_SECONDS * max(1, len(labelling)) / pixel) ** 0.5 if pixel else LARGE
        return max(small * 3 // 2, MIDDLE, min(LARGE, int(side)))


def _kept(plan: Plan, parts: Sequence[Part]) -> list[TrainedModel]:
    """The models to rehearse: one of each kind, and two where maps are compared."""
    used = {part.model.name for part in parts if part.model}
    compared = any(part.kind in ("consensus", "cross-scene") for part in parts)
    models = [model for model in plan.models if compared or model.name in used] or plan.models[:1]
    kinds: dict[str, TrainedModel] = {}
    for model in models:
        kinds.setdefault(_key(model), model)
    kept = list(kinds.values())
    return kept if len(kept) > 1 or not compared else models[:2]


def _key(model: TrainedModel) -> str:
    """Equal for models whose training and labelling take as long."""
    config = model.config
    return f"{config.method} {config.precision} {config.vote} {config.merge_to} {config.settings.model_dump_json()}"
