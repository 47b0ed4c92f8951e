"""What a batch writes when its scenes have ended: legend, summary, catalogue, mosaic, provenance."""

import json
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

import rsseg
from rsseg.batch.display import Display
from rsseg.batch.outcome import Outcome
from rsseg.batch.prepared import Prepared
from rsseg.batch.request import Request
from rsseg.batch.schedule import Timing
from rsseg.files import write_text
from rsseg.progress import Reporter

PROVENANCE = "batch.json"


def finish(
    request: Request, prepared: Prepared, outcomes: Sequence[Outcome], display: Display, reporter: Reporter
) -> dict[str, str]:
    """Write what is of all scenes; returns what to look at, by kind."""
    return {}


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
        "software": {"rsseg": rsseg.__version__, "python": platform.python_version()},
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
