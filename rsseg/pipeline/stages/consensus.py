"""The stage ``consensus``: label maps of one place against each other and, if there is one, against a reference."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.errors import UsageError
from rsseg.files import write_text
from rsseg.label.agreement import VoteTally, agreement, translation
from rsseg.label.comparison import Comparison, common_strips, count
from rsseg.label.consensus import PairConsensus
from rsseg.label.maps import LabelMap, Resample
from rsseg.label.reference import Reference, open_reference
from rsseg.label.scores import ASSIGNMENTS, Assignment, ReferenceConsensus, class_codes, reference_consensus
from rsseg.pipeline.folders import result_folder
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import LabelClass, LabelMapWriter
from rsseg.publish.palette import default_colour
from rsseg.publish.quicklook import picture_matrix
from rsseg.publish.tables import json_text, matrix_csv, records_csv
from rsseg.scene.raster import CACHE_BYTES

DISAGREE_COLOUR = "#d0d0d0"

AGREEMENT, COUNT, VOTE = "agreement.tif", "agreement_count.tif", "vote.tif"
TABLE, REFERENCE = "consensus.json", "reference.csv"


@dataclass(frozen=True)
class Consensus:
    """How far several maps agree.

    ``pairs`` compares every two maps; ``agreement`` is the share of the ``pixels``, those valid in all maps, on which
    the matched clusters of all are one; ``disagree`` is the value of the others in the agreement map. ``clusters`` has
    each map's cluster names by value.
    """

    names: tuple[str, ...]
    pixels: int
    pairs: tuple[PairConsensus, ...]
    agreement: float
    disagree: int
    clusters: tuple[dict[int, str], ...]
    reference: ReferenceConsensus | None = None

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON but for NaN."""
        return {
            "maps": list(self.names),
            "pixels": self.pixels,
            "agreement": self.agreement,
            "agreement_map": {"pivot": self.names[0], "disagree": self.disagree},
            "clusters": dict(zip(self.names, self.clusters, strict=True)),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "reference": self.reference.as_dict() if self.reference else None,
        }


