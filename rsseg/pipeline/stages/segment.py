"""``rsseg segment``: from a scene and a model to a label map, and optionally its confidence."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import rsseg
from rsseg.errors import UsageError
from rsseg.files import check_outputs
from rsseg.label.layout import output_window
from rsseg.label.segment import Labeller
from rsseg.label.stitch import Resolution
from rsseg.label.tiles import TileLabeller
from rsseg.learn.devices import choose_devices
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.build import is_dense
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.class_names import Naming, naming_of
from rsseg.pipeline.inputs import bands_of, reading
from rsseg.prefetch import prefetch
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import ConfidenceWriter, LabelMapWriter
from rsseg.scene.grid import Grid, Window
from rsseg.scene.place import in_window
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

AnyLabeller = Labeller | TileLabeller


@dataclass(frozen=True)
class SegmentResult:
    """What a labelling gave: ``pixels`` per value, those without data, and the ``classes``, names by value."""

    labels: str
    confidence: str | None
    model: str
    pixels: dict[int, int]
    nodata: int
    classes: dict[int, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def segment(
    scene: Path,
    model: Path,
    output: Path,
    *,
    confidence: Path | None = None,
    stride: int | None = None,
    resolution: Resolution = "pixel",
    clusters: bool = False,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    aoi: Path | None = None,
    batch: int | None = None,
    precision: str = "fp32",
    device: str = "auto",
    threads: int | None = None,
    memory: int | None = None,
    approximate: bool = False,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> SegmentResult:
    """Label a scene, or the part of it within ``bounds`` or the polygons ``aoi``, and write the map with its sidecars.

    Patches lie on the full raster that a part was cut from, so that its labels are the crop of the whole scene's;
    pixels outside the polygons are no data, also for the patches that hold some. A model that was given a legend
    writes its classes, unless ``clusters`` asks for what it found itself; a confidence is the cluster's in either case.
    Memory grows with the scene's width, not with its height. ``device``: one, or several separated by commas.
    ``memory``: bytes to stay within, which bounds how much is done at a time. ``approximate``: leave out patches that
    lie between others which agree.

    Raises: ModelError if the model does not fit the scene's bands or units, and any other RssegError.
    """
    check_outputs([output] + ([confidence] if confidence else []), [scene, model, *aoi_files(aoi)], overwrite)
    used, loaded = choose_devices(device, threads), load_model(model)
    naming = naming_of(loaded, model, clusters)
    opened = open_scene(scene, bands=bands or bands_of(loaded, scene, scale), scale=scale, aoi=aoi)
    loaded.check_scene(opened.name, opened.band_names, opened.units)
    part = opened.grid.window_of(bounds) if bounds else opened.grid.window
    window = in_window(_at(opened), part)
    with reading([opened], in_full=True) as (source,):
        options: dict[str, Any] = {"stride": stride, "window": window, "resolution": resolution}
        options |= {"device": used, "precision": precision, "memory": memory}
        labeller = _labeller(loaded, source, batch, approximate, options)
        counts = _write(labeller, opened, loaded, naming, output, confidence, overwrite, reporter)
    found = {value: int(count) for value, count in enumerate(counts) if value and count}
    names = {item.value: item.name for item in naming.classes}
    votes = str(confidence) if confidence else None
    return SegmentResult(str(output), votes, loaded.identity, found, int(counts[0]), names)


def _labeller(
    model: Model, source: SceneInput, batch: int | None, approximate: bool, options: dict[str, Any]
) -> AnyLabeller:
    if not is_dense(model.network):
        return Labeller(model, source, batch=batch, approximate=approximate, **options)
    if approximate:
        raise UsageError(f"{model.inference.method} labels each pixel of tiles; leave --approximate out")
    return TileLabeller(model, source, **options)


def _write(
    labeller: AnyLabeller,
    scene: Scene,
    model: Model,
    naming: Naming,
    output: Path,
    confidence: Path | None,
    overwrite: bool,
    reporter: Reporter,
) -> Any:
    grid, tags = _output_grid(labeller, scene), {**_tags(labeller, scene, model), **naming.tags}
    with ExitStack() as stack:
        task = stack.enter_context(reporter.task("labelling, rows of patches", labeller.rows))
        labels = stack.enter_context(LabelMapWriter(output, grid, naming.classes, tags=tags, overwrite=overwrite))
        votes = None
        if confidence:
            votes = stack.enter_context(ConfidenceWriter(confidence, grid, tags=tags, overwrite=overwrite))
        for block in prefetch(labeller.blocks(task.advance)):
            labels.write(naming.table.take(block.labels), block.window)
            if votes:
                votes.write(block.confidence, block.window)
    return labels.counts


def _output_grid(labeller: AnyLabeller, scene: Scene) -> Grid:
    at, found = _at(scene), labeller.window
    part = Window(found.row - at.row, found.col - at.col, found.height, found.width)
    return scene.grid.crop(part) if labeller.resolution == "pixel" else map_grid(scene, part, labeller.stride)


def map_grid(scene: Scene, window: Window, stride: int) -> Grid:
    """The grid of a map at patch resolution of a window: cells are counted from the full raster's first pixel on."""
    at = _at(scene)
    cells = output_window(in_window(at, window), stride, "patch")
    first = Window(
        cells.row * stride - at.row, cells.col * stride - at.col, cells.height * stride, cells.width * stride
    )
    return scene.grid.crop(first).coarsened(stride)


def _at(scene: Scene) -> Window:
    """Where a scene lies in the full raster that it is of."""
    return scene.place.window if scene.place else scene.grid.window


def _tags(labeller: AnyLabeller, scene: Scene, model: Model) -> dict[str, str]:
    """Where the map came from; no times, so that equal maps are equal files."""
    return {
        "software": f"rsseg {rsseg.__version__}",
        "scene": scene.name,
        "method": model.inference.method,
        "model": model.identity,
        "patch": str(model.inference.patch),
        "stride": str(labeller.stride),
        "resolution": labeller.resolution,
        "precision": labeller.precision,
        **({"approximate": "yes"} if labeller.approximate else {}),
    }
