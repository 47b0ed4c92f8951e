"""From a plan to its stages in the order in which they can run, each with what it reads and writes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rsseg.label.reference import open_reference
from rsseg.label.refine_settings import RefineSettings
from rsseg.learn.training import TrainingSettings
from rsseg.pipeline.cache import Node
from rsseg.pipeline.plan import VOTE, Plan, RunScene, TrainedModel, takes_stride
from rsseg.pipeline.stages import consensus as consensus_stage
from rsseg.pipeline.stages import cross_scene as cross_scene_stage
from rsseg.pipeline.stages import evaluate as evaluate_stage
from rsseg.pipeline.stages import legend as legend_stage
from rsseg.pipeline.stages import refine as refine_stage
from rsseg.pipeline.stages import relabel as relabel_stage
from rsseg.pipeline.stages import segment as segment_stage
from rsseg.pipeline.stages import sweep as sweep_stage
from rsseg.pipeline.stages import toa as toa_stage
from rsseg.pipeline.stages import train as train_stage
from rsseg.publish.labels import sidecars
from rsseg.publish.quicklook import picture_labels, picture_scene
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene

VERSIONS = {
    "toa": 1,
    "picture": 1,
    "train": 1,
    "segment": 2,
    "refine": 1,
    "merge": 1,
    "name": 1,
    "consensus": 3,
    "evaluate": 3,
    "sweep": 1,
    "cross-scene": 1,
}
"""Raise a stage's number when its outputs change for equal inputs: what older versions cached is then redone."""


def nodes_of(plan: Plan) -> list[Node]:
    """Every stage of a run."""
    nodes = [node for scene in plan.scenes for node in _toa_nodes(plan, scene)]
    nodes += [node for model in plan.models for node in _train_nodes(plan, model)]
    for scene in plan.scenes:
        models = [model for model in plan.models if scene in model.applied_to]
        for model in models:
            nodes += _segment_nodes(plan, scene, model)
        nodes += _consensus_nodes(plan, scene, models)
        for name, labels in _maps_to_score(plan, scene, models):
            nodes += _evaluation_nodes(plan, scene, name, labels)
    return [*nodes, *_cross_scene_nodes(plan), *_sweep_nodes(plan)]


def _toa_nodes(plan: Plan, scene: RunScene) -> Iterator[Node]:
    if scene.source.origin == "level-1":
        target, chosen = plan.input(scene), plan.config.toa
        calibration = Calibration(radiance_from=chosen.radiance_from, solar=chosen.solar)
        run = partial(
            toa_stage.toa,
            scene.source.path,
            target,
            bands=plan.config.bands,
            calibration=calibration,
            dtype=chosen.dtype,
            aoi=plan.aoi,
            overwrite=True,
            reporter=plan.reporter,
        )
        config = {**chosen.model_dump(), "bands": plan.config.bands}
        yield _node(f"toa {scene.name}", config, [scene.source.path, *plan.area], [target], run)
    if plan.config.pictures:
        picture = plan.folder / scene.name / "pictures" / "scene.png"
        config = {"bands": plan.bands, "scale": plan.config.scale}
        run_picture = partial(_picture_scene, plan.input(scene), plan, picture)
        yield _node(f"picture {scene.name}", config, _read(plan, scene), [picture], run_picture)


def _read(plan: Plan, scene: RunScene) -> list[Path]:
    """The files that a stage reads a scene from."""
    return [plan.input(scene), *plan.area]


def _picture_scene(source: Path, plan: Plan, target: Path) -> None:
    picture_scene(open_scene(source, bands=plan.bands, scale=plan.config.scale, aoi=plan.aoi), target, overwrite=True)


