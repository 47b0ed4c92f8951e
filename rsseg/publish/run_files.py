"""Where the files of a run folder lie, also those that the run itself only named."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

PARENTS = 3
"""Folders above a run that are looked in: a run is often made from one of them."""


def lies_at(folder: Path, told: str) -> Path | None:
    """The file that a run in ``folder`` read as ``told``; None if it is gone.

    It is looked for from here, from around the run, and from where the run was started.
    """
    given, here = Path(told), folder.resolve()
    places = [given]
    if not given.is_absolute():
        places += [parent / given for parent in (here, *list(here.parents)[:PARENTS])]
        started = read_json(folder / "run.json").get("started_in")
        places += [Path(started) / given] if isinstance(started, str) else []
    return next((path for path in places if path.exists()), None)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty if it is absent, damaged or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def open_run_scene(folder: Path, name: str, told: Mapping[str, Any], config: Mapping[str, Any]) -> Scene | None:
    """The scene that the maps of a run were made of, or None if it is gone.

    It is the reflectance that the run made, which has the chosen bands only, or else what the run read.

    Args:
        folder: the run's.
        name: what the run calls the scene.
        told: what ``run.json`` says of it.
        config: the run's configuration.

    Raises: RssegError if it is there and cannot be opened.
    """
    made = folder / name / "toa.tif"
    if made.is_file():
        return open_scene(made)
    source = lies_at(folder, told["path"]) if isinstance(told.get("path"), str) and told["path"] else None
    if source is None:
        return None
    polygons = told.get("aoi")
    aoi = (lies_at(folder, polygons) or Path(polygons)) if isinstance(polygons, str) and polygons else None
    return open_scene(source, bands=config.get("bands"), scale=config.get("scale"), aoi=aoi)
