"""``rsseg tile SCENE -o CATALOGUE``."""

import json
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options


@click.command("tile")
@click.argument("scene", type=options.SCENE)
@options.output
@click.option("--patch", type=click.IntRange(1), default=8, show_default=True, help="Side of a patch in pixels.")
@click.option("--stride", type=click.IntRange(1), default=8, show_default=True, help="Step between patches in pixels.")
@click.option("--export", type=options.FILE, help="Also write the training patches as chips into this folder.")
@options.bands
@options.scale
@options.aoi
@options.overwrite
@options.json_output
@options.common
def command(scene: Path, output: Path, as_json: bool, reporter: Any, **given: Any) -> None:
    """The patch catalogue of SCENE and its statistics, as GeoParquet.

    A row a patch: its place, its share of valid pixels, each band's mean and standard deviation, its box.
    """
    from rsseg.pipeline.stages.tile import tile

    result = tile(scene, output, reporter=reporter, **given)
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    click.echo(f"{result.catalogue}: {result.patches} patches, {result.training} of them at least 99 % valid")
    if result.chips:
        click.echo(f"{result.chips}: {result.training} chips")
