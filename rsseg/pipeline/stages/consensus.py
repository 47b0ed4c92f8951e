"""The stage ``consensus``: label maps of one place against each other and, if there is one, against a reference."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.errors import UsageError
from rsseg.files import write_text
from rsseg.label.agreement import VoteTally
from rsseg.label.comparison import Comparison, count
from rsseg.label.consensus import PairConsensus
from rsseg.label.consensus_frame import Frame, check_pivot, relate
from rsseg.label.consensus_reduction import Reduce
from rsseg.label.mapping import Assignment
from rsseg.label.maps import LabelMap, Resample
from rsseg.label.reference import Reference, open_reference
from rsseg.label.scores import ReferenceConsensus, assignments, class_codes, reference_consensus
from rsseg.pipeline.folders import result_folder
from rsseg.pipeline.made_from import made_from
from rsseg.pipeline.stages.consensus_rasters import AGREEMENT, COUNT, ENTROPY, UNANIMOUS, VOTE, write_rasters
from rsseg.pipeline.stages.consensus_tables import mean_matrix, write_pairs, write_reference
from rsseg.progress import SILENT, Reporter
from rsseg.publish.tables import json_text
from rsseg.scene.raster import CACHE_BYTES

__all__ = ["AGREEMENT", "COUNT", "ENTROPY", "TABLE", "UNANIMOUS", "VOTE", "Consensus", "consensus"]

TABLE = "consensus.json"


@dataclass(frozen=True)
class Consensus:
    """How far several maps agree.

    ``pairs`` compares every two maps, brought together as ``reduce`` asked and ``frame`` says; ``tables`` are their
    contingencies, (256, 256). ``agreement`` is the share of the ``pixels``, those valid in all maps, on which all say
    the same. ``clusters`` has each map's cluster names by value; for ``provenance`` see ``made_from``.
    """

    names: tuple[str, ...]
    pixels: int
    reduce: Reduce
    pairs: tuple[PairConsensus, ...]
    tables: tuple[np.ndarray, ...]
    frame: Frame
    agreement: float
    clusters: tuple[dict[int, str], ...]
    reference: ReferenceConsensus | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pivot(self) -> str:
        """The map in whose clusters the rasters are told."""
        return self.names[self.frame.pivot]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON but for NaN."""
        return {
            "maps": list(self.names),
            "pixels": self.pixels,
            "agreement": self.agreement,
            "reduction": {"asked": self.reduce, "used": self.frame.used, "pivot": self.pivot},
            "agreement_map": {
                "pivot": self.pivot,
                "disagree": self.frame.disagree,
                "values": {
                    name: {value: int(table[value]) or None for value in clusters}
                    for name, table, clusters in zip(self.names, self.frame.tables, self.clusters, strict=True)
                },
            },
            "clusters": dict(zip(self.names, self.clusters, strict=True)),
            "mean_matched_jaccard": mean_matrix(self.names, self.pairs).tolist(),
            "pairs": [pair.as_dict() for pair in self.pairs],
            "reference": self.reference.as_dict() if self.reference else None,
            "provenance": dict(self.provenance),
        }


def consensus(
    labels: Sequence[Path],
    output: Path,
    *,
    reference: Path | None = None,
    field: str | None = None,
    names: Sequence[str] | None = None,
    reduce: Reduce = "auto",
    pivot: str | None = None,
    resample: Resample | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Consensus:
    """Compare label maps; only pixels that all of them label count.

    Writes to the folder ``output``: ``consensus.json``; for every pair ``jaccard_A_B.csv`` and ``.png`` in matched
    order and ``clusters_A_B.csv`` in number order; ``pairs.csv``, ``matches.csv``, ``mean_jaccard.csv`` and ``.png``;
    in the pivot's clusters ``agreement.tif`` (with a value for "disagree"), ``unanimous.tif`` and, with more than two
    maps, ``vote.tif`` (what most say; the pivot decides between equals); ``agreement_count.tif`` (how many agree) and
    ``entropy.tif``; with a reference ``reference.csv``, ``reference_long.csv`` and one of classes for each assignment.
    The maps are read twice, in strips of 512 rows.

    Args:
        labels: two or more label maps; the first gives the grid.
        reference: polygons with a class ``field``, or a raster of classes.
        names: what the maps are called (default: the files' stems).
        reduce: how clusters are brought together before they are matched.
        pivot: the map in whose clusters the others are told (default: the first; of two, the one with fewer clusters).
        resample: "nearest" brings maps and reference rasters of other grids to the first map's.

    Raises: UsageError, InputError, GridError.
    """
    titles = _names(labels, names)
    check_pivot(pivot, titles)
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
        result = _compare(maps, truth, reduce, pivot, folder, reporter)
        result = replace(result, provenance=made_from(labels, reference))
        _write_tables(result, folder)
    return result


def _compare(
    maps: Sequence[LabelMap],
    truth: Reference | None,
    reduce: Reduce,
    pivot: str | None,
    folder: Path,
    reporter: Reporter,
) -> Consensus:
    counted = count(maps, truth, reporter)
    for note in truth.notes if truth is not None else ():
        reporter.say(note)
    related = relate(maps, counted, reduce, pivot)
    tallies = _tallies(maps, counted, truth)
    agreed = write_rasters(maps, truth, related.frame, list(tallies.values()), folder, reporter)
    clusters = tuple(
        {value: item.title(value) for value in values} for item, values in zip(maps, counted.clusters, strict=True)
    )
    names = tuple(item.name for item in maps)
    scores = reference_consensus(names, truth.classes, counted.reference, tallies) if truth is not None else None
    tables = tuple(counted.tables.values())
    share = agreed / counted.pixels
    return Consensus(names, counted.pixels, reduce, related.pairs, tables, related.frame, share, clusters, scores)


def _tallies(maps: Sequence[LabelMap], counted: Comparison, truth: Reference | None) -> dict[Assignment, VoteTally]:
    if truth is None:
        return {}
    named = [
        {value: item.names.get(value, "") for value in values}
        for item, values in zip(maps, counted.clusters, strict=True)
    ]
    return {
        way: VoteTally(
            [
                class_codes(table, way, names, truth.classes)
                for table, names in zip(counted.reference, named, strict=True)
            ],
            len(truth.classes),
        )
        for way in assignments(named, truth.classes)
    }


def _write_tables(result: Consensus, folder: Path) -> None:
    write_text(folder / TABLE, json_text(result.as_dict()))
    titles = dict(zip(result.names, result.clusters, strict=True))
    write_pairs(result.names, result.pairs, result.tables, titles, folder)
    if result.reference:
        write_reference(result.reference, folder)


def _names(labels: Sequence[Path], names: Sequence[str] | None) -> tuple[str, ...]:
    if len(labels) < 2:
        raise UsageError("consensus compares two or more label maps; only one was given")
    # a file's name may hold bytes that are no text
    chosen = (
        tuple(names) if names is not None else tuple(path.stem.encode(errors="replace").decode() for path in labels)
    )
    if len(chosen) != len(labels):
        raise UsageError(f"--names has {len(chosen)} names for {len(labels)} maps; give one for each")
    twice = [name for i, name in enumerate(chosen) if name in chosen[:i]]
    if twice:
        raise UsageError(f"two maps are called {twice[0]}; --names A,B,... tells them apart")
    return chosen
