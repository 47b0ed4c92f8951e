"""``rsseg consensus``: compare label maps with each other and with a reference."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli.options import FILE, CommaList, common, json_output, output, overwrite
from rsseg.cli.reference import field, resample
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.maps import Resample
    from rsseg.pipeline.stages.consensus import Consensus


@click.command("consensus")
@click.argument("labels", type=FILE, nargs=-1, required=True)
@output
@click.option("--reference", type=FILE, help="Polygons with a class or a raster of classes.")
@field
@click.option("--names", type=CommaList(), help="What the maps are called (default: the files' names).")
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
    resample: "Resample | None",
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Compare two or more label maps of one place: Jaccard tables, matched clusters, an agreement map.

    Of more than two maps their vote is a map too, vote.tif: what most of them say, in the clusters of the first.
    """
    from rsseg.pipeline.stages.consensus import consensus
    from rsseg.publish.tables import json_text

    result = consensus(
        labels,
        output,
        reference=reference,
        field=field,
        names=names,
        resample=resample,
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result, output), nl=not as_json)


def _text(result: "Consensus", output: Path) -> str:
    lines = [f"{result.pixels} pixels compared; the maps agree on {result.agreement:.1%} of them"]
    titles = dict(zip(result.names, result.clusters, strict=True))
    for pair in result.pairs:
        lines.append(f"{pair.first} and {pair.second}: mean Jaccard of the matches {pair.mean_jaccard:.4f}")
        for place, (row, col) in enumerate(pair.pairs):
            names = f"{titles[pair.first][row]} = {titles[pair.second][col]}"
            lines.append(f"  {pair.jaccard[place, place]:.4f}  {names}")
        for name, values in ((pair.first, pair.rows), (pair.second, pair.cols)):
            single = ", ".join(titles[name][value] for value in values[pair.matched :])
            lines += [f"  unmatched in {name}: {single}"] if single else []
    if result.reference:
        lines.append(f"Jaccard with the reference, mean of {len(result.reference.classes)} classes:")
        for record in result.reference.records():
            lines.append(f"  {record['mean']:.4f}  {record['kind']} {record['maps']} ({record['assignment']})")
    lines.append(f"written to {output}")
    return "\n".join(lines)
