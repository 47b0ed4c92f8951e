"""What a batch writes when its scenes have ended: legend, summary, catalogue, mosaic, provenance."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rsseg.batch import catalogue, mosaic, summary
from rsseg.batch.common_legend import Spread, make_common
from rsseg.batch.display import Display
from rsseg.batch.outcome import Outcome
from rsseg.batch.prepared import Prepared
from rsseg.batch.request import Request
from rsseg.batch.schedule import Timing
from rsseg.errors import RssegError
from rsseg.files import write_text
from rsseg.pipeline.provenance import software
from rsseg.progress import Reporter

PROVENANCE = "batch.json"


def finish(
    request: Request,
    prepared: Prepared,
    outcomes: Sequence[Outcome],
    display: Display,
    reporter: Reporter,
    spread: Spread = map,
) -> dict[str, str]:
    """Write what is of all scenes; returns what to look at, by kind. ``spread`` does jobs on many scenes.

    Raises: RssegError where the common legend cannot be used, when all else is written.
    """
    output, files, problem = request.output, dict[str, str](), None
    if request.each and any(outcome.done for outcome in outcomes):
        try:
            outcomes = _in_common(request, prepared, outcomes, display, reporter, spread)
        except RssegError as found:
            problem = found
        files["legend"] = str(output / "legend.yaml")
    if request.mosaic:
        files |= _mosaics(request, outcomes, display)
    written = summary.write(outcomes, output, _about(request, prepared), shared=not request.each)
    files |= {"summary": str(written.page), "table": str(written.parquet), "failures": str(written.failures)}
    files["catalogue"] = str(catalogue.write(outcomes, output))
    if problem:
        raise problem
    return files


def _in_common(
    request: Request,
    prepared: Prepared,
    outcomes: Sequence[Outcome],
    display: Display,
    reporter: Reporter,
    spread: Spread,
) -> Sequence[Outcome]:
    """Every map in the classes of the legend that all share."""
    classes = max(model.merge_to or model.settings.classes for model in prepared.config.models.values())
    common = make_common(outcomes, request.output, classes, anew=request.new_legend, reporter=reporter, spread=spread)
    for name, why in sorted(common.refused.items()):
        display.say(f"{name} has no map in common classes: {why}")
    return common.outcomes


def _mosaics(request: Request, outcomes: Sequence[Outcome], display: Display) -> dict[str, str]:
    """All maps of a model as one raster."""
    mosaics = mosaic.write(outcomes, request.output, "common" if request.each else "labels")
    for told in mosaics.sentences:
        display.say(told)
    return {f"mosaic {path.stem}": str(path) for path in mosaics.files}


def _about(request: Request, prepared: Prepared) -> dict[str, str]:
    """What the summary's page says at its top."""
    if request.models:
        training = "models given"
    elif request.each:
        training = "a model a scene, matched to one legend"
    else:
        training = f"once, on a sample of {min(request.sample, len(prepared.jobs))} scenes"
    where = {"Scenes": " and ".join(request.where)} if request.where else {}
    return {"Pipeline": request.pipeline, "Archive": str(request.archive), **where, "Training": training}


def save_provenance(
    request: Request, prepared: Prepared, result: Mapping[str, Any], timings: Mapping[str, Timing]
) -> None:
    """``batch.json``: versions, choices and times. It is the one file of a batch that differs between equal ones."""
    target = request.output / PROVENANCE
    earlier = _earlier(target)
    content = {
        "pipeline": request.pipeline,
        "archive": str(request.archive.absolute()),
        "where": list(request.where),
        "train": "given" if request.models else request.train,
        "models": {name: str(path) for name, path in prepared.work.models.items()},
        "key": prepared.work.key,
        "software": software(),
        "platform": platform.platform(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{key: result[key] for key in ("done", "failed", "before", "left")},
        "scenes": {**earlier, **{name: vars(timing) for name, timing in timings.items()}},
    }
    write_text(target, json.dumps(content, indent=1, default=str) + "\n", overwrite=True)


def _earlier(target: Any) -> dict[str, Any]:
    """What scenes took in earlier parts of the batch."""
    try:
        scenes = json.loads(target.read_text(encoding="utf-8"))["scenes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return scenes if isinstance(scenes, dict) else {}
