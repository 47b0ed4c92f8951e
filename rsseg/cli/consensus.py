"""``rsseg consensus``: compare label maps with each other and with a reference."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli.options import FILE, CommaList, common, json_output, output, overwrite
from rsseg.cli.reference import field, resample
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.consensus import PairConsensus
    from rsseg.label.consensus_reduction import Reduce
    from rsseg.label.maps import Resample
    from rsseg.pipeline.stages.consensus import Consensus
    from rsseg.pipeline.stages.consensus_tables import Titles

_LONGEST = 120
"""Letters of a group of clusters on the terminal."""


@click.command("consensus")
@click.argument("labels", type=FILE, nargs=-1, required=True)
@output
@click.option("--reference", type=FILE, help="Polygons or points with a class, or a raster of classes.")
@field
@click.option("--names", type=CommaList(), help="What the maps are called (default: the files' names).")
@click.option(
    "--reduce",
    type=click.Choice(["auto", "names", "overlap", "none"]),
    default="auto",
    show_default=True,
    help="How clusters are brought together. names: by class name. overlap: where the numbers of clusters differ, each "
    "of one map joins the one of the other that it overlaps most. none: the clusters left over have no match. "
    "auto: names where the files draw all classes from one list, else overlap.",
)
@click.option(
    "--pivot",
    metavar="NAME",
    help="The map in whose clusters the others are told (default: the first; of two, the one with fewer clusters).",
)
@resample
@overwrite
@json_output
@common
def command(
    labels: tuple[Path, ...],
    output: Path,
    reference: Path | None,
    field: str | None,
    names: tuple[str, ...] | None,
    reduce: "Reduce",
    pivot: str | None,
    resample: "Resample | None",
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Compare two or more label maps of one place: which clusters are the same, and where the maps agree.

    Writes Jaccard tables and heat maps of every two maps, and rasters in the clusters of one of them, the pivot: where
    all agree, how many do, how far they differ, and of more than two maps what most of them say (vote.tif).
    """
    from rsseg.pipeline.stages.consensus import consensus
    from rsseg.publish.tables import json_text

    result = consensus(
        labels,
        output,
        reference=reference,
        field=field,
        names=names,
        reduce=reduce,
        pivot=pivot,
        resample=resample,
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result, output), nl=not as_json)


def _text(result: "Consensus", output: Path) -> str:
    lines = [f"{result.pixels} pixels compared; the maps agree on {result.agreement:.1%} of them"]
    titles = dict(zip(result.names, result.clusters, strict=True))
    for pair in result.pairs:
        lines += _pair_lines(pair, titles)
    if result.reference:
        lines.append(f"Jaccard with the reference, mean of {len(result.reference.classes)} classes:")
        for record in result.reference.records():
            lines.append(f"  {record['mean']:.4f}  {record['kind']} {record['maps']} ({record['assignment']})")
    lines.append(f"written to {output}, the rasters in the clusters of {result.pivot}")
    return "\n".join(lines)


def _pair_lines(pair: "PairConsensus", titles: "Titles") -> list[str]:
    from rsseg.label.consensus import group_title, matched
    from rsseg.label.legend import in_a_line

    def said(group: tuple[int, ...], name: str) -> str:
        return in_a_line(group_title(group, titles[name]), _LONGEST)

    ways = {"one-to-one": "one to one", "overlap": "clusters joined by overlap", "names": "by class name"}
    mean = f"mean Jaccard {pair.mean_jaccard:.4f}"
    lines = [f"{pair.first} and {pair.second}, matched {ways[pair.way]}: {mean}"]
    for found, (rows, cols) in zip(matched(pair), pair.groups, strict=True):
        names = f"{said(rows, pair.first)} = {said(cols, pair.second)}"
        lines.append(f"  {found.jaccard:.4f}  {names}")
    for name, groups in ((pair.first, pair.row_groups), (pair.second, pair.col_groups)):
        single = ", ".join(said(group, name) for group in groups[pair.matched :])
        lines += [f"  unmatched in {name}: {single}"] if single else []
    return lines
