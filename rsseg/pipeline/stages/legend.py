"""The stage ``legend``: which clusters of a label map make which class."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import rasterio

from rsseg.errors import InputError, UsageError
from rsseg.files import check_outputs, write_text
from rsseg.label.legend import Legend
from rsseg.label.legend_file import to_yaml
from rsseg.label.maps import LabelMap, Resample
from rsseg.label.reduction import by_spectra
from rsseg.label.spectra import check_same_grid, cluster_spectra
from rsseg.label.split import Split
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.stages.legend_like import like_elsewhere, like_map
from rsseg.pipeline.stages.legend_reference import named_by_reference
from rsseg.pipeline.stages.legend_rules import named_by_rules, origin, scene_of
from rsseg.progress import SILENT, Reporter
from rsseg.publish.class_colours import coloured
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


def legend(
    labels: Path,
    output: Path,
    *,
    reference: Path | None = None,
    field: str | None = None,
    split: Split | None = None,
    scene: Path | None = None,
    classes: int | None = None,
    like: Path | None = None,
    like_scene: Path | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    resample: Resample | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Legend:
    """Make a legend for a label map and write it as YAML.

    With ``reference`` each cluster gets the class that it mostly lies on; a cluster without a reference pixel gets the
    class of the nearest mean spectrum if there is a ``scene`` too, else it stays a class of its own, marked unknown.
    With ``like``, the class of another map takes the reference's place: with its values, names and colours; with
    ``like_scene`` too, that map may be of another place, and each cluster gets the class of the nearest mean spectrum.
    Without either, clusters of similar spectra in ``scene`` become ``classes`` classes; without ``classes`` each stays
    a class that is named by what its pixels look like. Maps, references and scenes are read in strips of 512 rows.

    Args:
        labels: the label map.
        reference: polygons or points with a class ``field``, or a raster of classes.
        split: the part of the reference that is used, the other part then scores the legend; None for all of it.
        like: a label map with names, on the map's grid unless there is ``like_scene``, the scene that it was made of.
        scene: what the map was made of, on the map's grid; ``bands`` and ``scale`` are as everywhere.
        aoi: the polygons that the map was made with, if it was.
        resample: "nearest" brings a reference raster or the other map of another grid to the map's.

    Raises: UsageError, InputError, GridError.
    """
    check_choice(reference, scene, classes, output, like, like_scene)
    if split is not None and reference is None:
        raise UsageError("--part splits the reference; give --reference too, or leave it out")
    inputs = [path for path in (labels, reference, scene, like, like_scene) if path is not None]
    check_outputs([output], [*inputs, *aoi_files(aoi)], overwrite)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(LabelMap(labels))
        opened = open_scene(scene, bands=bands, scale=scale, aoi=aoi) if scene is not None else None
        if opened is not None:
            check_same_grid(source, opened)
        if reference is not None:
            result = named_by_reference(source, reference, field, split, opened, resample, reporter)
        elif like is not None:
            result = _like(source, like, like_scene, opened, scale, resample, reporter)
        elif opened is not None and classes is not None:
            result = merged(source, opened, classes, reporter)
            _check_enough(result, classes, labels)
        elif opened is not None:
            result = named_by_rules(source, opened, reporter)
    write_text(output, to_yaml(result), overwrite)
    return result


def name_clusters(
    labels: Path,
    scene: Path,
    output: Path,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Legend:
    """Name each cluster of a label map by what most of its pixels look like, and write the legend as YAML.

    Every class keeps its cluster's value. Map and scene are read once, in strips of 512 rows; twice where names follow
    the order within the scene.

    Raises: UsageError, InputError, GridError.
    """
    return legend(
        labels, output, scene=scene, bands=bands, scale=scale, aoi=aoi, overwrite=overwrite, reporter=reporter
    )


def check_choice(
    reference: Path | None,
    scene: Path | None,
    classes: int | None,
    output: Path,
    like: Path | None = None,
    like_scene: Path | None = None,
) -> None:
    """Refuse options that do not make one way to a legend.

    Raises: UsageError.
    """
    if reference is None and scene is None and like is None:
        raise UsageError(
            "a legend is made with --reference REF, with --like MAP, or with --scene SCENE (and --classes N to merge "
            "similar clusters)"
        )
    if reference is not None and like is not None:
        raise UsageError("--reference and --like both say which classes there are; leave out one of them")
    if classes is not None and (reference is not None or like is not None):
        given = "--reference the reference" if reference is not None else "--like the other map"
        raise UsageError(f"with {given} says which classes there are; leave out --classes")
    if like_scene is not None and (like is None or scene is None):
        raise UsageError("--like-scene is the scene of the map --like, and is compared with --scene; give all three")
    if classes is not None and not 1 <= classes <= 255:
        raise UsageError(f"{classes} classes do not fit a label map; use 1 to 255")
    if output.suffix.lower() not in (".yaml", ".yml"):
        raise UsageError(f"{output} is not named like a legend; end it in .yaml")


def merged(source: LabelMap, scene: Scene, classes: int, reporter: Reporter = SILENT) -> Legend:
    """The legend of at most ``classes`` classes of similar spectra, with colours.

    Raises: GridError if the scene lies on another grid; InputError if the map labels no pixel.
    """
    spectra = cluster_spectra(source, scene, reporter)
    if not spectra.pixels.any():
        raise InputError(f"{source.path} labels no pixel: all are no data; there is nothing to merge")
    made = {"by": "spectra", **origin(source), **scene_of(scene)}
    return coloured(by_spectra(spectra, classes, made))


def _like(
    source: LabelMap,
    like: Path,
    like_scene: Path | None,
    scene: Scene | None,
    scale: Sequence[float] | None,
    resample: Resample | None,
    reporter: Reporter,
) -> Legend:
    made = {"by": "map", **origin(source), **(scene_of(scene) if scene is not None else {})}
    if scene is not None and like_scene is not None:
        return coloured(like_elsewhere(source, scene, like, like_scene, made, scale=scale, reporter=reporter))
    return coloured(like_map(source, like, made, scene=scene, resample=resample, reporter=reporter))


def _check_enough(legend: Legend, classes: int, labels: Path) -> None:
    known = sum(not item.unknown for item in legend.classes)
    if known < classes:
        raise UsageError(f"{labels} has {known} clusters in the scene, too few for {classes} classes; lower --classes")
