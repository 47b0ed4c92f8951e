"""What a batch writes when its scenes have ended: legend, summary, catalogue, mosaic, provenance."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rsseg.batch import catalogue, mosaic, summary
from rsseg.batch.common_centres import CommonCentres
from rsseg.batch.common_legend import CommonLegend, Spread, make_common
from rsseg.batch.display import Display
from rsseg.batch.outcome import Outcome
from rsseg.batch.prepared import Prepared
from rsseg.batch.request import Request
from rsseg.batch.schedule import Timing
from rsseg.errors import RssegError
from rsseg.files import write_text
from rsseg.pipeline.provenance import software
from rsseg.progress import Reporter
from rsseg.publish.run_files import read_json

PROVENANCE = "batch.json"


@dataclass(frozen=True)
class Ending:
    """What was written of all scenes, by kind; and why a map (``SCENE/MODEL``) has no class of the common legend."""

    files: Mapping[str, str] = field(default_factory=dict)
    unmatched: Mapping[str, str] = field(default_factory=dict)


def finish(
    request: Request,
    prepared: Prepared,
    outcomes: Sequence[Outcome],
    display: Display,
    reporter: Reporter,
    spread: Spread = map,
    complete: bool = True,
) -> Ending:
    """Write what is of all scenes.

    ``spread`` does jobs on many scenes. A common legend is only made of ``complete`` scenes, since its classes stay.
    Raises: RssegError where the common legend cannot be used, when all else is written.
    """
    output, files, unmatched, problem = request.output, dict[str, str](), dict[str, str](), None
    if request.each and (complete or CommonCentres.read(output)):
        try:
            common = _in_common(request, prepared, outcomes, reporter, spread, complete)
            outcomes, unmatched = common.outcomes, dict(common.refused)
        except RssegError as found:
            problem = found
    elif request.each:
        display.say("the common legend is made when every scene has ended; run the same command again")
    if (output / "legend.yaml").is_file():
        files["legend"] = str(output / "legend.yaml")
    if request.mosaic:
        files |= _mosaics(request, outcomes, display)
    written = summary.write(outcomes, output, _about(request, prepared), shared=not request.each)
    files |= {"summary": str(written.page), "table": str(written.parquet), "failures": str(written.failures)}
    files["catalogue"] = str(catalogue.write(outcomes, output))
    if problem:
        raise problem
    return Ending(files, unmatched)


def _in_common(
    request: Request,
    prepared: Prepared,
    outcomes: Sequence[Outcome],
    reporter: Reporter,
    spread: Spread,
    complete: bool,
) -> CommonLegend:
    """Every map in the classes of the legend that all share."""
    classes = max(model.merge_to or model.settings.classes for model in prepared.config.models.values())
    anew = request.new_legend and complete
    # workers elsewhere have another current folder
    output = request.output.absolute()
    return make_common(outcomes, output, classes, anew=anew, reporter=reporter, spread=spread)


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
    earlier = read_json(target).get("scenes")
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
        "scenes": {
            **(earlier if isinstance(earlier, dict) else {}),
            **{name: vars(timing) for name, timing in timings.items()},
        },
    }
    write_text(target, json.dumps(content, indent=1, default=str) + "\n", overwrite=True)
