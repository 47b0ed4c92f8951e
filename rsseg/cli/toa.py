"""rsseg toa: digital numbers to top-of-atmosphere reflectance or radiance."""

import json
from pathlib import Path
from typing import Any, get_args

import click

from rsseg.cli import options
from rsseg.cli.calibration import calibration_options, fill
from rsseg.progress import Reporter
from rsseg.scene.formats import Compression, StoredType


@click.command("toa")
@click.argument("scene", type=options.SCENE)
@options.output
@options.bands
@calibration_options
@fill
@click.option(
    "--dtype",
    type=click.Choice(get_args(StoredType)),
    default="uint16",
    show_default=True,
    help="uint16: scale and offset are in the file; reflectance from -0.1 to 6.4534.",
)
@click.option("--clip", is_flag=True, help="Hold reflectance within 0 and 1 (bright targets are legitimately above).")
@options.bounds
@options.aoi
@click.option("--cog", is_flag=True, help="Write a cloud-optimised GeoTIFF, with overviews.")
@click.option("--compress", type=click.Choice(get_args(Compression)), default="deflate", show_default=True)
@options.overwrite
@options.json_output
@options.common
def command(scene: Path, output: Path, as_json: bool, reporter: Reporter, **choices: Any) -> None:
    """Convert the product SCENE to a GeoTIFF of top-of-atmosphere reflectance, or radiance.

    SCENE is a Resourcesat LISS-IV or LISS-III product, or a Landsat Level-1 product: a folder, a .zip that is read in
    place, or the metadata file in it.
    """
    from rsseg.pipeline.stages.toa import toa

    answer = toa(scene, output, reporter=reporter, **choices)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    stored = "" if answer["dtype"] == "float32" else f" = {answer['scale']:g} x count {answer['offset']:+g}"
    click.echo(
        f"{output}: {', '.join(answer['bands'])}; {answer['height']} x {answer['width']} pixels, "
        f"{answer['valid_share']:.1%} valid; {answer['units']}{stored}, {answer['dtype']}"
    )
