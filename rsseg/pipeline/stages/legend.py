"""The stage ``legend``: which clusters of a label map make which class."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio

import rsseg
from rsseg.errors import InputError, UsageError
from rsseg.files import check_outputs, write_text
from rsseg.label.contingency import contingency
from rsseg.label.legend import Legend, to_yaml
from rsseg.label.maps import LabelMap, Resample, strips
from rsseg.label.naming import RuleCounts, by_rules, count_rules
from rsseg.label.reduction import by_reference, by_spectra
from rsseg.label.reference import RasterReference, Reference, check_touches, open_reference
from rsseg.label.rules import NAMED, REFLECTANCE, Kind, RuleSet, kind_for, order_rules
from rsseg.label.spectra import check_same_grid, cluster_spectra
from rsseg.progress import SILENT, Reporter
from rsseg.publish.palette import default_colour
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


def legend(
    labels: Path,
    output: Path,
    *,
    reference: Path | None = None,
    field: str | None = None,
    scene: Path | None = None,
    classes: int | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    resample: Resample | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Legend:
    """Make a legend for a label map and write it as YAML.

    With ``reference`` each cluster gets the class that it mostly lies on; a cluster without a reference pixel gets the
    class of the nearest mean spectrum if there is a ``scene`` too, else it stays a class of its own, marked unknown.
    Without a reference, clusters of similar spectra in ``scene`` become ``classes`` classes; without ``classes`` each
    stays a class that is named by what its pixels look like. Map, reference and scene are read in strips of 512 rows.

    Args:
        labels: the label map.
        reference: polygons with a class ``field``, or a raster of classes.
        scene: what the map was made of, on the map's grid; ``bands`` and ``scale`` are as everywhere.
        resample: "nearest" brings a reference raster of another grid to the map's.

    Raises: UsageError, InputError, GridError.
    """
    check_choice(reference, scene, classes, output)
    inputs = [path for path in (labels, reference, scene) if path is not None]
    check_outputs([output], inputs, overwrite)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(LabelMap(labels))
        opened = open_scene(scene, bands=bands, scale=scale) if scene is not None else None
        if opened is not None:
            check_same_grid(source, opened)
        if reference is not None:
            truth = stack.enter_context(open_reference(reference, source.grid, labels, field, resample))
            result = _named(source, truth, field, opened, reporter)
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
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Legend:
    """Name each cluster of a label map by what most of its pixels look like, and write the legend as YAML.

    Every class keeps its cluster's value. Map and scene are read once, in strips of 512 rows; twice where names follow
    the order within the scene.

    Raises: UsageError, InputError, GridError.
    """
    return legend(labels, output, scene=scene, bands=bands, scale=scale, overwrite=overwrite, reporter=reporter)


def check_choice(reference: Path | None, scene: Path | None, classes: int | None, output: Path) -> None:
    """Refuse options that do not make one way to a legend.

    Raises: UsageError.
    """
    if reference is None and scene is None:
        raise UsageError(
            "a legend is made with --reference REF, or with --scene SCENE (and --classes N to merge similar clusters)"
        )
    if reference is not None and classes is not None:
        raise UsageError("with --reference the reference says which classes there are; leave out --classes")
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
    made = {"by": "spectra", **_origin(source), **_scene_of(scene)}
    return coloured(by_spectra(spectra, classes, made))


def named_by_rules(source: LabelMap, scene: Scene, reporter: Reporter = SILENT) -> Legend:
    """The legend that names each cluster by the rule that most of its pixels meet, with colours.

    Thresholds on reflectance where the scene is reflectance with bands named green, red and nir; else the order of
    brightness, and of NDVI where it can be made, within the scene.

    Raises: GridError if the scene lies on another grid; InputError if no labelled pixel has valid values.
    """
    kind = kind_for(scene)
    problem = "" if kind == "reflectance" else _why_order(scene)
    rules, counts = _counted(source, scene, kind, reporter)
    if kind == "reflectance" and not counts.are_reflectance:
        problem = "most of its values are too large for reflectance (--scale gives the right one)"
        rules, counts = _counted(source, scene, "order", reporter)
    if problem:
        reporter.say(f"{scene.path}: {problem}, so that names only tell the order within this scene")
    made = {"by": "rules", **_origin(source), **_scene_of(scene), "rules": rules.kind}
    made["rule_share"] = "the part of a cluster's valid pixels that meet its rule; not an accuracy"
    return coloured(by_rules(counts, rules, made | {rule.name: rule.says for rule in rules.rules}))


def _counted(source: LabelMap, scene: Scene, kind: Kind, reporter: Reporter) -> tuple[RuleSet, RuleCounts]:
    """The rules of a kind and how many pixels meet them."""
    rules = REFLECTANCE if kind == "reflectance" else order_rules(cluster_spectra(source, scene, reporter), kind)
    counts = count_rules(source, scene, rules, reporter)
    if not counts.met.any():
        raise InputError(f"{source.path} labels no pixel that has values in {scene.path}; there is nothing to name")
    return rules, counts


def _why_order(scene: Scene) -> str:
    """What keeps the rules on reflectance from a scene."""
    missing = [name for name in NAMED if name not in map(str.casefold, scene.band_names)]
    if missing:
        return f"no band is named {' or '.join(missing)} (its band descriptions give names)"
    return f"its values are {scene.units}, not reflectance (--scale makes them that)"


def coloured(legend: Legend) -> Legend:
    """The legend with a colour for every class: its own, or the first default one that no class has yet."""
    taken = {item.colour.lower() for item in legend.classes if item.colour}
    filled = []
    for item in legend.classes:
        if not item.colour:
            candidates = (item.value, *range(1, 256))
            colour = next(colour for colour in map(default_colour, candidates) if colour not in taken)
            taken.add(colour)
            item = item.model_copy(update={"colour": colour})
        filled.append(item)
    return legend.model_copy(update={"classes": tuple(filled)})


def _named(source: LabelMap, truth: Reference, field: str | None, scene: Scene | None, reporter: Reporter) -> Legend:
    table = np.zeros((256, len(truth.classes) + 1), np.int64)
    with reporter.task("reference", source.grid.height) as task:
        for window, (labels, codes) in strips((source, truth), source.grid):
            table += contingency(labels, codes, 255, len(truth.classes))
            task.advance(window.height)
    check_touches(truth, table, source.grid)
    unnamed = table[1:].any(axis=1) & ~table[1:, 1:].any(axis=1)
    spectra = cluster_spectra(source, scene, reporter) if scene is not None and unnamed.any() else None
    made = {"by": "reference", **_origin(source), "reference": truth.path.name}
    made |= {"field": field} if field is not None else {}
    made |= _scene_of(scene) if scene is not None else {}
    return coloured(by_reference(table, truth.classes, _colours(truth), made, spectra))


def _colours(truth: Reference) -> list[str | None]:
    if isinstance(truth, RasterReference):
        return [truth.colours.get(int(value)) for value in truth.values]
    return [None for _ in truth.classes]


def _origin(source: LabelMap) -> dict[str, str]:
    return {"labels": source.path.name, "software": f"rsseg {rsseg.__version__}"}


def _scene_of(scene: Scene) -> dict[str, str]:
    return {"scene": scene.name, "bands": ", ".join(scene.band_names)}


def _check_enough(legend: Legend, classes: int, labels: Path) -> None:
    known = sum(not item.unknown for item in legend.classes)
    if known < classes:
        raise UsageError(f"{labels} has {known} clusters in the scene, too few for {classes} classes; lower --classes")