def consensus(
    labels: Sequence[Path],
    output: Path,
    *,
    reference: Path | None = None,
    field: str | None = None,
    names: Sequence[str] | None = None,
    resample: Resample | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Consensus:
    """Compare label maps; only pixels that all of them label count.

    Writes to the folder ``output``: ``consensus.json``; for every pair ``jaccard_A_B.csv`` and ``.png`` in matched
    order; ``agreement.tif`` (the first map's cluster where all agree); with more than two maps ``agreement_count.tif``
    (how many agree) and ``vote.tif`` (what most say, in the first map's clusters, which decides between equals); with
    a reference ``reference.csv``. The maps are read twice, in strips of 512 rows.

    Args:
        labels: two or more label maps; the first gives the grid.
        reference: polygons with a class ``field``, or a raster of classes.
        names: what the maps are called (default: the files' stems).
        resample: "nearest" brings maps and reference rasters of other grids to the first map's.

    Raises: UsageError, InputError, GridError.
    """
    titles = _names(labels, names)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        inputs = [*labels, *([reference] if reference is not None else [])]
        folder = stack.enter_context(result_folder(output, TABLE, inputs, overwrite))
        maps = [stack.enter_context(LabelMap(labels[0], titles[0]))]
        for path, name in zip(labels[1:], titles[1:], strict=True):
            maps.append(stack.enter_context(LabelMap(path, name, maps[0].grid, resample)))
        truth = None
        if reference is not None:
            truth = stack.enter_context(open_reference(reference, maps[0].grid, labels[0], field, resample))
        result = _compare(maps, truth, folder, reporter)
        _write_tables(result, folder)
    return result


def _compare(maps: Sequence[LabelMap], truth: Reference | None, folder: Path, reporter: Reporter) -> Consensus:
    counted = count(maps, truth, reporter)
    if counted.largest == 255:
        raise UsageError(f"{maps[0].path} uses the value 255, which leaves none for 'disagree'; put another map first")
    disagree = counted.largest + 1
    tallies: dict[Assignment, VoteTally] = {}
    if truth is not None:
        tallies = {
            assignment: VoteTally([class_codes(table, assignment) for table in counted.reference], len(truth.classes))
            for assignment in ASSIGNMENTS
        }
    agreed = _write_agreement(maps, truth, counted, tallies, folder, reporter)
    clusters = tuple({value: item.title(value) for value in _clusters(counted, item.name)} for item in maps)
    names = tuple(item.name for item in maps)
    scores = reference_consensus(names, truth.classes, counted.reference, tallies) if truth is not None else None
    return Consensus(names, counted.pixels, counted.pairs, agreed / counted.pixels, disagree, clusters, scores)


def _write_agreement(
    maps: Sequence[LabelMap],
    truth: Reference | None,
    counted: Comparison,
    tallies: dict[Assignment, VoteTally],
    folder: Path,
    reporter: Reporter,
) -> int:
    """The second pass: the agreement map, the count of agreeing maps, their vote; returns the agreeing pixels."""
    tables = [translation(pair) for pair in counted.pairs[: len(maps) - 1]]
    with ExitStack() as stack:
        writers = [stack.enter_context(_agreement_writer(maps, counted.largest, folder))]
        if len(maps) > 2:
            writers.append(stack.enter_context(_count_writer(maps, folder)))
            writers.append(stack.enter_context(_vote_writer(maps, counted.largest, folder)))
        for window, labels, codes in common_strips(maps, truth, reporter, "agreement"):
            layers = agreement(labels, tables, counted.largest + 1)
            for writer, layer in zip(writers, layers, strict=False):
                writer.write(layer, window)
            if codes is not None:
                known = (codes > 0) & (labels[0] > 0)
                for tally in tallies.values():
                    tally.add([values[known] for values in labels], codes[known])
    return int(writers[0].counts[1 : counted.largest + 1].sum())


def _agreement_writer(maps: Sequence[LabelMap], largest: int, folder: Path) -> LabelMapWriter:
    classes = [*_pivot_classes(maps[0], largest), LabelClass(largest + 1, "disagree", DISAGREE_COLOUR)]
    return LabelMapWriter(folder / AGREEMENT, maps[0].grid, classes, tags=_tags(maps))


def _vote_writer(maps: Sequence[LabelMap], largest: int, folder: Path) -> LabelMapWriter:
    return LabelMapWriter(folder / VOTE, maps[0].grid, _pivot_classes(maps[0], largest), tags=_tags(maps))


def _pivot_classes(pivot: LabelMap, largest: int) -> list[LabelClass]:
    return [
        LabelClass(value, pivot.title(value), pivot.colours.get(value, default_colour(value)))
        for value in range(1, largest + 1)
    ]


def _tags(maps: Sequence[LabelMap]) -> dict[str, str]:
    return {"maps": ", ".join(item.name for item in maps), "pivot": maps[0].name}


def _count_writer(maps: Sequence[LabelMap], folder: Path) -> LabelMapWriter:
    total = len(maps)
    shades = np.linspace(225, 40, total).astype(int)
    classes = [LabelClass(1, "no two maps agree", "#{0:02x}{0:02x}{0:02x}".format(shades[0]))]
    classes += [
        LabelClass(n, f"{n} of {total} maps agree", "#{0:02x}{0:02x}ff".format(shades[n - 1]))
        for n in range(2, total + 1)
    ]
    tags = {"maps": ", ".join(item.name for item in maps)}
    return LabelMapWriter(folder / COUNT, maps[0].grid, classes, tags=tags)


def _write_tables(result: Consensus, folder: Path) -> None:
    write_text(folder / TABLE, json_text(result.as_dict()))
    titles = dict(zip(result.names, result.clusters, strict=True))
    for number, pair in enumerate(result.pairs):
        rows = [titles[pair.first][value] for value in pair.rows]
        columns = [titles[pair.second][value] for value in pair.cols]
        stem = _stem(result.pairs, number)
        corner = f"rows {pair.first}, columns {pair.second}"
        write_text(folder / f"{stem}.csv", matrix_csv(pair.jaccard, rows, columns, corner))
        picture_matrix(
            pair.jaccard,
            rows,
            columns,
            folder / f"{stem}.png",
            title=f"Jaccard similarity: mean of {pair.matched} matches {pair.mean_jaccard:.3f}",
            row_title=pair.first,
            column_title=pair.second,
            framed=pair.matched,
        )
    if result.reference:
        write_text(folder / REFERENCE, records_csv(result.reference.records()))


def _clusters(counted: Comparison, name: str) -> list[int]:
    """The clusters of a map that occur in a comparison, sorted."""
    found: set[int] = set()
    for pair in counted.pairs:
        found |= set(pair.rows if pair.first == name else pair.cols if pair.second == name else ())
    return sorted(found)


def _stem(pairs: Sequence[PairConsensus], number: int) -> str:
    """A file name for a pair; names that would make the same one, or hostile ones, are told apart by number."""
    stems = [f"jaccard_{_word(pair.first)}_{_word(pair.second)}" for pair in pairs]
    return stems[number] if stems.count(stems[number]) == 1 else f"{stems[number]}_{number + 1}"


def _word(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[:60]


def _names(labels: Sequence[Path], names: Sequence[str] | None) -> tuple[str, ...]:
    if len(labels) < 2:
        raise UsageError("consensus compares two or more label maps; only one was given")
    chosen = tuple(names) if names is not None else tuple(path.stem for path in labels)
    if len(chosen) != len(labels):
        raise UsageError(f"--names has {len(chosen)} names for {len(labels)} maps; give one for each")
    twice = [name for i, name in enumerate(chosen) if name in chosen[:i]]
    if twice:
        raise UsageError(f"two maps are called {twice[0]}; --names A,B,... tells them apart")
    return chosen
