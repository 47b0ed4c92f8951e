"""One legend for scenes that each have models of their own: their clusters are matched by mean spectra.

The classes are made once, of all scenes that are there, and kept: an archive that grows keeps its classes, and new
scenes are matched to them. Every file appears whole, and stamps are written last, so that a batch that is stopped goes
on where it was.
"""

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from rsseg.batch.common_centres import (
    MOST,
    UNKNOWN,
    CommonCentres,
    centres_path,
    kept_legend,
    make_centres,
    most_frequent_kind,
)
from rsseg.batch.common_maps import VERSION, MapJob, common_path, is_finished, map_files, map_in_common
from rsseg.batch.map_facts import map_facts
from rsseg.batch.outcome import Outcome
from rsseg.batch.scene_spectra import SceneSpectra, scene_spectra, spectra_path
from rsseg.errors import RssegError, UsageError
from rsseg.files import write_text
from rsseg.label.legend import Legend, LegendClass
from rsseg.label.legend_file import to_yaml
from rsseg.progress import SILENT, Reporter

__all__ = ["CommonLegend", "MapJob", "common_path", "make_common", "map_in_common", "scene_spectra"]

Key = tuple[str, str]
"""A scene's name and a model's."""


@dataclass(frozen=True)
class CommonLegend:
    """What became of the maps of an archive.

    ``legend`` is None where no map could be matched. ``outcomes`` are those that were given, with ``facts["common"]``:
    by model the ``path`` of the map in the output and its figures as of ``map_facts``. ``refused`` says by
    "SCENE/MODEL" why a map has no class of the legend; ``written`` counts the maps that were made or made again.
    """

    legend: Path | None
    outcomes: tuple[Outcome, ...]
    refused: Mapping[str, str] = field(default_factory=dict)
    written: int = 0


Spread = Callable[[Callable[[MapJob], str], Iterable[MapJob]], Iterable[str]]
"""Something that does jobs like ``map``, in any place, and gives the answers in their order."""


def make_common(
    outcomes: Sequence[Outcome],
    output: Path,
    classes: int,
    *,
    anew: bool = False,
    reporter: Reporter = SILENT,
    spread: Spread = map,
) -> CommonLegend:
    """Match the clusters of all maps to one legend and write every map in its classes.

    Nothing is written where nothing changed. Scenes of other units or bands than most are refused by name.

    Args:
        outcomes: of all scenes; those that failed are handed back as they are.
        output: the batch's folder.
        classes: of the legend, 1 to 254, where it is made now.
        anew: make the classes again, of all scenes that are there, whatever was kept.
        reporter: hears of the progress.
        spread: does the jobs, by default one after the other in this process.

    Raises: UsageError if ``classes`` do not fit; InputError if ``OUT/legend.yaml`` cannot be used.
    """
    if not 1 <= classes <= MOST:
        raise UsageError(f"{classes} classes do not fit a common legend; use 1 to {MOST}")
    spectra, refused = _spectra(outcomes, output, reporter)
    centres = _centres(spectra, output, classes, anew, reporter)
    if centres is None:
        return CommonLegend(None, tuple(outcomes), refused)
    names = kept_legend(output, centres)
    fitting = {key: item for key, item in spectra.items() if item.kind == centres.kind}
    refused |= {_title(key): _unlike(item, centres) for key, item in spectra.items() if key not in fitting}
    labels = {(item.name, model): path for item in outcomes for model, path in item.maps.items()}
    left, finished = _jobs(fitting, labels, output, centres, names)
    written, failed = _write(left, finished, reporter, spread)
    owners = {key: centres.owners(item) for key, item in fitting.items() if _title(key) not in failed}
    _forget(outcomes, output, owners)
    classes_by_value = {item.value: item for item in (*names.classes, UNKNOWN)}
    found = tuple(_told(item, output, owners, classes_by_value) for item in outcomes)
    return CommonLegend(output / "legend.yaml", found, refused | failed, written)


def _spectra(
    outcomes: Sequence[Outcome], output: Path, reporter: Reporter
) -> tuple[dict[Key, SceneSpectra], dict[str, str]]:
    """The spectra of all maps, gathered where a worker left none; and why some have none."""
    found: dict[Key, SceneSpectra] = {}
    refused: dict[str, str] = {}
    keys = sorted((item.name, model) for item in outcomes if item.done for model in item.maps)
    with reporter.task("spectra", max(1, len(keys))) as task:
        for name, model in keys:
            run = output / "scenes" / name
            known = SceneSpectra.read(spectra_path(run, name, model))
            try:
                item = known or SceneSpectra.model_validate(scene_spectra(run, name, model))
            except RssegError as problem:
                refused[_title((name, model))] = str(problem)
            else:
                if any(item.counts):
                    found[name, model] = item
                else:
                    refused[_title((name, model))] = "no cluster of it has a valid pixel; there is nothing to compare"
            task.advance()
    return found, refused