def _train_nodes(plan: Plan, model: TrainedModel) -> Iterator[Node]:
    chosen, config = model.config, plan.config
    training = TrainingSettings(
        seed=chosen.seed,
        restarts=chosen.restarts,
        vote=chosen.vote,
        patience=chosen.patience,
        tolerance=chosen.tolerance,
        precision=chosen.precision,
    )
    target = plan.model(model)
    inputs = [plan.input(scene) for scene in model.trained_on]
    run = partial(
        train_stage.train,
        inputs,
        target,
        chosen.settings,
        training=training,
        bands=plan.bands,
        scale=config.scale,
        aoi=plan.aoi,
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
    files = [*inputs, *plan.area, *chosen.settings.named_files()]
    yield _node(f"train {model.name}", described, files, [target], run, chosen.settings.check)


def _segment_nodes(plan: Plan, scene: RunScene, model: TrainedModel) -> Iterator[Node]:
    chosen, target = plan.config.segment, plan.labelled(scene, model)
    confidence = plan.folder / scene.name / "confidence" / f"{model.name}.tif" if chosen.confidence else None
    inputs = [plan.input(scene), plan.model(model)]
    stride = chosen.stride if takes_stride(model.config.settings) else None
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
        aoi=plan.aoi,
        precision=model.config.precision,
        batch=plan.machine.batch,
        device=plan.machine.device,
        threads=plan.machine.threads,
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {**chosen.model_dump(exclude={"refine"}), "bands": plan.bands, "scale": plan.config.scale}
    outputs = [target, *sidecars(target), *([confidence] if confidence else [])]
    yield _node(f"segment {scene.name} {model.name}", config, [*inputs, *plan.area], outputs, run)
    if chosen.refine:
        yield _refine_node(plan, scene, model, chosen.refine)
    if model.config.merge_to is not None:
        yield _merge_node(plan, scene, model, model.config.merge_to)
    if plan.config.names != "none":
        yield _name_node(plan, scene, model)
    if plan.config.pictures:
        labels, picture = plan.labels(scene, model), plan.folder / scene.name / "pictures" / f"{model.name}.png"
        run_picture = partial(picture_labels, labels, picture, overwrite=True)
        yield _node(f"picture {scene.name} {model.name}", {}, [labels], [picture], run_picture)


def _refine_node(plan: Plan, scene: RunScene, model: TrainedModel, settings: RefineSettings) -> Node:
    """From the map as labelled to one that follows the scene's edges."""
    labels, target = plan.labelled(scene, model), plan.clusters(scene, model)
    run = partial(
        refine_stage.refine,
        labels,
        plan.input(scene),
        target,
        settings,
        bands=plan.bands,
        scale=plan.config.scale,
        aoi=plan.aoi,
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {**settings.model_dump(), "bands": plan.bands, "scale": plan.config.scale}
    inputs, outputs = [labels, *_read(plan, scene)], [target, *sidecars(target)]
    return _node(f"refine {scene.name} {model.name}", config, inputs, outputs, run)


def _merge_node(plan: Plan, scene: RunScene, model: TrainedModel, classes: int) -> Node:
    """From the map of many clusters to one of few classes."""
    clusters, target = plan.clusters(scene, model), plan.merged(scene, model)
    run = partial(
        relabel_stage.merge,
        clusters,
        plan.input(scene),
        target,
        classes,
        bands=plan.bands,
        scale=plan.config.scale,
        aoi=plan.aoi,
        overwrite=True,
        reporter=plan.reporter,
    )
    outputs = [target, *sidecars(target), relabel_stage.legend_path(target)]
    config = {"classes": classes, "bands": plan.bands, "scale": plan.config.scale}
    return _node(f"merge {scene.name} {model.name}", config, [clusters, *_read(plan, scene)], outputs, run)


def _name_node(plan: Plan, scene: RunScene, model: TrainedModel) -> Node:
    """From the map of clusters to the same map with names and colours by their spectra."""
    clusters, target = plan.merged(scene, model), plan.labels(scene, model)
    run = partial(_name, clusters, plan.input(scene), target, plan)
    outputs = [target, *sidecars(target), relabel_stage.legend_path(target)]
    config = {"names": plan.config.names, "bands": plan.bands, "scale": plan.config.scale}
    return _node(f"name {scene.name} {model.name}", config, [clusters, *_read(plan, scene)], outputs, run)


def _name(clusters: Path, scene: Path, target: Path, plan: Plan) -> None:
    legend, config = relabel_stage.legend_path(target), plan.config
    given: dict[str, Any] = {"bands": plan.bands, "scale": config.scale, "aoi": plan.aoi}
    legend_stage.name_clusters(clusters, scene, legend, **given, overwrite=True, reporter=plan.reporter)
    relabel_stage.relabel(clusters, legend, target, overwrite=True, reporter=plan.reporter)


def _consensus_nodes(plan: Plan, scene: RunScene, models: Sequence[TrainedModel]) -> Iterator[Node]:
    if not plan.config.consensus or len(models) < 2:
        return
    maps, names = [plan.labels(scene, model) for model in models], [model.name for model in models]
    folder = plan.folder / scene.name / "consensus"
    run = partial(
        consensus_stage.consensus,
        maps,
        folder,
        reference=scene.reference,
        field=scene.field,
        resample=plan.resample,
        names=names,
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {"names": names, "field": scene.field}
    inputs = [*maps, *([scene.reference] if scene.reference else [])]
    outputs = [folder / consensus_stage.TABLE]
    if len(models) > 2:
        outputs += [folder / consensus_stage.VOTE, *sidecars(folder / consensus_stage.VOTE)]
    yield _node(f"consensus {scene.name}", config, inputs, outputs, run, partial(_check_reference, plan, scene))


def _maps_to_score(plan: Plan, scene: RunScene, models: Sequence[TrainedModel]) -> Iterator[tuple[str, Path]]:
    """The models' maps of a scene by name and, where more than two are compared, their vote."""
    yield from ((model.name, plan.labels(scene, model)) for model in models)
    if plan.config.consensus and len(models) > 2:
        yield VOTE, plan.folder / scene.name / "consensus" / consensus_stage.VOTE


def _evaluation_nodes(plan: Plan, scene: RunScene, name: str, labels: Path) -> Iterator[Node]:
    if scene.reference is None:
        return
    folder = _evaluation(plan, scene, name)
    run = partial(
        evaluate_stage.evaluate,
        labels,
        reference=scene.reference,
        field=scene.field,
        resample=plan.resample,
        output=folder,
        overwrite=True,
        **plan.config.evaluate.model_dump(),
    )
    config = {"field": scene.field, **plan.config.evaluate.model_dump()}
    title = f"evaluate {scene.name} {name}"
    inputs, outputs = [labels, scene.reference], [folder / evaluate_stage.TABLE]
    yield _node(title, config, inputs, outputs, run, partial(_check_reference, plan, scene))


def _cross_scene_nodes(plan: Plan) -> Iterator[Node]:
    """One table of the models on scenes that they were not trained on."""
    cells = [
        cross_scene_stage.CrossScene(
            model.name,
            scene.name,
            plan.labels(scene, model),
            _evaluation(plan, scene, model.name) / evaluate_stage.TABLE if scene.reference else None,
            plan.labels(scene, own) if (own := plan.own_model(scene, model)) else None,
        )
        for model in plan.models
        for scene in model.applied_to
    ]
    foreign = [scene for model in plan.models for scene in model.applied_to if scene not in model.trained_on]
    if not foreign or not any(cell.evaluation or cell.own for cell in cells):
        return
    models, scenes = [model.name for model in plan.models], [scene.name for scene in plan.scenes]
    target = plan.folder / "cross_scene.csv"
    run = partial(cross_scene_stage.cross_scene, cells, models, scenes, target, reporter=plan.reporter)
    inputs = [path for cell in cells for path in (cell.labels, cell.evaluation) if path]
    config = {"models": models, "scenes": scenes}
    yield _node("cross-scene", config, inputs, [target, target.with_suffix(".png")], run)


def _sweep_nodes(plan: Plan) -> Iterator[Node]:
    """One table of all that a sweep varied."""
    varied = {
        model.name: {**plan.config.varied[model.entry], "trained_on": " ".join(s.name for s in model.trained_on)}
        for model in plan.models
        if model.entry in plan.config.varied
    }
    if not varied:
        return
    models = {model.name: plan.model(model) for model in plan.models if model.name in varied}
    evaluations = [
        (scene.name, model.name, _evaluation(plan, scene, model.name) / evaluate_stage.TABLE)
        for scene in plan.scenes
        for model in plan.models
        if scene.reference and scene in model.applied_to and model.name in models
    ]
    target = plan.folder / "sweep.csv"
    run = partial(sweep_stage.sweep_table, varied, models, evaluations, target)
    inputs = [*models.values(), *(path for _, _, path in evaluations)]
    yield _node("sweep", dict(varied), inputs, [target], run)


def _evaluation(plan: Plan, scene: RunScene, name: str) -> Path:
    """The folder of a map's evaluation."""
    return plan.folder / scene.name / "evaluation" / name


def _check_reference(plan: Plan, scene: RunScene) -> None:
    """Lay the reference on the grid that the maps will have, so that a wrong one is refused before training."""
    if scene.reference is not None:
        grid, chosen = scene.source.grid, plan.config.segment
        if chosen.resolution == "patch" and chosen.stride:
            grid = segment_stage.map_grid(scene.source, grid.window, chosen.stride)
        with open_reference(scene.reference, grid, scene.source.path, scene.field, plan.resample):
            pass


def _node(
    name: str,
    config: dict[str, Any],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    run: Callable[[], Any],
    check: Callable[[], None] | None = None,
) -> Node:
    return Node(name, VERSIONS[name.split()[0]], config, tuple(inputs), tuple(outputs), run, check)
