"""``rsseg vectorize LABELS -o OUTPUT``."""

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("vectorize")
@click.argument("labels", type=options.FILE)
@options.output
@click.option("--mmu", type=float, metavar="M2", help="Smallest region in square metres; smaller ones are merged.")
@click.option("--mmu-pixels", type=click.IntRange(1), help="The same in pixels; 1 keeps all.  [default: 9]")
@click.option("--simplify", type=float, metavar="METRES", help="Smooth borders; neighbours keep common lines.")
@click.option("--simplify-pixels", type=float, help="The same in pixels; 1 straightens the pixels' steps.")
@click.option("--scene", type=options.SCENE, help="Add the mean of each band of this scene.")
@click.option("--confidence", type=options.FILE, help="Add the mean of this confidence raster.")
@options.bands
@options.scale
@options.aoi
@options.overwrite
@options.json_output
@options.common
def command(
    labels: Path,
    output: Path,
    scene: Path | None,
    confidence: Path | None,
    bands: tuple[str, ...] | None,
    scale: tuple[float, ...] | None,
    aoi: Path | None,
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
    **given: Any,
) -> None:
    """Write the regions of the label map LABELS as polygons with class, name, area and style.

    The format is that of OUTPUT's suffix: .gpkg, .parquet, .fgb, .shp or .geojson.
    """
    from rsseg.label.legend import in_a_line
    from rsseg.pipeline.stages.vectorize import VectorizeSettings, vectorize
    from rsseg.publish.tables import json_text

    result = vectorize(
        labels,
        output,
        VectorizeSettings(**given),
        scene=scene,
        confidence=confidence,
        bands=bands,
        scale=scale,
        aoi=aoi,
        overwrite=overwrite,
        reporter=reporter,
    )
    if as_json:
        click.echo(json_text(result.as_dict()), nl=False)
        return
    shares = "; ".join(f"{in_a_line(record['name'])} {record['share']:.1%}" for record in result.classes)
    merged = f", regions below {result.minimum} pixels merged" if result.minimum > 1 else ""
    click.echo(f"{output}: {result.count} polygons{merged}; {shares}")