def _centres(
    spectra: Mapping[Key, SceneSpectra], output: Path, classes: int, anew: bool, reporter: Reporter
) -> CommonCentres | None:
    """The classes that are kept, or new ones of the scenes that are there; None without a scene."""
    known = CommonCentres.read(output)
    if known is not None and not anew:
        if known.asked != classes:
            reporter.say(
                f"{output / 'legend.yaml'} keeps the {known.asked} classes that it was made with, not {classes}; "
                "--new-legend makes it again"
            )
        return known
    if not spectra:
        return None
    kind = most_frequent_kind([spectra[key] for key in sorted(spectra)])
    chosen: dict[str, list[SceneSpectra]] = {}
    for (name, model), item in sorted(spectra.items(), key=_first):
        if item.kind == kind:
            chosen.setdefault(name, []).append(spectra[name, model])
    made = make_centres(chosen, classes)
    if made != known:
        write_text(centres_path(output), made.text, overwrite=True)
    return made


def _jobs(
    spectra: Mapping[Key, SceneSpectra], labels: Mapping[Key, str], output: Path, centres: CommonCentres, names: Legend
) -> tuple[list[MapJob], int]:
    """The maps that are to be written, and how many are there already."""
    said = to_yaml(names)
    jobs = []
    for name, model in sorted(spectra):
        item = spectra[name, model]
        depends = [VERSION, labels[name, model], centres.identity, said, item.model_dump_json()]
        job = MapJob(output, name, model, labels[name, model], "", sha256(json.dumps(depends).encode()).hexdigest())
        if not is_finished(job):
            jobs.append(replace(job, legend=to_yaml(centres.legend_for(item, names))))
    return jobs, len(spectra) - len(jobs)


def _write(jobs: Sequence[MapJob], finished: int, reporter: Reporter, spread: Spread) -> tuple[int, dict[str, str]]:
    """Write maps; how many were written, and what went wrong with the others."""
    failed: dict[str, str] = {}
    with reporter.task("common legend", max(1, len(jobs) + finished)) as task:
        task.advance(finished)
        for job, problem in zip(jobs, spread(map_in_common, jobs), strict=True):
            failed |= {_title((job.name, job.model)): problem} if problem else {}
            task.advance()
    return len(jobs) - len(failed), failed


def _unlike(item: SceneSpectra, centres: CommonCentres) -> str:
    return (
        f"its scene is {item.units} with the bands {', '.join(item.bands)}, but the common legend is of "
        f"{centres.units} with {', '.join(centres.bands)}; batch such scenes "
        "on their own, or choose --bands and --scale that fit all"
    )


def _told(
    item: Outcome, output: Path, owners: Mapping[Key, Mapping[int, int]], classes: Mapping[int, LegendClass]
) -> Outcome:
    """An outcome with what the summary says of its maps in common classes."""
    found = {}
    for model in sorted(item.maps):
        if (item.name, model) in owners:
            path = common_path(output, item.name, model)
            known = item.facts.get("maps", {}).get(model) or map_facts(output / item.maps[model], None)
            facts = _facts(known, owners[item.name, model], classes)
            found[model] = {"path": path.relative_to(output).as_posix(), **facts}
    others = {key: value for key, value in item.facts.items() if key != "common"}
    return replace(item, facts={**others, **({"common": found} if found else {})})


def _facts(known: Mapping[str, Any], owners: Mapping[int, int], classes: Mapping[int, LegendClass]) -> dict[str, Any]:
    """The figures of a map in common classes, from those of its clusters: no pixel is read."""
    parts: dict[int, list[Mapping[str, Any]]] = {}
    for one in known["classes"]:
        parts.setdefault(owners[one["value"]], []).append(one)
    found = []
    for value, own in sorted(parts.items()):
        hectares = None if own[0]["hectares"] is None else round(sum(one["hectares"] for one in own), 4)
        sums = {"pixels": sum(one["pixels"] for one in own), "hectares": hectares}
        found.append({"value": value, "name": classes[value].name, "colour": classes[value].colour, **sums})
    total = sum(one["pixels"] for one in found)
    largest = max(one["pixels"] for one in found) / total if total else None
    return {**known, "found": len(found), "largest": largest, "classes": found}


def _forget(outcomes: Sequence[Outcome], output: Path, kept: Container[Key]) -> None:
    """Remove maps in common classes that belong to no map any more, or to one that was refused."""
    for item in outcomes:
        folder = common_path(output, item.name, "any").parent
        models = {path.name.removesuffix(end) for end in (".tif", ".legend.yaml") for path in folder.glob(f"*{end}")}
        for model in models:
            if (item.name, model) not in kept:
                for path in map_files(folder / f"{model}.tif"):
                    path.unlink(missing_ok=True)


def _title(key: Key) -> str:
    return "/".join(key)


def _first(pair: tuple[Key, Any]) -> Key:
    return pair[0]
