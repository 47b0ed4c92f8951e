"""The stage ``refine``: a label map made smooth along the edges of its scene."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import rsseg
from rsseg.errors import InputError
from rsseg.files import check_outputs
from rsseg.label.maps import LabelMap, strips
from rsseg.label.refine import refined_by_edges, refined_by_superpixels
from rsseg.label.refine_settings import Edges, RefineSettings, Spectrum, Superpixels
from rsseg.label.refine_spectrum import refined_by_spectrum
from rsseg.label.spectra import check_same_grid
from rsseg.learn.channels.fit import draw_sample
from rsseg.learn.channels.pixels import ScenePixels
from rsseg.learn.channels.smooth import Bilateral, SmoothPixels
from rsseg.learn.inputs import SceneInput
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.inputs import reading
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import LabelClass, LabelMapWriter, sidecars
from rsseg.publish.palette import class_of
from rsseg.scene.grid import Window
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene


@dataclass(frozen=True)
class RefineResult:
    """What a refinement gave: ``changed`` pixels have another label than before; ``pixels`` count them by value."""

    labels: str
    method: str
    changed: int
    pixels: dict[int, int]
    nodata: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def refine(
    labels: Path,
    scene: Path,
    output: Path,
    settings: RefineSettings | None = None,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> RefineResult:
    """Write a label map whose labels follow the edges of ``scene``, which lies on the map's grid.

    Names, colours and tags are the map's own; no data stays no data. The map is read twice, the scene once and in a
    sample before, for its noise; ``spectrum`` reads both once more. Memory grows with the width, not with the height.

    Raises: GridError if scene and map lie on different grids; UsageError, InputError.
    """
    chosen = settings or Spectrum()
    check_outputs([output, *sidecars(output)], [labels, scene, *aoi_files(aoi)], overwrite)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(LabelMap(labels))
        opened = open_scene(scene, bands=bands, scale=scale, aoi=aoi)
        check_same_grid(source, opened)
        (pixels,) = stack.enter_context(reading([opened]))
        classes, before = _classes(source), stack.enter_context(LabelMap(labels))
        software = {"software": f"rsseg {rsseg.__version__}"}
        tags = {**source.tags, **software, "refined_from": labels.name, **chosen.tags}
        writer = LabelMapWriter(output, source.grid, classes, tags=tags, overwrite=overwrite)
        changed = _write(_refined(source, pixels, chosen), before, writer, reporter)
    found = {value: int(count) for value, count in enumerate(writer.counts) if value and count}
    return RefineResult(str(output), chosen.method, changed, found, int(writer.counts[0]))


def _refined(source: LabelMap, scene: SceneInput, chosen: RefineSettings) -> Iterator[tuple[Window, np.ndarray]]:
    if isinstance(chosen, Superpixels):
        return refined_by_superpixels(source, scene, 2 * chosen.radius + 1)
    pixels = ScenePixels(scene)
    sample = draw_sample([pixels], [])
    if not len(sample.values):
        raise InputError(f"no pixel in a sample of {scene.name} is valid; check the nodata value")
    if isinstance(chosen, Edges):
        return refined_by_edges(source, pixels, Bilateral.fit(sample, chosen.strength, chosen.radius, chosen.passes))
    smooth = SmoothPixels(pixels, Bilateral.fit(sample, chosen.strength))
    return refined_by_spectrum(source, smooth, chosen.radius, chosen.neighbours)


def _write(
    refined: Iterator[tuple[Window, np.ndarray]], before: LabelMap, writer: LabelMapWriter, reporter: Reporter
) -> int:
    """Write all strips; returns how many pixels have another label than ``before``."""
    changed = 0
    with reporter.task("refine", before.grid.height) as task, writer:
        for window, labels in refined:
            changed += int(np.count_nonzero(labels != before.read(window)))
            writer.write(labels, window)
            task.advance(window.height)
    return changed


def _classes(source: LabelMap) -> list[LabelClass]:
    """The map's classes: those that it names, and those of its pixels."""
    found = np.zeros(256, bool)
    found[list(source.names)] = True
    for _, (labels,) in strips([source], source.grid):
        found |= np.bincount(labels.ravel(), minlength=256) > 0
    return [class_of(int(value), source.names, source.colours) for value in np.flatnonzero(found[1:]) + 1]
