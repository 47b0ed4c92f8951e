"""``rsseg relabel``: a label map of clusters becomes one of classes."""

from pathlib import Path

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("relabel")
@click.argument("labels", type=options.FILE)
@click.option("--legend", type=options.FILE, required=True, help="A legend that rsseg legend made, or one like it.")
@options.output
@options.overwrite
@options.json_output
@options.common
def command(labels: Path, legend: Path, output: Path, overwrite: bool, as_json: bool, reporter: Reporter) -> None:
    """Write the label map LABELS with the classes, names and colours of a legend.

    Every cluster of the map needs a class in the legend; 0 (no data) stays 0.
    """
    from rsseg.pipeline.stages.relabel import relabel
    from rsseg.publish.tables import json_text

    result = relabel(labels, legend, output, overwrite=overwrite, reporter=reporter)
    if as_json:
        click.echo(json_text(result.as_dict()), nl=False)
        return
    total = max(1, sum(result.pixels.values()))
    shares = "; ".join(f"{result.classes[value]} {count / total:.1%}" for value, count in result.pixels.items())
    click.echo(f"{output}: {sum(result.pixels.values())} labelled, {result.nodata} without data; {shares}")
