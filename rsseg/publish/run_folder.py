"""What a run folder holds, found out from its files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from rsseg.errors import InputError, RssegError
from rsseg.publish.run_files import open_run_scene, read_json
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class ModelEntry:
    """A model of a run: its name, and the entry of the configuration that it stands for (empty if unknown)."""

    name: str
    config: Mapping[str, Any]
    history: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class MapFiles:
    """A label map of a model, with its confidence where there is one."""

    model: str
    labels: Path
    confidence: Path | None


@dataclass(frozen=True)
class SceneFolder:
    """A scene of a run: its files, and its pixels where they are still to be found.

    ``problem`` says why ``scene`` is None.
    """

    name: str
    path: str
    units: str
    tags: Mapping[str, Any]
    folder: Path
    scene: Scene | None
    problem: str
    maps: tuple[MapFiles, ...]

    @cached_property
    def consensus(self) -> Mapping[str, Any]:
        """What the comparison of the maps gave; empty without one."""
        return read_json(self.folder / "consensus" / "consensus.json")

    @cached_property
    def evaluations(self) -> Mapping[str, Mapping[str, Any]]:
        """The scores of each map against a reference, by the map's name."""
        files = sorted((self.folder / "evaluation").glob("*/evaluation.json"))
        found = {path.parent.name: read_json(path) for path in files}
        order = [*(item.model for item in self.maps), *found]
        return {name: found[name] for name in dict.fromkeys(order) if found.get(name)}


@dataclass(frozen=True)
class RunFolder:
    """A finished run: configuration, provenance, models and scenes."""

    folder: Path
    config: Mapping[str, Any]
    provenance: Mapping[str, Any]
    models: tuple[ModelEntry, ...]
    scenes: tuple[SceneFolder, ...]

    @property
    def choices(self) -> Mapping[str, Any]:
        """What ``rsseg map`` chose and why; empty for other runs."""
        return read_json(self.folder / "choices.json")


def open_run(folder: Path) -> RunFolder:
    """Read what a run folder says of itself; no pixel is read.

    Raises: InputError if it is no run, or one that is not finished.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; name the folder that rsseg run or rsseg map wrote")
    if not (folder / "run.yaml").is_file():
        raise InputError(
            f"{folder} is no run of rsseg (it has no run.yaml); name the folder that rsseg run or map wrote"
        )
    provenance = read_json(folder / "run.json")
    if not provenance.get("scenes"):
        raise InputError(
            f"the run in {folder} is not finished (no run.json); run the same command again, then this one"
        )
    config = _configuration(folder / "run.yaml")
    models = tuple(_models(folder, config))
    names = [model.name for model in models]
    described = [item for item in provenance["scenes"] if isinstance(item, dict) and _plain(item.get("name"))]
    scenes = tuple(_scene(folder, item, config, names) for item in described)
    if not any(scene.maps for scene in scenes):
        raise InputError(f"the run in {folder} holds no label map; run the same command again, then this one")
    return RunFolder(folder, config, provenance, models, scenes)


def _plain(name: Any) -> bool:
    """Whether a scene's name is that of a folder right inside the run."""
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _configuration(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
    except yaml.YAMLError:
        raise InputError(f"{path} is no YAML any more; run the same command again, then this one") from None
    return content if isinstance(content, dict) else {}


def _models(folder: Path, config: Mapping[str, Any]) -> list[ModelEntry]:
    """The models that were trained, in the order of the configuration."""
    entries = config.get("models")
    entries = entries if isinstance(entries, dict) else {}
    files = {path.stem for path in (folder / "models").glob("*.safetensors") if ".checkpoint" not in path.name}
    found = {name: _entry_of(name, entries) for name in sorted(files)}
    order = sorted(found, key=lambda name: (list(entries).index(found[name]) if found[name] else len(entries), name))
    return [ModelEntry(name, _mapping(entries.get(found[name])), _history(folder, name)) for name in order]


def _entry_of(name: str, entries: Mapping[str, Any]) -> str:
    """The configuration's entry of a model: its own name, or the longest that it begins with (``recal_on_SCENE``)."""
    fitting = [entry for entry in entries if name == entry or name.startswith(f"{entry}_on_")]
    return max(fitting, key=len, default="")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _history(folder: Path, name: str) -> tuple[Mapping[str, Any], ...]:
    """The lines of a training's history; those that are no JSON object are left out."""
    try:
        lines = (folder / "models" / f"{name}.history.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return tuple(row for row in rows if isinstance(row, dict))


def _scene(folder: Path, item: Mapping[str, Any], config: Mapping[str, Any], models: Sequence[str]) -> SceneFolder:
    place = folder / item["name"]
    scene, problem = _opened(folder, item, config)
    maps = {path.stem: path for path in sorted((place / "labels").glob("*.tif"))}
    order = [name for name in (*models, *maps) if name in maps]
    found = []
    for name in dict.fromkeys(order):
        confidence = place / "confidence" / f"{name}.tif"
        found.append(MapFiles(name, maps[name], confidence if confidence.is_file() else None))
    tags = _mapping(item.get("tags"))
    path, units = str(item.get("path", "")), str(item.get("units", ""))
    return SceneFolder(item["name"], path, units, tags, place, scene, problem, tuple(found))


def _opened(folder: Path, item: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[Scene | None, str]:
    """The scene that the maps were made of, or why there is none."""
    try:
        scene = open_run_scene(folder, item["name"], item, config)
    except RssegError as problem:
        return None, f"The scene cannot be shown: {problem}."
    gone = f"The scene is not at {item.get('path', '')} any more, so that nothing is shown of its pixels."
    return scene, gone if scene is None else ""
