"""``rsseg sample``: points to check a label map at, drawn at random."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli import options
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.sampling import Allocation
    from rsseg.pipeline.stages.sample import Sample


class Accuracy(click.ParamType):
    """A share, or CLASS=SHARE, as a tuple of the name (or None) and a float."""

    name = "[CLASS=]SHARE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str | None, float]:
        """Split at the last equals sign; names may have some."""
        if isinstance(value, tuple):
            return value
        title, sign, number = str(value).rpartition("=")
        try:
            share = float(number)
        except ValueError:
            self.fail(f"{value!r} is not an expected accuracy like 0.8 or water=0.95", param, ctx)
        if not 0 < share <= 1:
            self.fail(f"{share:g} is no accuracy; use a share above 0, up to 1", param, ctx)
        return (title if sign else None), share


@click.command("sample")
@click.argument("labels", type=options.FILE)
@options.output
@click.option("--size", type=click.IntRange(1), help="All points (default: by --standard-error).")
@click.option(
    "--allocation",
    type=click.Choice(["proportional", "equal", "neyman"]),
    default="proportional",
    show_default=True,
    help="Points by area, as many in each class, or by area and expected accuracy.",
)
@click.option("--minimum", type=click.IntRange(2), default=50, show_default=True, help="Points of each class at least.")
@click.option(
    "--expected-accuracy",
    type=Accuracy(),
    multiple=True,
    help="User's accuracy to expect: of all classes (0.85 if not given), or of one; may stand several times.",
)
@click.option(
    "--standard-error",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=0.01,
    show_default=True,
    help="Standard error of the overall accuracy that the sample's size aims at.",
)
@options.seed
@options.overwrite
@options.json_output
@options.common
def command(
    labels: Path,
    output: Path,
    size: int | None,
    allocation: "Allocation",
    minimum: int,
    expected_accuracy: tuple[tuple[str | None, float], ...],
    standard_error: float,
    seed: int,
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Draw random points from each class of the label map LABELS, to look at and fill in what is there.

    Fill the field "reference" with the class seen at each point; rsseg evaluate LABELS --reference POINTS then
    estimates accuracy and area with confidence intervals. Points are written as a GeoPackage or as a table (.csv).
    """
    from rsseg.pipeline.stages.sample import sample
    from rsseg.publish.tables import json_text

    result = sample(
        labels,
        output,
        size=size,
        allocation=allocation,
        minimum=minimum,
        usual=next((share for name, share in reversed(expected_accuracy) if name is None), None),
        expected={name: share for name, share in expected_accuracy if name is not None},
        error=standard_error,
        seed=seed,
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result, labels), nl=not as_json)


def _text(result: "Sample", labels: Path) -> str:
    from rsseg.label.legend import in_a_line

    strata = result.design.strata
    names = [in_a_line(stratum.name) for stratum in strata]
    total = sum(stratum.pixels for stratum in strata)
    width = max(5, *map(len, names))
    lines = [f"{result.output}: {result.points} points in {len(strata)} classes"]
    lines.append(f"  {'class':<{width}}  points   of the map's pixels")
    for name, stratum in zip(names, strata, strict=True):
        lines.append(f"  {name:<{width}}  {stratum.points:<7}  {stratum.pixels / total:.2%}")
    lines.append('next: fill the field "reference" with the class seen at each point, without looking at map_class;')
    lines.append(f"then: rsseg evaluate {labels} --reference {result.output}")
    return "\n".join(lines)
