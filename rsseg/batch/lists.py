"""Lists of scenes: CSV tables and static STAC catalogues."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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


def of_stac(path: Path, suffixes: tuple[str, ...], say: Callable[[str], None]) -> Iterator[str]:
    """The local assets of a static STAC catalogue's items, one an item, as paths relative to ``path``'s folder.

    Of an item's assets the first with the role ``data`` is taken, or else the first whose suffix is one of
    ``suffixes``. Links to children and items are followed where they are local files, each once. What lies elsewhere is
    told to ``say``.
    Raises: InputError, UsageError if it is no STAC.
    """
    seen: set[Path] = set()
    waiting, remote, without = [path.resolve()], 0, 0
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        content = _json(here)
        for item in content.get("features") or [content]:
            if isinstance(item, dict) and item.get("type") == "Feature":
                asset = _asset(item, suffixes)
                without += asset is None
                if asset:
                    yield os.path.relpath(here.parent / asset, path.resolve().parent)
        if content.get("type") in ("Catalog", "Collection"):
            links = [link for link in content.get("links", []) if isinstance(link, dict)]
            wanted = [_local(link.get("href")) for link in links if link.get("rel") in ("child", "item")]
            remote += wanted.count(None)
            waiting += [(here.parent / href).resolve() for href in reversed(wanted) if href]
    if without or remote:
        say(f"{path}: {without} items without a local asset and {remote} links to elsewhere are left out")


def _asset(item: dict[str, Any], suffixes: tuple[str, ...]) -> str | None:
    assets = item.get("assets")
    found = [asset for asset in (assets.values() if isinstance(assets, dict) else ()) if isinstance(asset, dict)]
    local = [(place, asset) for asset in found if (place := _local(asset.get("href")))]
    data = [place for place, asset in local if "data" in (asset.get("roles") or ())]
    rasters = [place for place, _ in local if Path(place).suffix.lower() in suffixes]
    return next(iter([*data, *rasters]), None)


def _local(href: Any) -> str | None:
    """An address as a path, absolute or relative to the file that has it; None where it is no local file."""
    if not isinstance(href, str) or href.startswith("/vsi"):
        return None
    if href.startswith("file://"):
        return unquote(href.removeprefix("file://"))
    return None if "://" in href or not href else unquote(href)


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
