"""Names for the models of an archive, given once, so that a class is the same on all scenes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import rsseg
from rsseg.files import check_output, write_text
from rsseg.label.legend import Legend
from rsseg.label.legend_file import to_yaml
from rsseg.label.maps import LabelMap
from rsseg.label.reduction import by_spectra
from rsseg.label.spectra import cluster_spectra, pooled_spectra
from rsseg.learn.model import load_model
from rsseg.pipeline.cache import Node
from rsseg.pipeline.class_names import completed
from rsseg.pipeline.configuration import PipelineConfig
from rsseg.pipeline.plan import Plan, TrainedModel
from rsseg.pipeline.stages.legend_rules import Pair, named_together
from rsseg.pipeline.stages.relabel import relabel
from rsseg.publish.class_colours import coloured
from rsseg.scene.sensors import open_scene

VERSION = 1


def is_named(config: PipelineConfig) -> bool:
    """Whether the pipeline names or merges clusters, which an archive does once instead of on every scene."""
    return config.names != "none" or any(model.merge_to for model in config.models.values())


def unnamed(config: PipelineConfig) -> PipelineConfig:
    """The pipeline for scenes whose models carry their legend: nothing is named or merged on a scene."""
    models = {name: model.model_copy(update={"merge_to": None}) for name, model in config.models.items()}
    return config.model_copy(update={"names": "none", "models": models})


def naming_nodes(plan: Plan, config: PipelineConfig) -> Iterator[Node]:
    """A stage a model: from the maps of the sample's scenes (of ``plan``) to the model with its legend.

    ``config`` says how it is named and merged.
    """
    for model in plan.models:
        target = named_model(plan, model)
        maps = [plan.labels(scene, model) for scene in model.applied_to]
        scenes = [plan.input(scene) for scene in model.applied_to]
        merge_to = config.models[model.entry].merge_to
        described = {"names": config.names, "merge_to": merge_to, "bands": plan.bands, "scale": config.scale}
        run = partial(_name, plan, model, config.names != "none", merge_to)
        inputs = (plan.model(model), *maps, *scenes, *plan.area)
        yield Node(f"legend {model.name}", VERSION, described, inputs, (target,), run)


def named_model(plan: Plan, model: TrainedModel) -> Path:
    """Where the model with its legend lies."""
    return plan.folder / "named" / f"{model.name}.safetensors"


def _name(plan: Plan, model: TrainedModel, by_rules: bool, merge_to: int | None) -> None:
    maps = {scene.name: plan.labels(scene, model) for scene in model.applied_to}
    made = {"labels": f"{model.name} on {', '.join(maps)}", "software": f"rsseg {rsseg.__version__}"}
    legend = None
    if merge_to is not None:
        with _pairs(plan, model, list(maps.values())) as pairs:
            spectra = pooled_spectra([cluster_spectra(*pair, plan.reporter) for pair in pairs])
        legend = coloured(by_spectra(spectra, merge_to, {"by": "spectra", **made}))
        maps = {name: _merged(path, legend) for name, path in maps.items()}
    if by_rules:
        with _pairs(plan, model, list(maps.values())) as pairs:
            names = named_together(pairs, made, plan.reporter)
        legend = names if legend is None else _joined(legend, names)
    assert legend is not None
    loaded = load_model(plan.model(model))
    loaded.legend = to_yaml(coloured(completed(legend, loaded.inference.classes)[0]))
    check_output(named_model(plan, model), overwrite=True)
    loaded.save(named_model(plan, model), overwrite=True)


@contextmanager
def _pairs(plan: Plan, model: TrainedModel, maps: Sequence[Path]) -> Iterator[list[Pair]]:
    """The maps of the sample, open, with their scenes."""
    with ExitStack() as stack:
        yield [
            (
                stack.enter_context(LabelMap(path)),
                open_scene(plan.input(scene), bands=plan.bands, scale=plan.config.scale, aoi=plan.aoi),
            )
            for path, scene in zip(maps, model.applied_to, strict=True)
        ]


def _merged(labels: Path, legend: Legend) -> Path:
    """A map of the sample in merged classes, as a file beside the folder of its clusters."""
    target = labels.parent.parent / "merged" / labels.name
    table = target.with_suffix(".merge.yaml")
    write_text(table, to_yaml(legend), overwrite=True)
    relabel(labels, table, target, overwrite=True)
    return target


def _joined(merged: Legend, names: Legend) -> Legend:
    """The names of merged classes for the clusters that these are made of."""
    clusters = {item.value: item.clusters for item in merged.classes}
    classes = tuple(item.model_copy(update={"clusters": clusters[item.value]}) for item in names.classes)
    met = {item.value for item in classes}
    others = tuple(item for item in merged.classes if item.value not in met)
    return merged.model_copy(update={"made": {**merged.made, **names.made}, "classes": (*classes, *others)})
