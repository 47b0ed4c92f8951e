"""The nodes of a run that compare and score maps, and the tables that are made of them."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rsseg.label.reference import open_reference
from rsseg.pipeline.cache import Node
from rsseg.pipeline.plan import VOTE, Plan, RunScene, TrainedModel
from rsseg.pipeline.stage_nodes import stage_node
from rsseg.pipeline.stages import consensus as consensus_stage
from rsseg.pipeline.stages import cross_scene as cross_scene_stage
from rsseg.pipeline.stages import evaluate as evaluate_stage
from rsseg.pipeline.stages import segment as segment_stage
from rsseg.pipeline.stages import sweep as sweep_stage
from rsseg.publish.labels import sidecars


def consensus_nodes(plan: Plan, scene: RunScene, models: Sequence[TrainedModel]) -> Iterator[Node]:
    """How far the models' maps of a scene agree, where there are several."""
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
    yield stage_node(f"consensus {scene.name}", config, inputs, outputs, run, partial(_check_reference, plan, scene))


def maps_to_score(plan: Plan, scene: RunScene, models: Sequence[TrainedModel]) -> Iterator[tuple[str, Path]]:
    """The models' maps of a scene by name and, where more than two are compared, their vote."""
    yield from ((model.name, plan.labels(scene, model)) for model in models)
    if plan.config.consensus and len(models) > 2:
        yield VOTE, plan.folder / scene.name / "consensus" / consensus_stage.VOTE


def evaluation_nodes(plan: Plan, scene: RunScene, name: str, labels: Path) -> Iterator[Node]:
    """A map against the scene's reference, where there is one."""
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
    yield stage_node(title, config, inputs, outputs, run, partial(_check_reference, plan, scene))


def cross_scene_nodes(plan: Plan) -> Iterator[Node]:
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
    trained = [model for model in plan.models if model.file is None]
    foreign = [scene for model in trained for scene in model.applied_to if scene not in model.trained_on]
    if not foreign or not any(cell.evaluation or cell.own for cell in cells):
        return
    models, scenes = [model.name for model in plan.models], [scene.name for scene in plan.scenes]
    target = plan.folder / "cross_scene.csv"
    run = partial(cross_scene_stage.cross_scene, cells, models, scenes, target, reporter=plan.reporter)
    inputs = [path for cell in cells for path in (cell.labels, cell.evaluation) if path]
    config = {"models": models, "scenes": scenes}
    yield stage_node("cross-scene", config, inputs, [target, target.with_suffix(".png")], run)


def sweep_nodes(plan: Plan) -> Iterator[Node]:
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
    yield stage_node("sweep", dict(varied), inputs, [target], run)


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
