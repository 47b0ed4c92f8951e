"""From a plan to its stages in the order in which they can run, each with what it reads and writes."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rsseg.label.legend_file import legend_path
from rsseg.label.refine_settings import RefineSettings
from rsseg.learn.training import TrainingSettings
from rsseg.pipeline.cache import Node
from rsseg.pipeline.fitting import takes_stride
from rsseg.pipeline.plan import Plan, RunScene, TrainedModel
from rsseg.pipeline.score_nodes import (
    consensus_nodes,
    cross_scene_nodes,
    evaluation_nodes,
    maps_to_score,
    sweep_nodes,
)
from rsseg.pipeline.stage_nodes import stage_node
from rsseg.pipeline.stages import legend as legend_stage
from rsseg.pipeline.stages import refine as refine_stage
from rsseg.pipeline.stages import relabel as relabel_stage
from rsseg.pipeline.stages import segment as segment_stage
from rsseg.pipeline.stages import toa as toa_stage
from rsseg.pipeline.stages import train as train_stage
from rsseg.publish.labels import sidecars
from rsseg.publish.quicklook import picture_labels, picture_scene
from rsseg.scene.radiometry import Calibration
from rsseg.scene.sensors import open_scene


def nodes_of(plan: Plan) -> list[Node]:
    """Every stage of a run."""
    nodes = [node for scene in plan.scenes for node in _toa_nodes(plan, scene)]
    nodes += [node for model in plan.models for node in _train_nodes(plan, model)]
    for scene in plan.scenes:
        models = [model for model in plan.models if scene in model.applied_to]
        for model in models:
            nodes += _segment_nodes(plan, scene, model)
        nodes += consensus_nodes(plan, scene, models)
        for name, labels in maps_to_score(plan, scene, models):
            nodes += evaluation_nodes(plan, scene, name, labels)
    return [*nodes, *cross_scene_nodes(plan), *sweep_nodes(plan)]


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
        yield stage_node(f"toa {scene.name}", config, [*plan.sources(scene), *plan.area], [target], run)
    if plan.config.pictures:
        picture = plan.folder / scene.name / "pictures" / "scene.png"
        config = {"bands": plan.bands, "scale": plan.config.scale}
        run_picture = partial(_picture_scene, plan.input(scene), plan, picture)
        yield stage_node(f"picture {scene.name}", config, _read(plan, scene), [picture], run_picture)


def _read(plan: Plan, scene: RunScene) -> list[Path]:
    """The files that a stage reads a scene from."""
    return [plan.input(scene), *plan.area]


def _reading(plan: Plan) -> dict[str, Any]:
    """How a stage after the conversion opens a scene."""
    return {"bands": plan.bands, "scale": plan.config.scale, "aoi": plan.aoi}


def _picture_scene(source: Path, plan: Plan, target: Path) -> None:
    picture_scene(open_scene(source, **_reading(plan)), target, overwrite=True)


def _train_nodes(plan: Plan, model: TrainedModel) -> Iterator[Node]:
    if model.file:
        return
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
        **_reading(plan),
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
        "training": training.described(),
        "bands": plan.bands,
        "scale": config.scale,
    }
    files = [*inputs, *plan.area, *chosen.settings.named_files()]
    yield stage_node(f"train {model.name}", described, files, [target], run, chosen.settings.check)


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
        **_reading(plan),
        precision=model.config.precision,
        batch=plan.machine.batch,
        device=plan.machine.device,
        threads=plan.machine.threads,
        memory=plan.machine.memory,
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {**chosen.model_dump(exclude={"refine"}), "bands": plan.bands, "scale": plan.config.scale}
    outputs = [target, *sidecars(target), *([confidence] if confidence else [])]
    yield stage_node(f"segment {scene.name} {model.name}", config, [*inputs, *plan.area], outputs, run)
    if chosen.refine:
        yield _refine_node(plan, scene, model, chosen.refine)
    if model.config.merge_to is not None:
        yield _merge_node(plan, scene, model, model.config.merge_to)
    if plan.config.names != "none":
        yield _name_node(plan, scene, model)
    if plan.config.pictures:
        labels, picture = plan.labels(scene, model), plan.folder / scene.name / "pictures" / f"{model.name}.png"
        run_picture = partial(picture_labels, labels, picture, overwrite=True)
        yield stage_node(f"picture {scene.name} {model.name}", {}, [labels], [picture], run_picture)


def _refine_node(plan: Plan, scene: RunScene, model: TrainedModel, settings: RefineSettings) -> Node:
    """From the map as labelled to one that follows the scene's edges."""
    labels, target = plan.labelled(scene, model), plan.clusters(scene, model)
    run = partial(
        refine_stage.refine,
        labels,
        plan.input(scene),
        target,
        settings,
        **_reading(plan),
        overwrite=True,
        reporter=plan.reporter,
    )
    config = {**settings.model_dump(), "bands": plan.bands, "scale": plan.config.scale}
    inputs, outputs = [labels, *_read(plan, scene)], [target, *sidecars(target)]
    return stage_node(f"refine {scene.name} {model.name}", config, inputs, outputs, run)


def _merge_node(plan: Plan, scene: RunScene, model: TrainedModel, classes: int) -> Node:
    """From the map of many clusters to one of few classes."""
    clusters, target = plan.clusters(scene, model), plan.merged(scene, model)
    run = partial(
        relabel_stage.merge,
        clusters,
        plan.input(scene),
        target,
        classes,
        **_reading(plan),
        overwrite=True,
        reporter=plan.reporter,
    )
    outputs = [target, *sidecars(target), legend_path(target)]
    config = {"classes": classes, "bands": plan.bands, "scale": plan.config.scale}
    return stage_node(f"merge {scene.name} {model.name}", config, [clusters, *_read(plan, scene)], outputs, run)


def _name_node(plan: Plan, scene: RunScene, model: TrainedModel) -> Node:
    """From the map of clusters to the same map with names and colours by their spectra."""
    clusters, target = plan.merged(scene, model), plan.labels(scene, model)
    run = partial(_name, clusters, plan.input(scene), target, plan)
    outputs = [target, *sidecars(target), legend_path(target)]
    config = {"names": plan.config.names, "bands": plan.bands, "scale": plan.config.scale}
    return stage_node(f"name {scene.name} {model.name}", config, [clusters, *_read(plan, scene)], outputs, run)


def _name(clusters: Path, scene: Path, target: Path, plan: Plan) -> None:
    legend = legend_path(target)
    legend_stage.name_clusters(clusters, scene, legend, **_reading(plan), overwrite=True, reporter=plan.reporter)
    relabel_stage.relabel(clusters, legend, target, overwrite=True, reporter=plan.reporter)
