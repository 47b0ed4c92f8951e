"""The stage ``evaluate``: one label map against a reference."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio

from rsseg.errors import UsageError
from rsseg.label.counting import count
from rsseg.label.mapping import BY_COUNTS, Assignment, assign, choose
from rsseg.label.maps import Resample
from rsseg.label.metrics.confusion import confusion
from rsseg.label.numbered import NumberedMap
from rsseg.label.reference import PointReference, Reference, Split, open_reference
from rsseg.label.sample_design import read_design
from rsseg.label.segmentation_scores import Regions
from rsseg.pipeline.folders import result_folder
from rsseg.pipeline.made_from import made_from
from rsseg.pipeline.stages.evaluate_regions import Comparison, compare_segmentations
from rsseg.pipeline.stages.evaluate_sample import evaluate_sample
from rsseg.pipeline.stages.evaluation import Compared, Evaluation, Fit
from rsseg.pipeline.stages.evaluation_files import TABLE, write_evaluation
from rsseg.progress import SILENT, Reporter
from rsseg.scene.raster import CACHE_BYTES

__all__ = ["TABLE", "Evaluation", "evaluate"]


def evaluate(
    labels: Path,
    reference: Path,
    output: Path | None = None,
    *,
    field: str | None = None,
    mapping: tuple[Assignment, ...] | None = BY_COUNTS,
    resample: Resample | None = None,
    split: Split | None = None,
    held_out: bool = False,
    fit_reference: Path | None = None,
    regions: Regions = "classes",
    tile: int | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Evaluation:
    """Score a label map; pixels without a reference, or without a label, enter no score.

    Writes to the folder ``output``, if it is given: ``evaluation.json``, ``classes.csv`` (scores of each class),
    ``segmentation.csv`` (the mapped map as a segmentation), ``contingency.csv`` (clusters against classes), and for
    each mapping ``confusion_MAPPING.csv`` and ``.png``; of a sample also ``estimates_MAPPING.csv``. The map is read in
    strips of 512 rows, and once more for the segmentation scores: in strips of ``tile`` rows, or whole up to 64 million
    pixels. A map of more than a byte a pixel is read through before, to number its values.

    Args:
        reference: polygons or points with a class ``field``, a raster of classes, or the points of ``rsseg sample``,
            which give estimates of accuracy and area for the whole map.
        mapping: how clusters get classes: "names" (each the class of its name), "one-to-one" (Hungarian method on
            counts; clusters left over are errors), "many-to-one" (each cluster its majority class). None takes names
            where the map has the reference's, and both others where it has not.
        resample: "nearest" brings a reference raster of another grid to the map's.
        split: the part of the reference to score on.
        held_out: clusters get their classes on the other part.
        fit_reference: clusters get their classes on this reference, of the same ``field``.
        regions: what the segmentation scores take for a region: all pixels of a class, or its connected components.
        tile: average the segmentation scores over tiles of ``tile`` x ``tile`` pixels, as Ferreira et al. do with 200;
            the clusters' classes are those of the whole map. Tiles at the right and lower edge are smaller; tiles
            without a compared pixel do not count. None scores the whole raster; above 64 million pixels the boundary
            displacement error is then left out.

    Raises: UsageError, InputError, GridError.
    """
    inputs = [path for path in (labels, reference, fit_reference) if path is not None]
    _check_fit(split, held_out, fit_reference)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        folder = None
        if output is not None:
            folder = stack.enter_context(result_folder(output, TABLE, inputs, overwrite))
        source = stack.enter_context(NumberedMap(labels))
        comparison = Comparison(regions, tile)
        comparison.check(source.grid)
        design = read_design(reference)
        if design is not None:
            if split is not None or fit_reference is not None:
                raise UsageError(f"{reference} is a random sample, which is evaluated whole; leave out parts and fits")
            result = evaluate_sample(source, reference, design, field, mapping, reporter)
        else:
            truth = stack.enter_context(open_reference(reference, source.grid, labels, field, resample, split))
            fitted = _fitted(
                source, truth, field, resample, split if held_out else None, fit_reference, stack, reporter
            )
            result = _score(source, truth, fitted, mapping, comparison, reporter)
        result = replace(result, provenance=made_from([labels], reference))
        if folder is not None:
            write_evaluation(result, folder)
    return result


def _check_fit(split: Split | None, held_out: bool, fit_reference: Path | None) -> None:
    if held_out and fit_reference is not None:
        raise UsageError("--held-out and --fit-reference both say where clusters get their classes; choose one")
    if held_out and (split is None or split.part != "score"):
        raise UsageError("held-out scores are those of part score; leave out the part, or ask for that one")


def _fitted(
    source: NumberedMap,
    truth: Reference,
    field: str | None,
    resample: Resample | None,
    split: Split | None,
    other: Path | None,
    stack: ExitStack,
    reporter: Reporter,
) -> tuple[Reference, np.ndarray] | None:
    """The reference that clusters get their classes on, with its counts; None where the same one scores them."""
    if split is None and other is None:
        return None
    part = split.other if split is not None else None
    path = truth.path if other is None else other
    fitting = stack.enter_context(open_reference(path, source.grid, source.path, field, resample, part))
    return fitting, count(source, fitting, reporter)


def _score(
    source: NumberedMap,
    truth: Reference,
    fitted: tuple[Reference, np.ndarray] | None,
    mapping: tuple[Assignment, ...] | None,
    comparison: Comparison,
    reporter: Reporter,
) -> Evaluation:
    if isinstance(truth, PointReference) and (comparison.tile is not None or comparison.regions == "components"):
        raise UsageError(f"{truth.path} holds points, which make no regions; leave out --tile and --regions")
    table = count(source, truth, reporter)
    clusters = np.flatnonzero(table[1:, 1:].any(axis=1)) + 1
    fit_classes = truth.classes if fitted is None else fitted[0].classes
    classes = tuple(dict.fromkeys((*truth.classes, *fit_classes)))  # a class of the fit alone has no reference pixel
    counts = np.zeros((len(clusters), len(classes)), np.int64)
    counts[:, : len(truth.classes)] = table[clusters, 1:]
    names = [source.given_name(code) for code in range(len(source.values))]
    chosen = mapping or choose([names[code] for code in clusters], classes)
    fit = (fit_classes, (table if fitted is None else fitted[1])[:, 1:])
    confusions = {name: confusion(counts, _assigned(name, *fit, names, classes)[clusters], classes) for name in chosen}
    codes = tuple(int(code) for code in clusters)
    segmentation = None
    if not isinstance(truth, PointReference):
        segmentation = compare_segmentations(source, truth, codes, confusions, comparison, reporter)
    return Evaluation(
        Compared.of(source, codes),
        truth,
        classes,
        counts,
        int(table[0, 1:].sum()),
        confusions,
        segmentation,
        fit=None if fitted is None else Fit.of(*fitted),
        remarks=() if mapping is not None else _half_named([names[code] for code in clusters], classes, chosen),
    )


def _half_named(names: Sequence[str], classes: tuple[str, ...], chosen: tuple[Assignment, ...]) -> tuple[str, ...]:
    """Why a map with some of the reference's names is not scored by them."""
    strange = sorted(set(names) - set(classes) - {""})
    if chosen == ("names",) or not set(names) & set(classes) or not strange:
        return ()
    shown = ", ".join(strange[:5]) + (" and others" if len(strange) > 5 else "")
    return (f"not scored by names, since {shown} of the map is no class of the reference (--mapping names does)",)


def _assigned(
    name: Assignment, fit_classes: tuple[str, ...], counts: np.ndarray, names: Sequence[str], classes: tuple[str, ...]
) -> np.ndarray:
    """The class index that every code of the map gets, -1 for none: (codes,) int64.

    Args:
        counts: (codes, fit_classes) of the reference that clusters get their classes on.
        classes: those of the score; they hold all of ``fit_classes``.
    """
    found = np.full(len(counts), -1, np.int64)
    met = range(len(counts)) if name == "names" else (np.flatnonzero(counts[1:].any(axis=1)) + 1).tolist()
    owners = assign(name, counts[list(met)], [names[code] for code in met], fit_classes)
    position = np.array([classes.index(title) for title in fit_classes] + [-1])
    found[list(met)] = position[owners]
    return found
