"""The stage ``relabel``: a label map of clusters becomes one of classes, by a legend."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

import rsseg
from rsseg.errors import InputError, UsageError
from rsseg.files import check_outputs, replacing
from rsseg.label.legend import Legend
from rsseg.label.legend_file import legend_path, read_legend, to_yaml
from rsseg.label.maps import LabelMap, strips
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.class_names import label_classes
from rsseg.pipeline.stages.legend import merged
from rsseg.progress import SILENT, Reporter
from rsseg.publish.class_colours import coloured
from rsseg.publish.gis import clean
from rsseg.publish.labels import LabelMapWriter, sidecars
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene


@dataclass(frozen=True)
class RelabelResult:
    """What a relabelling gave: ``classes`` are the names by value, ``pixels`` count those that occur, by value."""

    labels: str
    legend: str
    clusters: int
    classes: dict[int, str]
    pixels: dict[int, int]
    nodata: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def relabel(
    labels: Path, legend: Path, output: Path, *, overwrite: bool = False, reporter: Reporter = SILENT
) -> RelabelResult:
    """Write the map of a legend's classes, with their names and colours; no data stays no data.

    The map is read once, in strips of 512 rows.

    Raises: InputError if the legend cannot be used or lacks a cluster of the map; UsageError, GridError.
    """
    check_outputs([output, *sidecars(output)], [labels, legend], overwrite)
    chosen = coloured(read_legend(legend))
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), LabelMap(labels) as source:
        return _write(source, chosen, legend, output, overwrite, reporter)


def merge(
    labels: Path,
    scene: Path,
    output: Path,
    classes: int,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> RelabelResult:
    """Reduce a label map to at most ``classes`` classes of similar spectra.

    Their legend lies beside the map as STEM.legend.yaml. A map of fewer clusters keeps them all. Map and
    scene are read in strips of 512 rows.

    Raises: GridError if scene and map lie on different grids; UsageError, InputError.
    """
    if not 1 <= classes <= 255:
        raise UsageError(f"{classes} classes do not fit a label map; use 1 to 255")
    beside = legend_path(output)
    check_outputs([output, *sidecars(output), beside], [labels, scene, *aoi_files(aoi)], overwrite)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(LabelMap(labels))
        found = merged(source, open_scene(scene, bands=bands, scale=scale, aoi=aoi), classes, reporter)
        # nothing stays of the legend when the map cannot be written
        part = stack.enter_context(replacing(beside, overwrite))
        part.write_text(to_yaml(found), encoding="utf-8", newline="\n")
        return _write(source, found, beside, output, overwrite, reporter)


def relabelled(labels: np.ndarray, legend: Legend, named: Path) -> np.ndarray:
    """Class values (h, w) uint8 of the clusters ``labels`` (h, w) uint8; 0, no data, stays 0.

    Raises: InputError if a cluster is in no class; ``named`` is the legend's file, for the message.
    """
    missing = legend.missing(labels)
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise InputError(f"{named} has no class for cluster {shown} of the map; add it to the clusters of a class")
    return np.asarray(legend.table[labels])


def _write(
    source: LabelMap, legend: Legend, named: Path, output: Path, overwrite: bool, reporter: Reporter
) -> RelabelResult:
    classes, tags = label_classes(legend), _tags(source, legend, named)
    with (
        reporter.task("relabel", source.grid.height) as task,
        LabelMapWriter(output, source.grid, classes, tags=tags, overwrite=overwrite) as writer,
    ):
        for window, (labels,) in strips([source], source.grid):
            writer.write(relabelled(labels, legend, named), window)
            task.advance(window.height)
    names = {item.value: item.name for item in legend.classes}
    found = {value: int(count) for value, count in enumerate(writer.counts) if value and count}
    clusters = sum(len(item.clusters) for item in legend.classes)
    return RelabelResult(str(output), str(named), clusters, names, found, int(writer.counts[0]))


def _tags(source: LabelMap, legend: Legend, named: Path) -> dict[str, str]:
    """Where the map came from: what the map of clusters says of itself, and the legend."""
    made = {"legend_by": clean(legend.made["by"])} if "by" in legend.made else {}
    files = {"clusters_from": clean(source.path.name), "legend": clean(named.name)}
    return {**source.tags, "software": f"rsseg {rsseg.__version__}", **files, **made}
