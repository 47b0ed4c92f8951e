"""Options of the commands that compare label maps."""

import click

field = click.option("--field", metavar="NAME", help="The field of the reference polygons that holds the class.")
resample = click.option(
    "--resample",
    type=click.Choice(["nearest"]),
    help="Bring rasters of another grid to the first map's (default: refuse them).",
)
