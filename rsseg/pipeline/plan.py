"""From a pipeline and its scenes to the list of stages to run, each with what it reads and writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rsseg.errors import InputError, UsageError
from rsseg.learn.training import TrainingSettings
from rsseg.pipeline.cache import Node
from rsseg.pipeline.configuration import ModelConfig, PipelineConfig
from rsseg.pipeline.inputs import open_scenes
from rsseg.pipeline.stages import consensus as consensus_stage
from rsseg.pipeline.stages import evaluate as evaluate_stage
from rsseg.pipeline.stages import segment as segment_stage
from rsseg.pipeline.stages import toa as toa_stage
from rsseg.pipeline.stages import train as train_stage
from rsseg.progress import SILENT, Reporter
from rsseg.publish.quicklook import picture_labels, picture_scene
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

VERSIONS = {"toa": 1, "picture": 1, "train": 1, "segment": 1, "consensus": 1, "evaluate": 1}
"""Raise a stage's number when its outputs change for equal inputs: what older versions cached is then redone."""


@dataclass(frozen=True)
class Machine:
    """What the machine may choose: it changes how long a run takes, never what it gives."""

    device: str = "auto"
    threads: int | None = None
    batch: int | None = None
    memory: int = 4 << 30


@dataclass(frozen=True)
class RunScene:
    """A scene of a run: its name in the run's folder, where it lies, and its reference if it has one."""

    name: str
    source: Scene
    reference: Path | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A model that the run trains: its file name, its configuration, and the scenes it learns from and labels."""

    name: str
    config: ModelConfig
    trained_on: tuple[RunScene, ...]
    applied_to: tuple[RunScene, ...]


@dataclass
class Plan:
    """The stages in the order in which they can run."""

    config: PipelineConfig
    scenes: list[RunScene]
    models: list[TrainedModel]
    folder: Path
    machine: Machine
    reference_field: str | None
    reporter: Reporter = SILENT
    nodes: list[Node] = field(default_factory=list)

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands by name, for a converted product no longer has those that were left out."""
        return self.scenes[0].source.band_names


def make_plan(
    config: PipelineConfig,
    scenes: Sequence[Path],
    folder: Path,
    *,
    references: Sequence[Path] = (),
    reference_field: str | None = None,
    machine: Machine | None = None,
    reporter: Reporter = SILENT,
) -> Plan:
    """List every stage of a run; nothing is computed, but all scenes are opened and checked.

    ``references``: none, one for all scenes, or one a scene in their order.
    """
    if len(references) not in (0, 1, len(scenes)):
        raise UsageError(f"{len(references)} references for {len(scenes)} scenes; give one, or one a scene in order")
    for path in references:
        if not path.exists():
            raise InputError(f"the reference {path} does not exist")
    open_scenes(scenes, config.bands, config.scale)
    named = _named([open_scene(path, bands=config.bands, scale=config.scale) for path in scenes], references)
    models = [model for name, chosen in config.models.items() for model in _trained_models(name, chosen, named)]
    plan = Plan(config, named, models, folder, machine or Machine(), reference_field, reporter)
    for scene in named:
        _add_toa(plan, scene)
    for model in models:
        _add_train(plan, model)
    for scene in named:
        for model in models:
            if scene in model.applied_to:
                _add_segment(plan, scene, model)
        _add_comparison(plan, scene, [model for model in models if scene in model.applied_to])
    return plan


def _named(scenes: Sequence[Scene], references: Sequence[Path]) -> list[RunScene]:
    """Scenes under names that are unique in the run."""
    named: list[RunScene] = []
    for index, scene in enumerate(scenes):
        taken = {other.name for other in named}
        title = _title(scene.path)
        name = next(n for i in range(1, len(scenes) + 1) if (n := title + (f"-{i}" if i > 1 else "")) not in taken)
        reference = references[index if len(references) > 1 else 0] if references else None
        named.append(RunScene(name, scene, reference))
    return named


def _title(path: Path) -> str:
    """What the user calls a scene: its folder or file, without the ending; of a metadata file, its folder."""
    place = path.resolve()
    if place.suffix.lower() in (".txt", ".json", ".xml"):
        place = place.parent
    return place.name if place.is_dir() else place.stem


def _trained_models(name: str, config: ModelConfig, scenes: Sequence[RunScene]) -> list[TrainedModel]:
    """The models that one entry of the pipeline stands for."""
    groups: dict[str, tuple[RunScene, ...]]
    if config.train_on == "together" or (config.train_on == "each" and len(scenes) == 1):
        groups = {name: tuple(scenes)}
    elif config.train_on == "each":
        groups = {f"{name}_on_{scene.name}": (scene,) for scene in scenes}
    else:
        groups = {name: tuple(_scene_called(word, scenes) for word in config.train_on)}
    own = config.apply_to == "own"
    return [TrainedModel(title, config, group, group if own else tuple(scenes)) for title, group in groups.items()]


def _scene_called(name: str, scenes: Sequence[RunScene]) -> RunScene:
    for scene in scenes:
        if scene.name == name:
            return scene
    raise UsageError(f"train_on names the scene {name!r}; this run has {', '.join(s.name for s in scenes)}")


def _input(plan: Plan, scene: RunScene) -> Path:
    """What later stages read: the reflectance made from a product, or the raster itself."""
    made = plan.folder / scene.name / "toa.tif"
    return made if scene.source.origin == "level-1" else scene.source.path


