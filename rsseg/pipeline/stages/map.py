"""The stage ``map``: the default recipe on a scene, with what the scene decides chosen and explained."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rsseg.errors import RssegWarning
from rsseg.files import write_text
from rsseg.learn.distributed import refuse_several
from rsseg.learn.methods.context import ContextSettings
from rsseg.pipeline import choice
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.cache import Cache, Node
from rsseg.pipeline.choice import Choice, Effort
from rsseg.pipeline.configuration import PipelineConfig, load_pipeline
from rsseg.pipeline.levels import scene_channels, scene_levels
from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.run import RunResult, check_folder, run
from rsseg.progress import SILENT, Reporter
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

RECIPE, MODEL = "default", "map"
"""The pipeline that is run, and its model."""

VERSION = 1
"""Raise it when equal scenes get other choices."""

CHOICES = "choices.json"


@dataclass(frozen=True)
class MapResult:
    """What was chosen, in order of the choices, and what the run did."""

    choices: Mapping[str, Choice]
    run: RunResult

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.run.as_dict(), "choices": {name: found.as_dict() for name, found in self.choices.items()}}


def map_scene(
    scene: Path,
    output: Path,
    *,
    classes: int | None = None,
    effort: Effort = "normal",
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    seed: int = 0,
    references: Sequence[Path] = (),
    reference_field: str | None = None,
    aoi: Path | None = None,
    machine: Machine | None = None,
    dry_run: bool = False,
    measure: bool = False,
    spent: float = 0.0,
    reporter: Reporter = SILENT,
) -> MapResult:
    """Map a scene, or its part inside the polygons ``aoi``, into the run folder ``output`` with the default recipe.

    What depends on the scene is chosen from its pixels, never from a reference or the machine, and written to
    ``choices.json`` with the reasons. The same command goes on where an earlier one stopped; with ``dry_run`` nothing
    is written, and with ``measure`` too, the result says what the run would take (see ``run``). Raises: any RssegError.
    """
    began = time.perf_counter()
    refuse_several("rsseg map")
    check_folder(output)
    choice.check_effort(effort)
    given = {"bands": bands, "scale": scale, "seed": seed}
    config = load_pipeline(RECIPE, given)
    with _warnings_later():
        opened = open_scene(scene, bands=bands, scale=scale, aoi=aoi)
        available = open_scene(scene, scale=scale).band_names
    machine = machine or Machine()
    facts = {"classes": classes, "effort": effort, "recipe": config.model_dump(mode="json"), "limits": choice.LIMITS}
    memory = _Memory(output, [scene, *aoi_files(aoi)], facts)
    choices = memory.choices or _choose(opened, available, config, classes, effort, machine, reporter)
    for found in choices.values() if not dry_run else ():  # there they are the answer
        reporter.say(str(found))
    result = run(
        RECIPE,
        [scene],
        output,
        overrides={**given, "models": {MODEL: choice.settings_of(list(choices.values()))}},
        references=references,
        reference_field=reference_field,
        aoi=aoi,
        machine=machine,
        dry_run=dry_run,
        measure=measure,
        spent=spent + time.perf_counter() - began,
        begin=partial(memory.keep, choices),
        reporter=reporter,
    )
    return MapResult(choices, result)


def _choose(
    scene: Scene,
    available: Sequence[str],
    config: PipelineConfig,
    classes: int | None,
    effort: Effort,
    machine: Machine,
    reporter: Reporter,
) -> dict[str, Choice]:
    model = config.models[MODEL]
    found = {
        "tile": choice.choose_tile(scene.grid.height, scene.grid.width),
        "effort": choice.choose_effort(effort, model.settings),
    }
    recipe = {**(model.model_extra or {}), **found["tile"].settings}
    if classes is not None:
        found["classes"] = choice.given_classes(classes)
    else:
        settings = ContextSettings(**{**recipe, "classes": choice.MOST})
        levels = scene_levels(scene, settings, seed=model.seed, threads=machine.threads, reporter=reporter)
        found["classes"] = choice.choose_classes(levels)
    settings = ContextSettings(**{**recipe, **found["classes"].settings})
    words = scene_channels(scene, settings, seed=model.seed)
    found["channels"] = choice.explain_channels(words, scene.band_names, available, settings.few_classes)
    return found


class _Memory:
    """The choices of an earlier run, good for as long as scene, options and recipe are the same."""

    def __init__(self, output: Path, inputs: Sequence[Path], facts: dict[str, Any]) -> None:
        self.target, self.cache = output / CHOICES, Cache(output)
        self.node = Node("choose", VERSION, facts, tuple(inputs), (self.target,), lambda: None)
        self.key = self.cache.key(self.node)

    @property
    def choices(self) -> dict[str, Choice] | None:
        """What was chosen before, if it still holds."""
        if not self.cache.finished(self.node):
            return None
        content = json.loads(self.target.read_text(encoding="utf-8"))
        return {name: Choice(**found) for name, found in content.items()}

    def keep(self, choices: Mapping[str, Choice]) -> None:
        """Write the choices with their reasons."""
        content = {name: found.as_dict() for name, found in choices.items()}
        write_text(self.target, json.dumps(content, indent=1) + "\n", overwrite=True)
        self.cache.record(self.node, self.key)


@contextmanager
def _warnings_later() -> Iterator[None]:
    """The run opens the scene again and warns then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RssegWarning)
        yield
