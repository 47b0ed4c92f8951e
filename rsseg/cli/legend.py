"""``rsseg legend``: which clusters of a label map make which class."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options
from rsseg.cli.reference import field, part, resample, split_of
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.legend import Legend

LOW_SHARE, HIGH_DOUBT, FEW, SHOWN = 0.6, 0.4, 10, 10
"""From what share, doubt and number of pixels on a cluster's class is worth a look, and how many such are listed."""


@click.command("legend")
@click.argument("labels", type=options.FILE)
@options.output
@click.option("--reference", type=options.FILE, help="Polygons or points with a class, or a raster of classes.")
@field
@part
@click.option("--like", type=options.FILE, help="A label map with names, whose classes the clusters get.")
@click.option("--like-scene", type=options.SCENE, help="The scene of --like, where that map is of another place.")
@click.option("--scene", type=options.SCENE, help="The scene of the map, for the spectra of its clusters.")
@click.option("--classes", type=click.IntRange(1, 255), help="Classes to merge clusters of similar spectra into.")
@options.bands
@options.scale
@options.aoi
@resample
@options.overwrite
@options.json_output
@options.common
def command(
    labels: Path,
    output: Path,
    part: Any,
    fit_share: float,
    split_seed: int,
    as_json: bool,
    reporter: Reporter,
    **given: Any,
) -> None:
    """Say which clusters of the label map LABELS make which class, in a YAML file for rsseg relabel.

    With --reference each cluster gets the class that it mostly lies on. With --scene alone each is named by what most
    of its pixels look like, such as "water-like". With --scene and --classes N, clusters of similar spectra become N
    classes. With --reference and --scene, clusters without a reference pixel get the class of the nearest spectrum.
    With --like MAP each cluster gets the class of that map that it mostly lies on, with its name, colour and value;
    with --like MAP --like-scene ITS_SCENE --scene SCENE, the class of the nearest spectrum, also of another place.
    The file is there to be edited: names, colours, lists of clusters.
    """
    from rsseg.pipeline.stages.legend import legend
    from rsseg.publish.tables import json_text

    result = legend(labels, output, split=split_of(part, fit_share, split_seed), reporter=reporter, **given)
    click.echo(json_text(result.as_dict()) if as_json else _text(result, labels, output), nl=not as_json)


def _text(result: "Legend", labels: Path, output: Path) -> str:
    lines = _looks(result, labels) if result.made.get("by") == "rules" else _merged(result, labels, output)
    held_out = [f"held out: {result.made['held out']}"] if "held out" in result.made else []
    return "\n".join(
        [*lines, *held_out, f"next: edit {output}, then rsseg relabel {labels} --legend {output} -o CLASSES.tif"]
    )


def _looks(result: "Legend", labels: Path) -> Iterator[str]:
    """Clusters by the rules that their pixels meet."""
    from rsseg.label.legend import in_a_line

    width = max(len(in_a_line(item.name)) for item in result.classes)
    yield f"{labels}: {len(result.classes)} clusters, named by what their pixels look like"
    yield f"  cluster  {'name':{width}}  meet the rule      pixels"
    for item in result.classes:
        found = result.evidence[item.value]
        share = "no value" if found.share is None else f"{100 * found.share:.1f} %"
        yield f"  {item.value:7}  {in_a_line(item.name):{width}}  {share:>13}  {found.pixels:10}"
    yield "the share tells how uniform a cluster looks; it is no accuracy"


def _merged(result: "Legend", labels: Path, output: Path) -> list[str]:
    """Classes with their clusters."""
    from rsseg.label.legend import in_a_line

    clusters = sum(len(item.clusters) for item in result.classes)
    lines = [f"{labels}: {clusters} clusters in {len(result.classes)} classes"]
    for item in result.classes:
        shown = ", ".join(map(str, item.clusters)) or "no cluster"
        lines.append(f"  {item.value} {in_a_line(item.name)}{' (unknown)' if item.unknown else ''}: {shown}")
    doubtful = [text for item in result.classes for text in _doubtful(result, in_a_line(item.name), item.clusters)]
    lines += ["worth a look:", *(f"  {text}" for text in doubtful[:SHOWN])] if doubtful else []
    lines += [f"  and {len(doubtful) - SHOWN} more; {output} has the evidence"] if len(doubtful) > SHOWN else []
    return lines


def _doubtful(result: "Legend", name: str, clusters: tuple[int, ...]) -> Iterator[str]:
    from rsseg.label.legend import in_a_line

    what = "pixels on the other map" if result.made.get("by") == "map" else "reference pixels"
    for cluster in clusters:
        found = result.evidence[cluster]
        if found.share is not None and found.share < LOW_SHARE:
            odds = found.doubt / (1 - found.doubt) if found.doubt is not None else 0.0
            also = f", {found.share * odds:.0%} are {in_a_line(found.next)}" if found.next else ""
            yield f"cluster {cluster} in {name}: only {found.share:.0%} of its {found.pixels} {what} are{also}"
        elif found.share is not None and found.pixels < FEW:
            yield f"cluster {cluster} in {name}: only {found.pixels} {what} say so"
        elif found.doubt is not None and found.doubt > HIGH_DOUBT:
            yield f"cluster {cluster} in {name}: another class is about as similar (doubt {found.doubt:.2f})"
