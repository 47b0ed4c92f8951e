"""``rsseg segment``: from a scene and a model to a label map, and optionally its confidence."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import rsseg
from rsseg.files import check_outputs
from rsseg.label.layout import output_window
from rsseg.label.segment import Labeller
from rsseg.label.stitch import Resolution
from rsseg.label.tiles import TileLabeller
from rsseg.learn.devices import choose_device
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.build import is_dense
from rsseg.pipeline.inputs import bands_of, reading
from rsseg.prefetch import prefetch
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import ConfidenceWriter, LabelClass, LabelMapWriter, default_classes
from rsseg.scene.grid import Grid
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

AnyLabeller = Labeller | TileLabeller


@dataclass(frozen=True)
class SegmentResult:
    """What a labelling gave: ``pixels`` per class value (1..K), and those without data."""

    labels: str
    confidence: str | None
    model: str
    pixels: dict[int, int]
    nodata: int

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
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    bounds: tuple[float, float, float, float] | None = None,
    batch: int | None = None,
    precision: str = "fp32",
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> SegmentResult:
    """Label a scene, or the part of it within ``bounds``, and write the label map with its sidecars.

    Memory grows with the scene's width, not with its height. Raises: ModelError if the model does not fit the
    scene's bands or units, and any other RssegError.
    """
    check_outputs([output] + ([confidence] if confidence else []), (scene, model), overwrite)
    used, loaded = choose_device(device, threads), load_model(model)
    opened = open_scene(scene, bands=bands or bands_of(loaded, scene, scale), scale=scale)
    loaded.check_scene(opened.name, opened.band_names, opened.units)
    window = opened.grid.window_of(bounds) if bounds else None
    with reading([opened]) as (source,):
        options: dict[str, Any] = {"stride": stride, "window": window, "resolution": resolution}
        options |= {"device": used, "precision": precision}
        labeller: AnyLabeller
        if is_dense(loaded.network):
            labeller = TileLabeller(loaded, source, **options)
        else:
            labeller = Labeller(loaded, source, batch=batch, **options)
        counts = _write(labeller, opened, loaded, output, confidence, overwrite, reporter)
    found = {value: int(count) for value, count in enumerate(counts) if value and count}
    return SegmentResult(str(output), str(confidence) if confidence else None, loaded.identity, found, int(counts[0]))


def _write(
    labeller: AnyLabeller,
    scene: Scene,
    model: Model,
    output: Path,
    confidence: Path | None,
    overwrite: bool,
    reporter: Reporter,
) -> Any:
    grid, tags = _output_grid(labeller, scene.grid), _tags(labeller, scene, model)
    classes = _classes(model)
    with ExitStack() as stack:
        task = stack.enter_context(reporter.task("labelling, rows of patches", labeller.rows))
        labels = stack.enter_context(LabelMapWriter(output, grid, classes, tags=tags, overwrite=overwrite))
        votes = None
        if confidence:
            votes = stack.enter_context(ConfidenceWriter(confidence, grid, tags=tags, overwrite=overwrite))
        for block in prefetch(labeller.blocks(task.advance)):
            labels.write(block.labels, block.window)
            if votes:
                votes.write(block.confidence, block.window)
    return labels.counts


def _classes(model: Model) -> tuple[LabelClass, ...]:
    """What the map's values are called: the names of the labels that the model learned from, where there were any."""
    numbered = default_classes(model.inference.classes)
    names = model.provenance.get("classes", [])
    if len(names) != len(numbered):
        return numbered
    return tuple(replace(made, name=str(name)) for made, name in zip(numbered, names, strict=True))


def _output_grid(labeller: AnyLabeller, grid: Grid) -> Grid:
    whole = grid if labeller.resolution == "pixel" else grid.coarsened(labeller.stride)
    return whole.crop(output_window(labeller.window, labeller.stride, labeller.resolution))


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
    }
