"""``rsseg zonal LABELS --zones POLYGONS -o TABLE``."""

from pathlib import Path

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("zonal")
@click.argument("labels", type=options.FILE)
@click.option("--zones", type=options.FILE, required=True, help="Polygons, in any CRS: districts, fields, ...")
@options.output
@click.option("--field", help="The field that names the zones.  [default: numbered from 1]")
@options.overwrite
@options.json_output
@options.common
def command(
    labels: Path, zones: Path, output: Path, field: str | None, overwrite: bool, as_json: bool, reporter: Reporter
) -> None:
    """Write what the label map LABELS holds within each polygon: pixels, area and share of every class.

    OUTPUT is a table (.csv), or a .gpkg or .parquet with the polygons.
    """
    from rsseg.pipeline.stages.zonal import zonal
    from rsseg.publish.tables import json_text

    result = zonal(labels, zones, output, field=field, overwrite=overwrite, reporter=reporter)
    if as_json:
        click.echo(json_text(result.as_dict()), nl=False)
        return
    click.echo(f"{output}: {len(result.records)} zones, {len(result.classes)} classes")
