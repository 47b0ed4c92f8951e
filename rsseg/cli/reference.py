"""Options of the commands that compare label maps."""

from typing import TYPE_CHECKING

import click

from rsseg.cli.options import Command

if TYPE_CHECKING:
    from rsseg.label.split import Part, Split

field = click.option("--field", metavar="NAME", help="The field of the reference polygons or points with the class.")
resample = click.option(
    "--resample",
    type=click.Choice(["nearest"]),
    help="Bring rasters of another grid to the first map's (default: refuse them).",
)

_part = click.option(
    "--part",
    type=click.Choice(["fit", "score"]),
    help="Use one part of the reference: polygons and points are split whole, class by class, rasters by blocks.",
)
_share = click.option(
    "--fit-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="How much of the reference is part fit.",
)
_seed = click.option("--split-seed", type=int, default=0, show_default=True, help="Start of the random split.")


def part(function: Command) -> Command:
    """Add --part, --fit-share and --split-seed (arguments ``part``, ``fit_share``, ``split_seed``)."""
    return _part(_share(_seed(function)))


def split_of(part: "Part | None", fit_share: float, split_seed: int) -> "Split | None":
    """The split that the options of ``part`` ask for; None for the whole reference."""
    from rsseg.label.split import Split

    return None if part is None else Split(part, fit_share, split_seed)
