"""Choosing scenes of an archive by what they say of themselves: ``--where KEY=VALUE[,VALUE]``."""

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rsseg.batch.names import Job
from rsseg.errors import RssegError, RssegWarning, UsageError
from rsseg.progress import Reporter
from rsseg.scene.sensors import open_scene, read_tags

KEYS = ("sensor", "date", "bounds", "path", "row")

ROMAN = {"ii": "2", "iii": "3", "iv": "4"}

READERS = 8
"""Scenes whose headers are read at once: most of it is waiting for files."""


@dataclass(frozen=True)
class Condition:
    """One ``KEY=VALUE``: what it asks, and whether a scene's facts meet it."""

    text: str
    met: Callable[[Mapping[str, Any]], bool]


def conditions(words: Sequence[str]) -> list[Condition]:
    """Read ``KEY=VALUE`` texts; all of them are to be met, and of one's values separated by commas any.

    sensor=LISS4, date=2018-10 or date=2018-01-01/2018-12-31 (open at either end), bounds=WEST,SOUTH,EAST,NORTH in
    degrees (touched), path=143, row=76 or row=70/80.
    Raises: UsageError.
    """
    return [Condition(word, _condition(word)) for word in words]


def chosen(jobs: Sequence[Job], wanted: Sequence[Condition], reporter: Reporter) -> list[Job]:
    """The jobs whose scenes meet all conditions, and those that cannot be read, since nobody knows what they are."""
    if not wanted:
        return list(jobs)
    with reporter.task("reading headers", len(jobs)) as task, ThreadPoolExecutor(READERS) as pool:
        kept = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RssegWarning)
            outlined = any(condition.text.partition("=")[0].strip() == "bounds" for condition in wanted)
            read = partial(_facts, outlined=outlined)
            for job, facts in zip(jobs, pool.map(read, [job.path for job in jobs]), strict=True):
                task.advance()
                if facts is None or all(condition.met(facts) for condition in wanted):
                    kept.append(job)
    return kept


def _facts(path: Path, outlined: bool) -> dict[str, Any] | None:
    """What a scene's tags say; its bounds only where they are asked for, since these need its bands' files."""
    from rsseg.publish.stac_footprint import footprint

    try:
        if not outlined:
            return dict(read_tags(path))
        scene = open_scene(path)
        outline = footprint(scene.grid)
    except (RssegError, OSError):
        return None
    return {**scene.full_tags, "bounds": outline[1] if outline else None}


def _condition(word: str) -> Callable[[Mapping[str, Any]], bool]:
    key, equals, value = (part.strip() for part in word.partition("="))
    if not equals or not value or key not in KEYS:
        raise UsageError(f"--where {word}: write KEY=VALUE with KEY one of {', '.join(KEYS)}, such as sensor=LISS4")
    if key == "bounds":
        box = _box(word, value)
        return lambda facts: facts["bounds"] is not None and _touch(box, facts["bounds"])
    values = [part.strip() for part in value.split(",") if part.strip()]
    if key == "sensor":
        names = [_plain(part) for part in values]
        return lambda facts: any(
            name in (_plain(facts.get("sensor", "")), _plain(facts.get("satellite", ""))) for name in names
        )
    if key == "date":
        spans = [_span(word, part) for part in values]
        return lambda facts: any(
            first <= str(facts.get("time", ""))[: len(first)] and str(facts.get("time", "~"))[: len(last)] <= last
            for first, last in spans
        )
    ranges = [_range(word, part) for part in values]
    return lambda facts: any(
        _number(facts.get(key)) is not None and first <= (_number(facts.get(key)) or 0) <= last
        for first, last in ranges
    )


def _plain(text: str) -> str:
    """A sensor's name without case, marks and Roman numbers: LISS-IV, liss4 and L4 MX are told apart from others."""
    words = re.split(r"[\s_-]+", text.casefold())
    return "".join(ROMAN.get(word, word) for word in words)


def _span(word: str, text: str) -> tuple[str, str]:
    """First and last day, as far as they are written; a year or a month is its own span."""
    first, slash, last = text.partition("/")
    if any(part not in ("", "..") and not re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", part) for part in (first, last)):
        raise UsageError(f"--where {word}: a date is written 2018, 2018-10, 2018-10-02 or FIRST/LAST")
    first, last = (("" if part == ".." else part) for part in (first, last if slash else first))
    return first, last or "9"


def _range(word: str, text: str) -> tuple[int, int]:
    first, slash, last = text.partition("/")
    try:
        return int(first), int(last if slash else first)
    except ValueError:
        raise UsageError(f"--where {word}: write a number or FIRST/LAST") from None


def _number(text: Any) -> int | None:
    return int(text) if str(text).strip().isdecimal() else None


def _box(word: str, text: str) -> tuple[float, float, float, float]:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--where {word}: bounds are WEST,SOUTH,EAST,NORTH in degrees") from None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south < north <= 90):
        raise UsageError(f"--where {word}: bounds are WEST,SOUTH,EAST,NORTH in degrees, south below north")
    return west, south, east, north


def _touch(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes (west, south, east, north) meet; a west above the east crosses the 180th meridian."""
    if a[1] > b[3] or b[1] > a[3]:
        return False
    return any(w <= y and x <= e for w, e in _lons(a) for x, y in _lons(b))


def _lons(box: Sequence[float]) -> list[tuple[float, float]]:
    west, east = box[0], box[2]
    return [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
