"""The stage ``stac``: a run folder as a static catalogue of its scenes and maps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rasterio

from rsseg.files import write_text
from rsseg.pipeline.cache import Cache
from rsseg.pipeline.folders import result_folder
from rsseg.pipeline.stages.stac_items import SceneItems, model_item
from rsseg.progress import SILENT, Reporter
from rsseg.publish import stac as form
from rsseg.publish.run_folder import RunFolder, open_run
from rsseg.publish.stac import CATALOG, Entry
from rsseg.publish.stac_assets import href
from rsseg.publish.stac_model import spanned, united
from rsseg.scene.raster import CACHE_BYTES


@dataclass(frozen=True)
class StacResult:
    """What was written: the catalogue, its items by id, and the scenes that do not say when they were taken."""

    catalog: str
    items: dict[str, str]
    undated: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def stac(
    run: Path,
    output: Path | None = None,
    *,
    time: str | None = None,
    parent: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> StacResult:
    """Write a STAC catalogue of a run folder: an item a scene, an item a label map, and an item a model.

    Files are referred to where they lie, by relative addresses, and read once for their checksums.

    Args:
        run: what ``rsseg run`` or ``rsseg map`` wrote.
        output: the catalogue's folder; by default ``stac`` in the run.
        time: when those scenes were taken that do not say it themselves (ISO 8601).
        parent: the catalogue that this one is a child of; it is the root of both, and need not exist yet.

    Raises: InputError if the run is not finished; UsageError.
    """
    found = open_run(run)
    target = output or run / "stac"
    given = form.timestamp(time) if time else None
    digest = Cache(run).digest
    scenes = [SceneItems(found, scene, digest, given) for scene in found.scenes]
    models = [item.name for item in found.models]
    named = form.unique([*models, *(id for scene in scenes for id in scene.ids)])
    files = form.file_names(named)
    folders = {id: target / files[id].split("/")[0] for id in named}
    known, left = dict(zip(models, named, strict=False)), named[len(models) :]
    entries: list[Entry] = []
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), reporter.task("items", len(files)) as task:
        for scene in scenes:
            group, left = left[: len(scene.ids)], left[len(scene.ids) :]
            entries += scene.entries(group, folders, known)
            task.advance(len(group))
        outline = united([scene.outline for scene in scenes])
        dated = spanned([scene.times for scene in scenes])
        for model, id in known.items():
            entries.append(model_item(run, model, id, folders[id], digest, outline, dated))
            task.advance()
    _write(found, target, entries, files, overwrite, None if parent is None else href(parent, target))
    undated = [scene.source.name for scene in scenes if scene.times["datetime"] is None]
    return StacResult(str(target / CATALOG), {id: str(target / files[id]) for id in files}, undated)


def _write(
    run: RunFolder, target: Path, entries: list[Entry], files: Mapping[str, str], overwrite: bool, above: str | None
) -> None:
    name = run.folder.resolve().name or "run"
    maps = sum(len(scene.maps) for scene in run.scenes)
    told = f"{maps} label map(s) of {len(run.scenes)} scene(s), made by rsseg."
    content = form.catalog(name, f"rsseg run {name}", told, entries, files, above)
    with result_folder(target, CATALOG, [run.folder / "run.json"], overwrite) as part:
        for entry in entries:
            place = part / files[entry.id]
            place.parent.mkdir()
            write_text(place, form.stac_json(form.item(entry, files, above)))
        write_text(part / CATALOG, form.stac_json(content))
