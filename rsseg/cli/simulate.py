"""rsseg simulate: a LISS-IV product with known truth."""

import json
from datetime import datetime
from pathlib import Path

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command(name="simulate")
@options.output
@click.option("--size", type=options.Size(), default="1024x1024", show_default=True, help="Full scenes: 16600x18000.")
@options.seed
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), default="2020-01-24", show_default=True, help="Day of the pass."
)
@click.option(
    "--shift",
    type=options.Numbers(2, 2, "ROWS,COLS"),
    default="0,0",
    show_default=True,
    help="Where in the simulated world the scene starts, in pixels; scenes of one seed overlap there.",
)
@click.option("--zip", "zipped", is_flag=True, help="One .zip instead of a folder.")
@options.overwrite
@options.json_output
@options.common
def command(
    output: Path,
    size: tuple[int, int],
    seed: int,
    day: datetime,
    shift: tuple[float, float],
    zipped: bool,
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Make a LISS-IV product of a simulated landscape, with its true classes and reference polygons beside it.

    It says GenAgency= SIMULATED. The land depends on the seed and the position alone, its look on the date too.
    """
    from rsseg.errors import UsageError
    from rsseg.pipeline.stages.simulate import simulate
    from rsseg.scene.simulate.product import Product

    if any(number != int(number) for number in shift):
        raise UsageError("--shift takes whole pixels, such as 200,-150")
    product = Product(size, seed, day.date(), (int(shift[0]), int(shift[1])))
    made = simulate(output, product, zipped=zipped, overwrite=overwrite, reporter=reporter)
    if as_json:
        paths = {key: str(getattr(made, key)) for key in ("product", "truth", "reference")}
        answer = {**paths, "valid": made.valid, "shares": made.shares, "polygons": made.polygons}
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(f"{made.product}: {size[0]} x {size[1]} pixels, {made.valid:.1%} of them valid")
    for name, share in made.shares.items():
        click.echo(f"  {name:10} {share:6.1%} {made.polygons.get(name, 0):4} polygons")
    click.echo(f"truth {made.truth}, reference polygons {made.reference}")
