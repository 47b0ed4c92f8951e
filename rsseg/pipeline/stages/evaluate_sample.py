"""The part of the stage ``evaluate`` that estimates accuracy and area from the points of ``rsseg sample``."""

from pathlib import Path

import numpy as np

from rsseg.errors import InputError
from rsseg.label.area import estimate
from rsseg.label.counting import count
from rsseg.label.mapping import BY_COUNTS, Assignment, assign
from rsseg.label.metrics.confusion import confusion
from rsseg.label.numbered import NumberedMap
from rsseg.label.points import PointReference
from rsseg.label.sample_design import FIELD, SampleDesign, TablePoints, read_points
from rsseg.label.sampling import Census, take_census
from rsseg.pipeline.stages.evaluation import Compared, Estimates, Evaluation
from rsseg.progress import Reporter


def evaluate_sample(
    source: NumberedMap,
    path: Path,
    design: SampleDesign,
    field: str | None,
    mapping: tuple[Assignment, ...] | None,
    reporter: Reporter,
) -> Evaluation:
    """Score the map that was sampled, and estimate its accuracy and the classes' areas.

    Raises: InputError if it is another map, if points were moved to other strata, or if a stratum has fewer than two
    points with a class.
    """
    census = take_census(source, reporter)
    _check_map(source, census, design, path)
    points = read_points(path, field or FIELD)
    _check_points(points, path)
    truth = PointReference(path, source.grid, points.rows, points.cols, points.field, np.arange(len(points.rows)))
    codes = np.searchsorted(source.values, census.values)
    table = count(source, truth, reporter)
    _check_strata(table, codes, design, path)
    names = [source.given_name(int(code)) for code in codes]
    seen = truth.classes
    chosen = mapping or (("names",) if set(names) & set(seen) else BY_COUNTS)
    # a class of the map that no point showed has an accuracy and an area too
    classes = tuple(dict.fromkeys((*seen, *(name for name in names if name)))) if chosen == ("names",) else seen
    counts = np.zeros((len(codes), len(classes)), np.int64)
    counts[:, : len(seen)] = table[codes, 1:]
    assigned = {name: assign(name, counts, names, classes) for name in chosen}
    found = {name: estimate(counts, census.shares, owners, classes, census.titles) for name, owners in assigned.items()}
    area = None if census.areas is None else float(census.areas.sum())
    return Evaluation(
        Compared.of(source, tuple(codes.tolist())),
        truth,
        classes,
        counts,
        0,
        {name: confusion(counts, owners, classes) for name, owners in assigned.items()},
        None,
        estimates=Estimates(design, points.unanswered, area, found),
    )


def _check_map(source: NumberedMap, census: Census, design: SampleDesign, path: Path) -> None:
    if census.sha256 != design.sha256:
        raise InputError(
            f"{source.path} is not the map that the points of {path} were drawn from ({design.labels}): its labels "
            "differ, so that the points are no random sample of it; evaluate that map, or draw points from this one"
        )

    if [(stratum.stratum, stratum.pixels) for stratum in design.strata] != list(
        zip(census.values, census.pixels.tolist(), strict=True)
    ):
        raise InputError(f"the table of strata in {path} is not the one that was drawn; draw the sample again")


def _check_points(points: TablePoints, path: Path) -> None:
    places = np.stack([points.rows, points.cols])
    if np.unique(places, axis=1).shape[1] < places.shape[1]:
        raise InputError(f"{path} has two points in one pixel, where each was drawn once; remove the copy")


def _check_strata(table: np.ndarray, codes: np.ndarray, design: SampleDesign, path: Path) -> None:
    """Refuse points that were added, or whose row or column was edited."""
    for found, stratum in zip(table[codes].sum(axis=1).tolist(), design.strata, strict=True):
        if found > stratum.points:
            problem = f"{path} has {found} points in {stratum.name}, but {stratum.points} were drawn there"
            raise InputError(f"{problem}; remove those that were added")
    if table[0].any():
        raise InputError(f"{path} has points where the map has no data, where none was drawn; remove them")
