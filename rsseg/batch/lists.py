"""Lists of scenes: CSV tables and static STAC catalogues."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rsseg.errors import InputError, UsageError

PATH_COLUMNS = ("path", "scene", "product", "file")
"""Columns of a CSV list that may hold the scenes' places."""


def of_csv(path: Path) -> list[str]:
    """The places that a table names, relative to it or absolute, in its order.

    Raises: InputError if it cannot be read or has no column of places.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except (OSError, UnicodeError, csv.Error) as problem:
        raise InputError(f"cannot read the list {path}: {problem}; save it as CSV in UTF-8") from problem
    column = next((name for name in columns if name and name.strip().lower() in PATH_COLUMNS), None)
    if column is None:
        raise InputError(f"the list {path} has no column 'path'; its first line names {', '.join(map(str, columns))}")
    return [row[column].strip() for row in rows if (row[column] or "").strip()]


def of_stac(path: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The local assets of a static STAC catalogue's items, one an item, as paths relative to ``path``'s folder.

    Of an item's assets the first with the role ``data`` is taken, or else the first whose suffix is one of
    ``suffixes``. Links to children and items are followed where they are local files, each once.
    Raises: InputError, UsageError if it is no STAC.
    """
    seen: set[Path] = set()
    waiting = [path.resolve()]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        content = _json(here)
        for item in content.get("features") or [content]:
            asset = _asset(item, suffixes) if isinstance(item, dict) and item.get("type") == "Feature" else None
            if asset:
                yield os.path.relpath(here.parent / asset, path.resolve().parent)
        links = [link for link in content.get("links", []) if isinstance(link, dict)]
        if content.get("type") in ("Catalog", "Collection"):
            wanted = [
                link["href"] for link in links if link.get("rel") in ("child", "item") and _local(link.get("href"))
            ]
            waiting += [(here.parent / href).resolve() for href in reversed(wanted)]


def _asset(item: dict[str, Any], suffixes: tuple[str, ...]) -> str | None:
    assets = item.get("assets")
    local = [
        a
        for a in (assets.values() if isinstance(assets, dict) else ())
        if isinstance(a, dict) and _local(a.get("href"))
    ]
    data = [asset for asset in local if "data" in (asset.get("roles") or ())]
    rasters = [asset for asset in local if Path(asset["href"]).suffix.lower() in suffixes]
    return next((str(asset["href"]) for asset in (*data, *rasters)), None)


def _local(href: Any) -> bool:
    return isinstance(href, str) and "://" not in href and not href.startswith("/vsi")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"cannot read the catalogue {path}: {problem}") from problem
    if not isinstance(content, dict) or content.get("type") not in (
        "Catalog",
        "Collection",
        "Feature",
        "FeatureCollection",
    ):
        raise UsageError(f"{path} is no STAC catalogue, collection or item; name a folder, a CSV or a catalogue.json")
    return content
