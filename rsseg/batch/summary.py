"""What a batch leaves behind for its reader: a table of all scenes and maps, the failures, and a page.

None of them holds the time of a run or the order in which scenes were done: equal outcomes give the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rsseg.batch.map_facts import map_facts
from rsseg.batch.outcome import Outcome
from rsseg.batch.summary_page import summary_page
from rsseg.errors import UsageError
from rsseg.files import replacing, write_text
from rsseg.label.legend import writable
from rsseg.publish.stac import timestamp
from rsseg.publish.tables import records_csv

__all__ = ["SummaryFiles", "map_facts", "write"]

PARQUET, PAGE, FAILURES = "summary.parquet", "summary.html", "failures.csv"

_FAILURE = ("scene", "place", "kind", "cause", "what to do")

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        *((name, _TEXT) for name in ("scene", "place", "state", "kind", "cause", "remedy", "sensor", "satellite")),
        ("time", pa.timestamp("ms", tz="UTC")),
        *((name, _TEXT) for name in ("path", "row")),
        *((name, _WHOLE) for name in ("height", "width")),
        *((name, _TEXT) for name in ("crs", "units", "bands", "model", "labels", "common")),
        ("labelled", _REAL),
        ("classes", _WHOLE),
        ("largest", _REAL),
        ("confidence", _REAL),
    ]
)
"""Columns of the table. ``labels`` and ``common`` are paths in the output; shares are 0 to 1."""


@dataclass(frozen=True)
class SummaryFiles:
    """What was written."""

    parquet: Path
    page: Path
    failures: Path


def write(outcomes: Sequence[Outcome], output: Path, about: Mapping[str, str], *, shared: bool = True) -> SummaryFiles:
    """Write ``summary.parquet``, ``failures.csv`` and ``summary.html`` to the output folder.

    Args:
        outcomes: of all scenes, in any order.
        output: the batch's folder.
        about: what the page says of the batch at its top, by what it is: "Pipeline", "Training", "Archive".
        shared: whether a class of a model is the same on all scenes; False where each scene has its own models. Maps
            of a common legend (``facts["common"]``) share their classes anyway.
    """
    ordered = sorted(outcomes, key=lambda item: (item.name, item.place))
    files = SummaryFiles(output / PARQUET, output / PAGE, output / FAILURES)
    rows = [row for item in ordered for row in _rows(item)]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    with replacing(files.parquet, overwrite=True) as part:
        pq.write_table(table, part, compression="zstd")
    write_text(files.failures, failures_csv(ordered), overwrite=True)
    write_text(files.page, summary_page(ordered, output, about, shared), overwrite=True)
    return files


def failures_csv(outcomes: Sequence[Outcome]) -> str:
    """The scenes that failed and what to do, one a line; the header alone where none did."""
    records = [
        dict(zip(_FAILURE, map(writable, (item.name, item.place, item.kind, item.cause, item.remedy)), strict=True))
        for item in outcomes
        if not item.done
    ]
    return records_csv(records) if records else ",".join(_FAILURE) + "\n"


def _rows(item: Outcome) -> Iterator[dict[str, Any]]:
    """A row for each map of a scene; one without a model where there is none."""
    if not item.maps:
        yield _of_scene(item)
    for model in sorted(item.maps):
        yield {**_of_scene(item), **_of_map(item, model)}


def _of_scene(item: Outcome) -> dict[str, Any]:
    facts = item.facts
    bands = facts.get("bands")
    failure = {"kind": item.kind, "cause": item.cause, "remedy": item.remedy}
    return {
        "scene": writable(item.name),
        "place": writable(item.place),
        "state": item.state,
        **{key: writable(text) or None for key, text in failure.items()},
        **{key: _text(facts.get(key)) for key in ("sensor", "satellite", "path", "row", "crs", "units")},
        **{key: _whole(facts.get(key)) for key in ("height", "width")},
        "time": _time(facts.get("time")),
        "bands": _text(", ".join(map(str, bands)) if isinstance(bands, list | tuple) else bands),
    }


def _of_map(item: Outcome, model: str) -> dict[str, Any]:
    found = item.facts.get("maps", {}).get(model, {})
    common = item.facts.get("common", {}).get(model, {})
    return {
        "model": writable(model),
        "labels": writable(item.maps[model]),
        "common": _text(common.get("path")),
        "labelled": found.get("labelled"),
        "classes": found.get("found"),
        "largest": found.get("largest"),
        "confidence": found.get("confidence"),
    }


def _text(value: object) -> str | None:
    return None if value is None or value == "" else writable(str(value))


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _time(value: object) -> datetime | None:
    """When a scene was taken; None where it says it in no way that can be read."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(timestamp(str(value)).replace("Z", "+00:00"))
    except (UsageError, ValueError):
        return None
    return found.astimezone(UTC)
