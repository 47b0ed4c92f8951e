"""``rsseg refine LABELS --scene SCENE -o OUTPUT``."""

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("refine")
@click.argument("labels", type=options.FILE)
@click.option("--scene", type=options.SCENE, required=True, help="The scene that LABELS was made of.")
@options.output
@click.option(
    "--method",
    type=click.Choice(["spectrum", "edges", "superpixels"]),
    default="spectrum",
    show_default=True,
    help="The likeliest label nearby, a vote of neighbours that look alike, or each superpixel's most frequent one.",
)
@click.option("--radius", type=int, help="Pixels to each side; a superpixel is 2 x radius + 1 wide.  [default: 3]")
@click.option("--strength", type=float, help="Times the noise that alike pixels differ by.  [default: 1; edges: 3]")
@click.option("--passes", type=int, help="Of edges: how often neighbours vote.  [default: 2]")
@click.option("--neighbours", type=float, help="Of spectrum: the say of the labels beside a pixel.  [default: 0.25]")
@options.bands
@options.scale
@options.aoi
@options.overwrite
@options.json_output
@options.common
def command(
    labels: Path,
    scene: Path,
    output: Path,
    bands: tuple[str, ...] | None,
    scale: tuple[float, ...] | None,
    aoi: Path | None,
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
    **given: Any,
) -> None:
    """Draw the boundaries of LABELS to where its scene changes.

    Values, names and colours stay; 0 (no data) stays 0. A confidence raster is still that of the labelling.
    """
    from rsseg.label.refine_settings import refine_settings
    from rsseg.pipeline.stages.refine import refine
    from rsseg.publish.tables import json_text

    settings = refine_settings(**given)
    seen: dict[str, Any] = {"bands": bands, "scale": scale, "aoi": aoi}
    result = refine(labels, scene, output, settings, **seen, overwrite=overwrite, reporter=reporter)
    if as_json:
        click.echo(json_text(result.as_dict()), nl=False)
        return
    total = sum(result.pixels.values())
    share = f"{result.changed / max(1, total):.1%}"
    click.echo(f"{output}: {total} labelled, {result.nodata} without data; {share} have another label than before")
