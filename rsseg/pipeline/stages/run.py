"""``rsseg run``: a pipeline over scenes, stage by stage, skipping what is finished."""

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rsseg.errors import UsageError
from rsseg.files import is_scratch, sweep, write_text
from rsseg.learn.distributed import refuse_several
from rsseg.pipeline.cache import FOLDER, Cache, Node, statuses
from rsseg.pipeline.configuration import PipelineConfig, load_pipeline
from rsseg.pipeline.estimate import Estimate, estimate
from rsseg.pipeline.nodes import nodes_of
from rsseg.pipeline.plan import Machine, Plan, make_plan
from rsseg.pipeline.provenance import configuration_of, inputs_of, models_of, software
from rsseg.progress import SILENT, Reporter


@dataclass
class RunResult:
    """What a run did: its stages with whether they ran or were finished, and the files to look at.

    ``estimate``: what it would take, where a dry run was asked for that.
    """

    folder: str
    stages: list[dict[str, Any]] = field(default_factory=list)
    outputs: dict[str, list[str]] = field(default_factory=dict)
    scores: list[dict[str, Any]] = field(default_factory=list)
    estimate: Estimate | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "estimate"}
        return {**plain, "estimate": self.estimate.as_dict()} if self.estimate else plain


def run(
    pipeline: str,
    scenes: Sequence[Path],
    output: Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    references: Sequence[Path] = (),
    reference_field: str | None = None,
    aoi: Path | None = None,
    names: Sequence[str] | None = None,
    models: Mapping[str, Path] | None = None,
    machine: Machine | None = None,
    dry_run: bool = False,
    measure: bool = False,
    spent: float = 0.0,
    begin: Callable[[], None] = lambda: None,
    reporter: Reporter = SILENT,
) -> RunResult:
    """Run a pipeline file, or one of rsseg's own by name, over scenes into the folder ``output``.

    ``aoi`` is a file of polygons, the part of every scene that is used; for ``names`` and ``models``, see
    ``plan.make_plan``. The same command goes on where an earlier one stopped. With ``dry_run`` nothing is written; the
    result says which stages would run, and with ``measure`` too, how long they would take on this machine
    (``estimate``), where ``spent`` are the seconds that it took to come here.
    ``begin`` is called when all is checked, before the folder is written to.
    Raises: any RssegError, of the first stage that fails.
    """
    refuse_several("rsseg run")
    check_folder(output)
    config = load_pipeline(pipeline, overrides)
    plan = make_plan(
        config,
        scenes,
        output,
        references=references,
        reference_field=reference_field,
        aoi=aoi,
        names=names,
        models=models,
        machine=machine,
        reporter=reporter,
    )
    nodes, cache = nodes_of(plan), Cache(output)
    result = RunResult(str(output))
    if dry_run:
        return _planned(plan, statuses(cache, nodes), result, measure, spent)
    check_nodes(cache, nodes)
    begin()
    sweep(output)
    write_configuration(config, output / "run.yaml")
    result.stages = run_nodes(cache, nodes, reporter)
    result.outputs, result.scores = _outputs(nodes), _scores(nodes, output)
    _write_provenance(plan, result, pipeline, nodes, cache)
    return result


def _planned(
    plan: Plan, listed: Sequence[tuple[Node, bool]], result: RunResult, measure: bool, spent: float
) -> RunResult:
    """Which stages would run, and what they would take where that is asked for."""
    result.stages = [{"stage": node.name, "state": "finished" if done else "to run"} for node, done in listed]
    if measure:
        result.estimate = estimate(plan, [node for node, done in listed if not done], plan.reporter, spent=spent)
    if result.estimate:
        for row in result.stages:
            row["seconds"] = result.estimate.stages.get(row["stage"], 0.0)
    return result


def check_folder(output: Path) -> None:
    """Refuse an output that is a file, or a folder of something else than a run.

    Raises: UsageError.
    """
    if output.is_file():
        raise UsageError(f"{output} is a file where a folder should be; choose another output")
    if (
        output.is_dir()
        and not all(is_scratch(path) for path in output.iterdir())
        and not (output / FOLDER).is_dir()
        and not (output / "run.yaml").is_file()
    ):
        raise UsageError(f"{output} holds other files and is no run of rsseg; choose an empty or a new folder")