def model_path(plan: Plan, model: TrainedModel) -> Path:
    """Where a model of the run lies."""
    return plan.folder / "models" / f"{model.name}.safetensors"


def labels_path(plan: Plan, scene: RunScene, model: TrainedModel) -> Path:
    """Where a label map of the run lies."""
    return plan.folder / scene.name / "labels" / f"{model.name}.tif"


def _add_toa(plan: Plan, scene: RunScene) -> None:
    if scene.source.origin == "level-1":
        target, chosen = _input(plan, scene), plan.config.toa
        calibration = Calibration(radiance_from=chosen.radiance_from, solar=chosen.solar)
        run = partial(
            toa_stage.toa,
            scene.source.path,
            target,
            bands=plan.config.bands,
            calibration=calibration,
            dtype=chosen.dtype,
            overwrite=True,
            reporter=plan.reporter,
        )
        config = {**chosen.model_dump(), "bands": plan.config.bands}
        _add(plan, f"toa {scene.name}", config, [scene.source.path], [target], run)
    if plan.config.pictures:
        picture = plan.folder / scene.name / "pictures" / "scene.png"
        config = {"bands": plan.bands, "scale": plan.config.scale}
        run_picture = partial(_picture_scene, _input(plan, scene), plan, picture)
        _add(plan, f"picture {scene.name}", config, [_input(plan, scene)], [picture], run_picture)


def _picture_scene(source: Path, plan: Plan, target: Path) -> None:
    picture_scene(open_scene(source, bands=plan.bands, scale=plan.config.scale), target, overwrite=True)


def _add_train(plan: Plan, model: TrainedModel) -> None:
    chosen, config = model.config, plan.config
    training = TrainingSettings(chosen.seed, chosen.restarts, chosen.patience, chosen.tolerance, chosen.precision)
    target = model_path(plan, model)
    inputs = [_input(plan, scene) for scene in model.trained_on]
    run = partial(
        train_stage.train,
        inputs,
        target,
        chosen.settings,
        training=training,
        bands=plan.bands,
        scale=config.scale,
        device=plan.machine.device,
        threads=plan.machine.threads,
        memory=plan.machine.memory,
        resume=True,
        strict=False,
        overwrite=True,
        reporter=plan.reporter,
    )
    described = {
        "method": chosen.method,
        "settings": chosen.settings.model_dump(mode="json"),
        "training": vars(training),
        "bands": plan.bands,
        "scale": config.scale,
    }
    _add(plan, f"train {model.name}", described, inputs, [target], run, chosen.settings.check)


def _add_segment(plan: Plan, scene: RunScene, model: TrainedModel) -> None:
    chosen, target = plan.config.segment, labels_path(plan, scene, model)
    confidence = plan.folder / scene.name / "confidence" / f"{model.name}.tif" if chosen.confidence else None
    inputs = [_input(plan, scene), model_path(plan, model)]
    stride = chosen.stride if model.config.settings.patch > 1 else None
    run = partial(
        segment_stage.segment,
        inputs[0],
        inputs[1],
        target,
        confidence=confidence,
        stride=stride,
        resolution=chosen.resolution,
        bands=plan.bands,
        scale=plan.config.scale,
        precision=model.config.precision,
        batch=plan.machine.batch,
        device=plan.machine.device,
        threads=plan.machine.threads,
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {**chosen.model_dump(), "bands": plan.bands, "scale": plan.config.scale}
    outputs = [target] + ([confidence] if confidence else [])
    _add(plan, f"segment {scene.name} {model.name}", config, inputs, outputs, run)
    if plan.config.pictures:
        picture = plan.folder / scene.name / "pictures" / f"{model.name}.png"
        run_picture = partial(picture_labels, target, picture, overwrite=True)
        _add(plan, f"picture {scene.name} {model.name}", {}, [target], [picture], run_picture)


def _add_comparison(plan: Plan, scene: RunScene, models: Sequence[TrainedModel]) -> None:
    maps = [labels_path(plan, scene, model) for model in models]
    reference = scene.reference
    references = [reference] if reference else []
    config = {"names": [model.name for model in models], "field": plan.reference_field}
    if plan.config.consensus and len(maps) > 1:
        folder = plan.folder / scene.name / "consensus"
        run: Callable[[], Any] = partial(
            consensus_stage.consensus,
            maps,
            folder,
            reference=reference,
            field=plan.reference_field,
            names=config["names"],
            overwrite=True,
            reporter=plan.reporter,
        )
        outputs = [folder / consensus_stage.TABLE]
        _add(plan, f"consensus {scene.name}", config, [*maps, *references], outputs, run)
    for model, labels in zip(models, maps, strict=True):
        if reference is None:
            continue
        folder = plan.folder / scene.name / "evaluation" / model.name
        run = partial(
            evaluate_stage.evaluate,
            labels,
            reference=reference,
            field=plan.reference_field,
            output=folder,
            overwrite=True,
        )
        title = f"evaluate {scene.name} {model.name}"
        outputs = [folder / evaluate_stage.TABLE]
        _add(plan, title, {"field": plan.reference_field}, [labels, *references], outputs, run)


def _add(
    plan: Plan,
    name: str,
    config: dict[str, Any],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    run: Callable[[], Any],
    check: Callable[[], None] | None = None,
) -> None:
    version = VERSIONS[name.split()[0]]
    plan.nodes.append(Node(name, version, config, tuple(inputs), tuple(outputs), run, check))
