"""What a run folder, or a single map, has to show: scenes, and for each its layers from the top to the bottom."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from rsseg.errors import GridError, InputError, RssegError, RssegWarning, UsageError
from rsseg.label.legend_file import legend_path
from rsseg.label.reference import is_vector
from rsseg.publish.run_files import lies_at, open_run_scene, read_json
from rsseg.publish.view.layers import ViewedScene
from rsseg.publish.view.legends import NamedValues
from rsseg.publish.view.renaming import renaming_of
from rsseg.publish.view.scene_source import SceneSource
from rsseg.publish.view.sources import LabelSource, ReferenceSource, ValueSource
from rsseg.scene.raster import open_raster
from rsseg.scene.sensors import open_scene


def open_run(folder: Path, references: Sequence[Path] = (), reference_field: str | None = None) -> list[ViewedScene]:
    """The scenes of a run folder that have label maps.

    A scene is shown from the reflectance that the run made, or from where its raster lies by ``run.json``, and so is a
    reference where none is given. References: one for all scenes, or one a scene in their order.
    Raises: InputError if there is no label map, or a file cannot be read; UsageError for another number of references.
    """
    told = _told(folder)
    names = sorted(path.parent.name for path in folder.glob("*/labels") if any(path.glob("*.tif")))
    if not names:
        raise InputError(
            f"{folder} holds no label map (SCENE/labels/MODEL.tif); name a folder that rsseg run or rsseg map made, "
            "or a label map"
        )
    ordered = [name for name in told if name in names] + [name for name in names if name not in told]
    if len(references) not in (0, 1, len(ordered)):
        raise UsageError(
            f"{len(references)} references for {len(ordered)} scenes; give one, or one a scene: {', '.join(ordered)}"
        )
    scenes = []
    for number, name in enumerate(ordered):
        row = told.get(name, {})
        reference, field = _told_reference(folder, row)
        if references:
            reference, field = references[number if len(references) > 1 else 0], reference_field
        scenes.append(_run_scene(folder, name, row, reference, field))
    return scenes


def _told_reference(folder: Path, row: dict[str, Any]) -> tuple[Path | None, str | None]:
    """The reference that the run was scored by and its field, where the file still lies there."""
    found = lies_at(folder, row["reference"]) if isinstance(row.get("reference"), str) else None
    return found, row.get("field") if found else None


def _told(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``run.json`` says of each scene, by its name, in its order; empty for a run that is not finished."""
    rows = read_json(folder / "run.json").get("scenes")
    named = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {row["name"]: row for row in named if isinstance(row.get("name"), str)}


def _run_scene(
    folder: Path, name: str, told: dict[str, Any], reference: Path | None, reference_field: str | None
) -> ViewedScene:
    place, notes = folder / name, list[str]()
    maps = sorted((place / "labels").glob("*.tif"))
    source = _scene_source(folder, place, told, notes)
    first = LabelSource(maps[0])
    viewed = ViewedScene(name, source.grid if source else first.grid, notes=notes)
    first.close()
    _add_scene(viewed, source)
    for path in sorted((place / "named").glob("*.tif"), reverse=True):
        viewed.add("map", f"{path.stem}, relabelled", LabelSource(path))
    for path in reversed(maps):
        viewed.add("map", path.stem, LabelSource(path), names=_names(folder, path))
    for path in sorted((place / "consensus").glob("*.tif"), reverse=True):
        _add_comparison(viewed, path)
    for path in sorted((place / "confidence").glob("*.tif"), reverse=True):
        viewed.add("confidence", f"confidence of {path.stem}", ValueSource(path), about=path.stem)
    _add_reference(viewed, reference, reference_field, maps[0])
    return viewed


def _add_scene(viewed: ViewedScene, source: SceneSource | None) -> None:
    if source is not None:
        viewed.add("scene", "scene", source)


def _add_reference(viewed: ViewedScene, reference: Path | None, reference_field: str | None, owner: Path) -> None:
    """Add the reference; one that does not fit is noted. A raster is shown as any label map, by its own grid."""
    if reference is None:
        return
    try:
        if is_vector(reference):
            viewed.add("reference", "reference", ReferenceSource(reference, viewed.grid, owner, reference_field))
        else:
            viewed.add("reference", "reference", LabelSource(reference))
    except (GridError, InputError) as problem:
        viewed.notes.append(f"the reference is not shown: {problem}")


def _names(folder: Path, labels: Path) -> NamedValues:
    """Names of a run's map: a legend in SCENE/legends, which no run writes to."""
    place = labels.parent.parent
    sources = [place / kind / labels.name for kind in ("merged", "clusters")]
    target, output = place / "legends" / f"{labels.stem}.yaml", place / "named" / labels.name
    return NamedValues(renaming_of(labels, target, output, sources, folder))


def _add_comparison(viewed: ViewedScene, path: Path) -> None:
    """A raster of a consensus: shares where it has a scale, else values with names."""
    with open_raster(path) as dataset:
        if dataset.count != 1 or dataset.dtypes[0] != "uint8":
            return
        shares = dataset.scales[0] != 1
    title = path.stem.replace("_", " ")
    viewed.add("comparison", title, ValueSource(path) if shares else LabelSource(path))


def _scene_source(folder: Path, place: Path, told: dict[str, Any], notes: list[str]) -> SceneSource | None:
    """The scene of a run's maps, or a note that says why it is not shown."""
    try:
        with _warned_before():
            scene = open_run_scene(folder, place.name, told, _yaml(folder / "run.yaml"))
        if scene is not None:
            return SceneSource(scene)
    except RssegError as problem:
        notes.append(f"the scene is not shown: {problem}")
        return None
    if "path" in told:
        notes.append(f"the scene is not shown: it is no longer at {told['path']}")
    else:
        notes.append("which scene the maps are of is not known: the run is not finished (no run.json)")
    return None


@contextmanager
def _warned_before() -> Iterator[None]:
    """What there is to warn of was said when the map was made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RssegWarning)
        yield


def open_map(
    labels: Path,
    scene: Path | None = None,
    reference: Path | None = None,
    reference_field: str | None = None,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
) -> ViewedScene:
    """A single label map, with its scene and a reference where they are given.

    Names go to STEM.legend.yaml beside the map, or, where the map was made by the legend of that name, to
    STEM.edited.legend.yaml.
    """
    with _warned_before():
        source = SceneSource(open_scene(scene, bands=bands, scale=scale)) if scene is not None else None
    shown = LabelSource(labels)
    target = legend_path(labels)
    if _made_by(labels) == target.name:
        target = labels.with_suffix(".edited.legend.yaml")
    names = NamedValues(renaming_of(labels, target, labels.with_name(f"{labels.stem}-named.tif")))
    viewed = ViewedScene(labels.stem, source.grid if source else shown.grid)
    _add_scene(viewed, source)
    viewed.add("map", labels.stem, shown, names=names)
    if viewed.notes:
        raise InputError(f"{labels} and {scene} lie on grids that are turned against each other, or in other CRSs")
    _add_reference(viewed, reference, reference_field, labels)
    return viewed


def _made_by(labels: Path) -> str | None:
    with open_raster(labels) as dataset:
        return dataset.tags().get("legend")


def _yaml(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, yaml.YAMLError):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}
