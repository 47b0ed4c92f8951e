"""The options by which ``info`` and ``toa`` choose among calibrations."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, get_args

import click

from rsseg.cli.options import Numbers
from rsseg.scene.radiometry import Calibration, Quantity, RadianceFrom, Solar

Command = TypeVar("Command", bound=Callable[..., Any])

fill = click.option(
    "--fill",
    type=click.Choice(["all", "any"]),
    help="Pixels of a product without data: all bands 0, or any band 0 (default: as its supplier defines it).",
)


def calibration_options(function: Command) -> Command:
    """Add the choices and hand the command one ``calibration`` made from them."""

    @click.option(
        "--quantity",
        type=click.Choice(get_args(Quantity)),
        default="reflectance",
        show_default=True,
        help="Top-of-atmosphere reflectance, or radiance in W m-2 sr-1 um-1.",
    )
    @click.option(
        "--radiance-from",
        type=click.Choice(get_args(RadianceFrom)),
        default="lmax",
        show_default=True,
        help="Radiance of the largest DN, where a product gives two.",
    )
    @click.option(
        "--solar",
        type=click.Choice(get_args(Solar)),
        default="thuillier",
        show_default=True,
        help="Solar spectrum behind the built-in ESUN.",
    )
    @click.option("--esun", type=Numbers(), help="Own ESUN in mW cm-2 um-1, one for each band in use.")
    @click.option("--dn-max", type=float, help="The DN of Lmax (default: 2^BitsPerPixel - 1).")
    @wraps(function)
    def wrapped(
        *args: Any,
        quantity: Quantity,
        radiance_from: RadianceFrom,
        solar: Solar,
        esun: tuple[float, ...] | None,
        dn_max: float | None,
        **options: Any,
    ) -> Any:
        return function(*args, calibration=Calibration(quantity, radiance_from, solar, esun, dn_max), **options)

    return wrapped  # type: ignore[return-value]
