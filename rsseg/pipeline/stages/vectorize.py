"""The stage ``vectorize``: the regions of a label map as polygons, with class, area, mean values and style."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsseg.errors import InputError, UsageError
from rsseg.files import check_outputs, scratch_folder
from rsseg.label.maps import LabelMap, strips
from rsseg.label.polygons import polygons
from rsseg.label.polygons_sums import PixelSums
from rsseg.label.spectra import check_same_grid
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.made_from import made_from
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import sidecars
from rsseg.publish.tables import records_csv
from rsseg.publish.vector import leftovers, outputs, write_style_and_classes, write_vector
from rsseg.publish.vector_styles import polygon_qml
from rsseg.publish.vector_table import PolygonTable
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

DEFAULT_MINIMUM = 9
"""Pixels of the smallest region that becomes a polygon of its own, where nothing else is said."""

MANY = 1_000_000
"""From this number of polygons on, GIS programs become slow."""


@dataclass(frozen=True)
class VectorizeSettings:
    """How regions become polygons; at most one of each pair.

    ``mmu`` (square metres) or ``mmu_pixels`` is the size below which a region is given to a neighbour; ``simplify``
    (metres) or ``simplify_pixels`` is how coarse the borders may be.
    """

    mmu: float | None = None
    mmu_pixels: int | None = None
    simplify: float | None = None
    simplify_pixels: float | None = None

    def __post_init__(self) -> None:
        for one, other in (("mmu", "mmu_pixels"), ("simplify", "simplify_pixels")):
            values = getattr(self, one), getattr(self, other)
            if None not in values:
                raise UsageError(f"--{one} and --{one}-pixels are two units of one thing; give one of them")
            if any(value is not None and not (math.isfinite(value) and value >= 0) for value in values):
                raise UsageError(f"--{one} cannot be negative or infinite; give a size, or 0 for none")

    def minimum(self, pixel: float | None, labels: Path) -> int:
        """The minimum mapping unit in pixels; ``pixel`` is a pixel's area in square metres, if that is known."""
        if self.mmu is None:
            return DEFAULT_MINIMUM if self.mmu_pixels is None else max(1, self.mmu_pixels)
        return max(1, math.ceil(self.mmu / _known(pixel, labels, "--mmu") - 1e-9))

    def tolerance(self, pixel: float | None, labels: Path) -> float:
        """The tolerance of borders in pixels."""
        if self.simplify is None:
            return self.simplify_pixels or 0.0
        return self.simplify / math.sqrt(_known(pixel, labels, "--simplify"))


@dataclass(frozen=True)
class VectorizeResult:
    """What was written: ``classes`` is the table of classes, a record each; ``minimum`` and ``tolerance`` in pixels."""

    polygons: str
    count: int
    minimum: int
    tolerance: float
    classes: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def vectorize(
    labels: Path,
    output: Path,
    settings: VectorizeSettings | None = None,
    *,
    scene: Path | None = None,
    confidence: Path | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> VectorizeResult:
    """Write the polygons of a label map in the format of the output's suffix, with a style and a table of classes.

    Map and scene are read once, from top to bottom; memory grows with the width, with the minimum mapping unit and
    with the largest polygon, not with the height.

    Raises: UsageError for a suffix of no format, or metres where the map has no CRS; GridError if scene or confidence
    lie on another grid; InputError if the map holds no data only.
    """
    chosen = settings or VectorizeSettings()
    inputs = [*(path for path in (labels, scene, confidence) if path is not None), *aoi_files(aoi)]
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(LabelMap(labels))
        targets = outputs(output, source.grid.crs)
        # the map's own style has the name that a file of polygons beside it would give to its own
        check_outputs(targets, [*inputs, *sidecars(labels)], overwrite)
        scenes = [open_scene(scene, bands=bands, scale=scale, aoi=aoi)] if scene is not None else []
        scenes += [_confidence(confidence)] if confidence is not None else []
        for opened in scenes:
            check_same_grid(source, opened)
        sums = stack.enter_context(PixelSums(scenes))
        table = PolygonTable(source, sums, output, confidence is not None)
        minimum = chosen.minimum(table.pixel, labels)
        tolerance = chosen.tolerance(table.pixel, labels)
        found = polygons(_rows(source, reporter), minimum, tolerance, sums)
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = stack.enter_context(scratch_folder(output.parent))
        part = folder / output.name
        write_vector(part, table.schema, table.batches(found), source.grid, json.dumps(made_from([labels])))
        _check_found(table, labels, minimum, reporter)
        _write_beside(part, table)
        _publish(folder, targets)
    return VectorizeResult(str(output), table.count, minimum, tolerance, table.records())


def _publish(folder: Path, targets: Sequence[Path]) -> None:
    """Move the files to their places, the polygons last; what told of those before goes."""
    for target in targets:
        (folder / target.name).replace(target)
    for path in leftovers(targets[-1]):
        path.unlink(missing_ok=True)


def _known(pixel: float | None, labels: Path, option: str) -> float:
    if pixel is None:
        raise UsageError(f"{labels} has no CRS, so that nothing says what a metre is; use {option}-pixels")
    return pixel


def _confidence(path: Path) -> Scene:
    opened = open_scene(path)
    if len(opened.bands) != 1:
        raise InputError(f"{path} has {len(opened.bands)} bands; a confidence raster has one")
    if opened.units == "uncalibrated":
        raise InputError(f"{path} holds bare integers; a confidence is 0 to 1, as rsseg segment --confidence writes it")
    return opened


def _rows(source: LabelMap, reporter: Reporter) -> Iterator[NDArray[np.uint8]]:
    with reporter.task("polygons", source.grid.height) as task:
        for window, (labels,) in strips([source], source.grid):
            yield labels
            task.advance(window.height)


def _check_found(table: PolygonTable, labels: Path, minimum: int, reporter: Reporter) -> None:
    if table.count == 0:
        raise InputError(f"{labels} holds no data only, so that there is no polygon; check its nodata value")
    if table.cut_names:
        values = ", ".join(map(str, table.cut_names))
        reporter.say(f"a Shapefile holds 254 bytes of a name; that of class {values} is cut (a .gpkg holds all)")
    if table.count >= MANY:
        reporter.say(
            f"{table.count} polygons are many for a GIS; a minimum mapping unit of more than {minimum} pixels "
            "(--mmu-pixels, or --mmu in square metres) gives fewer"
        )


def _write_beside(part: Path, table: PolygonTable) -> None:
    """The style and the table of classes: within a GeoPackage, beside any other format."""
    records = table.records()
    if part.suffix.lower() == ".gpkg":
        write_style_and_classes(part, table.classes, records)
        return
    part.with_suffix(".qml").write_text(polygon_qml(table.classes), encoding="utf-8", newline="\n")
    part.with_suffix(".classes.csv").write_text(records_csv(records), encoding="utf-8", newline="\n")