def check_nodes(cache: Cache, nodes: Sequence[Node]) -> None:
    """What the stages that are to run want checked first. Raises: any RssegError."""
    for node, done in statuses(cache, nodes):
        if node.check and not done:
            node.check()


def run_nodes(cache: Cache, nodes: Sequence[Node], reporter: Reporter) -> list[dict[str, Any]]:
    """Run stages in order, those that are finished excepted; a row for each: its name, ``state`` and seconds."""
    return [_run_node(cache, node, f"[{number}/{len(nodes)}]", reporter) for number, node in enumerate(nodes, start=1)]


def resolved(config: PipelineConfig) -> dict[str, Any]:
    """A configuration as plain values, with every default in it."""
    content = config.model_dump(mode="json")
    content["models"] = {
        name: {**m.model_dump(mode="json"), **m.settings.model_dump(mode="json")} for name, m in config.models.items()
    }
    return content


def write_configuration(config: PipelineConfig, target: Path) -> None:
    """Write a configuration as a pipeline file, with every default in it."""
    write_text(target, yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True), overwrite=True)


def _run_node(cache: Cache, node: Node, place: str, reporter: Reporter) -> dict[str, Any]:
    if cache.finished(node):
        reporter.say(f"{place} {node.name}: finished before")
        return {"stage": node.name, "state": "finished", "seconds": 0.0}
    reporter.say(f"{place} {node.name}")
    began, key = time.perf_counter(), cache.key(node)
    node.run()
    cache.record(node, key)
    return {"stage": node.name, "state": "ran", "seconds": round(time.perf_counter() - began, 2)}


def _outputs(nodes: Sequence[Node]) -> dict[str, list[str]]:
    """The main file of each stage, by kind of stage, and the maps to look at as ``labels``."""
    kinds: dict[str, list[str]] = {}
    for node in nodes:
        kind = node.name.split()[0]
        kinds.setdefault(kind, []).append(str(node.outputs[0]))
        if kind in ("segment", "refine", "merge", "name") and node.outputs[0].parent.name == "labels":
            kinds.setdefault("labels", []).append(str(node.outputs[0]))
    return kinds


def _scores(nodes: Sequence[Node], folder: Path) -> list[dict[str, Any]]:
    """Accuracy and mean IoU of each evaluated map, from the files the evaluation wrote."""
    rows = []
    for node in nodes:
        if not node.name.startswith("evaluate "):
            continue
        content = json.loads(node.outputs[0].read_text(encoding="utf-8"))
        scene, _, model, _ = node.outputs[0].relative_to(folder).parts
        row: dict[str, Any] = {"scene": scene, "model": model, "nmi": content["nmi"]}
        for name, scored in content["assignments"].items():
            row[name] = {"accuracy": scored["overall_accuracy"], "mean_iou": scored["mean_iou"]}
        rows.append(row)
    return rows


def _earlier_seconds(folder: Path) -> dict[str, float]:
    """What each stage took when it last ran, from the run's own provenance."""
    try:
        stages = json.loads((folder / "run.json").read_text(encoding="utf-8"))["stages"]
        return {row["stage"]: float(row["seconds"]) for row in stages}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_provenance(plan: Plan, result: RunResult, pipeline: str, nodes: Sequence[Node], cache: Cache) -> None:
    """``run.json``: versions, inputs and times. It is the one file of a run that differs between equal runs."""
    earlier = _earlier_seconds(plan.folder)
    stages = [{**row, "seconds": row["seconds"] or earlier.get(row["stage"], 0.0)} for row in result.stages]
    content = {
        "pipeline": pipeline,
        "started_in": str(Path.cwd()),  # from here the paths below are seen
        "configuration": configuration_of(plan.folder),
        "software": software(),
        "machine": {**vars(plan.machine), "platform": platform.platform()},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "scenes": [
            {
                "name": scene.name,
                "path": str(scene.source.path),
                "aoi": str(plan.aoi) if plan.aoi else None,
                "reference": str(scene.reference) if scene.reference else None,
                "field": scene.field,
                "units": scene.source.units,
                "tags": dict(scene.source.full_tags),
            }
            for scene in plan.scenes
        ],
        "inputs": inputs_of(plan, nodes, cache),
        "models": models_of(plan, cache),
        "stages": stages,
        "scores": result.scores,
    }
    cache.keep()
    write_text(plan.folder / "run.json", json.dumps(content, indent=1, default=str) + "\n", overwrite=True)
