"""``rsseg relabel``: a label map of clusters becomes one of classes, or a model's maps do."""

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("relabel")
@click.argument("labels", metavar="LABELS|MODEL", type=options.FILE)
@click.option("--legend", type=options.FILE, required=True, help="A legend that rsseg legend made, or one like it.")
@options.output
@options.overwrite
@options.json_output
@options.common
def command(labels: Path, legend: Path, output: Path, overwrite: bool, as_json: bool, reporter: Reporter) -> None:
    """Write the label map LABELS with the classes, names and colours of a legend.

    Every cluster of the map needs a class in the legend; 0 (no data) stays 0. A model (.safetensors) in place of the
    map is written with the legend in it: rsseg segment with the new model then gives maps of the classes.
    """
    from rsseg.pipeline.class_names import is_model
    from rsseg.publish.tables import json_text

    write = _model if is_model(labels) else _map
    told, text = write(labels, legend, output, overwrite, reporter)
    click.echo(json_text(told) if as_json else text, nl=not as_json)


def _map(labels: Path, legend: Path, output: Path, overwrite: bool, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from rsseg.label.legend import in_a_line
    from rsseg.pipeline.stages.relabel import relabel

    result = relabel(labels, legend, output, overwrite=overwrite, reporter=reporter)
    total = sum(result.pixels.values())
    shares = [f"{in_a_line(result.classes[value])} {count / total:.1%}" for value, count in result.pixels.items()]
    return result.as_dict(), f"{output}: {total} labelled, {result.nodata} without data; {'; '.join(shares)}"


def _model(labels: Path, legend: Path, output: Path, overwrite: bool, reporter: Reporter) -> tuple[dict[str, Any], str]:
    from rsseg.label.legend import in_a_line
    from rsseg.pipeline.stages.relabel_model import name_model

    result = name_model(labels, legend, output, overwrite=overwrite)
    names = ", ".join(map(in_a_line, result.classes.values()))
    said = f"{output}: the model's {result.clusters} clusters are {len(result.classes)} classes ({names})"
    if result.added:
        lacking = ", ".join(map(str, result.added))
        said += f"\nthe legend has no class for cluster {lacking}, as the map that it is of has no pixel of it: unknown"
    return result.as_dict(), f"{said}\nnext: rsseg segment SCENE --model {output} -o classes.tif"
