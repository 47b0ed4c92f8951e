"""``rsseg segment SCENE --model MODEL -o LABELS``."""

import json
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options


@click.command("segment")
@click.argument("scene", type=options.SCENE)
@click.option("--model", type=options.FILE, required=True, help="A model that rsseg train wrote.")
@options.output
@click.option("--confidence", type=options.FILE, help="Also write the mean vote of each winner here.")
@click.option("--stride", type=click.IntRange(1), help="Step between patches (default: the training's).")
@click.option("--resolution", type=click.Choice(["pixel", "patch"]), default="pixel", show_default=True)
@click.option("--clusters", is_flag=True, help="The model's own clusters, whatever legend it was given.")
@options.bands
@options.scale
@options.bounds
@options.aoi
@options.batch
@options.precision
@click.option(
    "--approximate",
    is_flag=True,
    help="Faster where patches overlap: leave out those between others that agree; some labels differ.",
)
@options.device
@options.threads
@options.memory
@options.overwrite
@options.json_output
@options.common
def command(scene: Path, model: Path, output: Path, as_json: bool, reporter: Any, **given: Any) -> None:
    """Label SCENE with a trained model.

    The map is a Cloud Optimized GeoTIFF (0 = no data, 1..K = clusters) with a palette, an attribute table and a QGIS
    style beside it. A model that rsseg relabel gave a legend writes its classes instead of clusters.
    """
    from rsseg.label.legend import in_a_line
    from rsseg.pipeline.stages.segment import segment

    result = segment(scene, model, output, reporter=reporter, **given)
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    total = sum(result.pixels.values())
    titles = {value: str(value) for value in result.pixels} | {
        value: in_a_line(name) for value, name in result.classes.items() if name != f"cluster {value}"
    }
    shares = ", ".join(f"{titles[value]}: {count / total:.1%}" for value, count in result.pixels.items())
    click.echo(f"{result.labels}: {total} labelled, {result.nodata} without data" + (f"; {shares}" if shares else ""))
    click.echo(f"next: open {result.labels} in a GIS, or rsseg evaluate {result.labels} --reference POLYGONS --field F")
