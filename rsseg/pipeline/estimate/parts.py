"""Which stage of which scene and model a node of the run is, and how large its work is."""

from dataclasses import dataclass

import torch

from rsseg.label.blending import default_stride
from rsseg.learn.devices import room
from rsseg.learn.methods import MethodSettings
from rsseg.learn.samples import MAX_PATCHES
from rsseg.pipeline.cache import Node
from rsseg.pipeline.estimate.training_speed import TrainingSize
from rsseg.pipeline.fitting import takes_stride
from rsseg.pipeline.plan import VOTE, Plan, RunScene, TrainedModel
from rsseg.scene.grid import Grid, PatchGrid


@dataclass(frozen=True)
class Part:
    """A stage (``toa``, ``train``, ...), of a scene and a model where it is of one."""

    kind: str
    scene: RunScene | None = None
    model: TrainedModel | None = None


def part_of(node: Node, plan: Plan) -> Part:
    """What a node of the run is, by its name."""
    kind = node.name.split()[0]
    for model in plan.models:
        if node.name == f"{kind} {model.name}" and kind == "train":
            return Part(kind, None, model)
    for scene in plan.scenes:
        if node.name in (f"{kind} {scene.name}", f"{kind} {scene.name} {VOTE}"):
            return Part(kind, scene)
        for model in plan.models:
            if node.name == f"{kind} {scene.name} {model.name}":
                return Part(kind, scene, model)
    return Part(kind)


def labelled_patches(grid: Grid, model: TrainedModel, plan: Plan) -> int:
    """Patches or tiles that labelling a scene looks at."""
    settings = model.config.settings
    chosen = plan.config.segment.stride if takes_stride(settings) else None
    stride = chosen or (default_stride(settings.patch) if settings.dense else settings.stride)
    return len(PatchGrid.of(grid.shape, settings.patch, stride))


def training_size(model: TrainedModel, valid: dict[str, float], memory: int) -> TrainingSize:
    """What a model is trained on; ``valid``: the share of valid pixels by scene; half of ``memory`` is for pixels."""
    grids = [scene.source.grid for scene in model.trained_on]
    counts = [trained_patches(grid, model.config.settings) for grid in grids]
    patches = sum(n * valid[scene.name] for n, scene in zip(counts, model.trained_on, strict=True))
    pixels = sum(grid.height * grid.width for grid in grids)
    return TrainingSize(pixels, min(MAX_PATCHES, round(patches)), room(memory, torch.device("cpu")))


def trained_patches(grid: Grid, settings: MethodSettings) -> int:
    """Patches of a scene that training would take if all were valid."""
    return len(PatchGrid.of(grid.shape, settings.patch, settings.stride))
