"""Legends from a reference: each cluster gets the class that it mostly lies on."""

from pathlib import Path

import numpy as np

from rsseg.label.counting import meetings
from rsseg.label.legend import Legend
from rsseg.label.maps import LabelMap, Resample
from rsseg.label.reduction import by_reference
from rsseg.label.reference import RasterReference, Reference, check_touches, open_reference
from rsseg.label.spectra import spectra_of_unmet
from rsseg.label.split import Halves, Split
from rsseg.pipeline.stages.legend_rules import origin, scene_of
from rsseg.progress import SILENT, Reporter
from rsseg.publish.class_colours import coloured
from rsseg.scene.source import Scene

HELD_OUT = "held out"
"""The key under which a legend says how right it is where it was not made."""


def named_by_reference(
    source: LabelMap,
    reference: Path,
    field: str | None = None,
    split: Split | None = None,
    scene: Scene | None = None,
    resample: Resample | None = None,
    reporter: Reporter = SILENT,
) -> Legend:
    """The legend by a reference, or by one part of it; then with its accuracy on the other part.

    ``scene``: its spectra give clusters without a reference pixel a class. Raises: UsageError, InputError, GridError.
    """
    with open_reference(reference, source.grid, source.path, field, resample, split) as truth:
        legend = _named(source, truth, field, scene, reporter)
        halves = truth.halves
    if halves is None:
        return legend
    with open_reference(reference, source.grid, source.path, field, resample, halves.split.other) as held_out:
        return _scored(legend, source, held_out, reporter)


def _named(source: LabelMap, truth: Reference, field: str | None, scene: Scene | None, reporter: Reporter) -> Legend:
    table = meetings(source, truth, len(truth.classes), "reference", reporter)
    check_touches(truth, table, source.grid)
    for note in truth.notes:
        reporter.say(note)
    spectra = spectra_of_unmet(source, scene, table, reporter)
    made = {"by": "reference", **origin(source), "reference": truth.path.name}
    made |= {"field": field} if field is not None else {}
    made |= {"part": _part(truth.halves)} if truth.halves is not None else {}
    made |= scene_of(scene) if scene is not None else {}
    return coloured(by_reference(table, truth.classes, _colours(truth), made, spectra))


def _scored(legend: Legend, source: LabelMap, held_out: Reference, reporter: Reporter) -> Legend:
    """The legend with its accuracy on the other part of the reference, which named nothing."""
    table = meetings(source, held_out, len(held_out.classes), "held-out reference", reporter)[1:, 1:]
    names = {item.value: item.name for item in legend.classes}
    given = np.array([names.get(int(value), "") for value in legend.table[1:]], object)
    right = sum(int(table[given == name, code].sum()) for code, name in enumerate(held_out.classes))
    total = int(table.sum())
    if not total or held_out.halves is None:
        return legend
    units = f"{held_out.halves.kept} {held_out.halves.units}"
    told = f"accuracy {right / total:.3f} on {total} pixels of the {units} that named nothing"
    return legend.model_copy(update={"made": {**legend.made, HELD_OUT: told}})


def _part(halves: Halves) -> str:
    split = halves.split
    return f"{split.part} (share {split.share:g} for fit, seed {split.seed})"


def _colours(truth: Reference) -> list[str | None]:
    if isinstance(truth, RasterReference):
        return [truth.colours.get(int(value)) for value in truth.values]
    return [None for _ in truth.classes]
