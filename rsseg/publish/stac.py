"""A run as a static STAC catalogue: an item for each scene, each model, and each map.

https://github.com/radiantearth/stac-spec, version 1.1.0. Written as plain JSON; nothing of it needs a server.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rsseg.errors import UsageError
from rsseg.files import file_word

VERSION = "1.1.0"
CATALOG = "catalog.json"

EXTENSIONS = {
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "mlm": "https://stac-extensions.github.io/mlm/v1.5.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.0.0/schema.json",
}
"""Prefix of a field -> the extension that defines it."""

EPOCH = "1970-01-01T00:00:00Z"
"""Where the interval begins of a scene that does not say when it was taken."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")


@dataclass(frozen=True)
class Entry:
    """What is particular to an item.

    ``folder`` is where its file will lie, ``outline`` its geometry and box, ``properties`` all but the title,
    ``links`` name other entries as pairs of relation and id.
    """

    id: str
    title: str
    folder: Path
    outline: tuple[dict[str, Any], list[float]] | None
    properties: Mapping[str, Any]
    assets: Mapping[str, Mapping[str, Any]]
    links: Sequence[tuple[str, str]] = ()


def timestamp(text: str) -> str:
    """A time as STAC wants it (RFC 3339); without a zone it is UTC.

    Raises: UsageError if it is none.
    """
    found = _TIME.fullmatch(text.strip())
    try:
        datetime.fromisoformat(text.strip()[:19])
    except ValueError:
        found = None
    if found is None:
        raise UsageError(f"{text!r} is no time like 2018-10-02T02:28:28Z")
    return found.group().upper() + ("" if found.group(2) else "Z")


def times(said: object, otherwise: str | None, finished: object) -> dict[str, Any]:
    """The properties of time: when a scene was taken; unknown, it was some time before the run was finished.

    Args:
        said: what the scene says, if it is a time.
        otherwise: the time of scenes that say none.
        finished: when the run was.
    """
    taken = _time_of(said) or otherwise
    if taken:
        return {"datetime": taken}
    return {"datetime": None, "start_datetime": EPOCH, "end_datetime": _time_of(finished) or EPOCH}


def _time_of(said: object) -> str | None:
    try:
        return timestamp(str(said))
    except UsageError:
        return None


def item(entry: Entry, files: Mapping[str, str], above: str | None = None) -> dict[str, Any]:
    """An item's content.

    Args:
        entry: what is particular to it.
        files: each entry's file by its id, relative to the catalogue.
        above: the address, from the catalogue's folder, of the catalogue that this one is a child of.
    """
    outline, properties = entry.outline, {"title": entry.title, **entry.properties}
    content: dict[str, Any] = {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": _extensions(properties, entry.assets),
        "id": entry.id,
        "geometry": outline[0] if outline else None,
        **({"bbox": outline[1]} if outline else {}),
        "properties": properties,
        "links": [
            {"rel": "root", "href": f"../{above or CATALOG}", "type": "application/json"},
            {"rel": "parent", "href": f"../{CATALOG}", "type": "application/json"},
            *({"rel": rel, "href": f"../{files[id]}", "type": "application/geo+json"} for rel, id in entry.links),
        ],
        "assets": dict(entry.assets),
    }
    return content


def catalog(
    id: str,
    title: str,
    description: str,
    entries: Sequence[Entry],
    files: Mapping[str, str],
    above: str | None = None,
) -> dict[str, Any]:
    """The catalogue's content; ``files`` and ``above`` as of ``item``."""
    items = [
        {"rel": "item", "href": f"./{files[entry.id]}", "type": "application/geo+json", "title": entry.title}
        for entry in entries
    ]
    return {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": id,
        "title": title,
        "description": description,
        "links": [
            {"rel": "root", "href": above or f"./{CATALOG}", "type": "application/json"},
            *([{"rel": "parent", "href": above, "type": "application/json"}] if above else []),
            *items,
        ],
    }


def file_names(ids: Iterable[str]) -> dict[str, str]:
    """A file for each id: a folder and a file of its name, without marks that a file system or an address minds."""
    found: dict[str, str] = {}
    for name in ids:
        word = file_word(name).strip("-.") or "item"
        taken = {path.split("/")[0].casefold() for path in found.values()}
        numbers = (word if n == 1 else f"{word}-{n}" for n in range(1, len(found) + 2))
        free = next(text for text in numbers if text.casefold() not in taken)
        found[name] = f"{free}/{free}.json"
    return found


def unique(wanted: Iterable[str]) -> list[str]:
    """The texts, with a number behind those that occurred before."""
    found: list[str] = []
    for text in wanted:
        choices = (text if n == 1 else f"{text}-{n}" for n in range(1, len(found) + 2))
        found.append(next(choice for choice in choices if choice not in found))
    return found


def stac_json(content: Mapping[str, Any]) -> str:
    """The content as JSON in ASCII, so that no text can break a reader."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _extensions(properties: Mapping[str, Any], assets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The extensions whose fields occur."""
    bands = [band for asset in assets.values() for band in asset.get("bands", ())]
    used = {key.split(":")[0] for fields in (properties, *assets.values(), *bands) for key in fields if ":" in key}
    return [address for prefix, address in EXTENSIONS.items() if prefix in used]
