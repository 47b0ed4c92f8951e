"""Options and parameter types that several commands share, each declared once."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

SCENE = click.Path(path_type=Path)
"""A product folder, a .zip or a raster; ``scene`` says clearly when it is none of them."""

FILE = click.Path(path_type=Path)


class CommaList(click.ParamType):
    """Words separated by commas, as a tuple of texts."""

    name = "A,B,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split at commas; empty words are refused."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(","))
        if not all(words):
            self.fail(f"{value!r} has an empty name between its commas", param, ctx)
        return words


class Numbers(click.ParamType):
    """``minimum`` to ``maximum`` numbers separated by commas, as a tuple of floats."""

    def __init__(self, minimum: int = 1, maximum: int = 99, name: str = "X,Y,...") -> None:
        self.minimum, self.maximum, self.name = minimum, maximum, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Split at commas and read each as a number."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(word) for word in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers like {self.name}", param, ctx)
        if not self.minimum <= len(numbers) <= self.maximum:
            self.fail(f"{value!r} has {len(numbers)} numbers; {self.name} is wanted", param, ctx)
        return numbers


class Size(click.ParamType):
    """A raster size written HEIGHTxWIDTH, as a tuple (height, width)."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Read two positive integers around an x."""
        if isinstance(value, tuple):
            return value
        try:
            height, width = (int(word) for word in str(value).lower().split("x"))
        except ValueError:
            self.fail(f"{value!r} is not a size like 1024x1024 (rows x columns)", param, ctx)
        if height < 1 or width < 1:
            self.fail(f"{value!r} has no pixel", param, ctx)
        return height, width


class Memory(click.ParamType):
    """A memory size such as 2G, 512M or a number of bytes, as an integer of bytes."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a number with an optional K, M, G or T (powers of 1024)."""
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("IB").removesuffix("B")
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:], 1)
        try:
            size = int(float(text.rstrip("KMGT")) * factor)
        except (ValueError, OverflowError):
            size = 0
        if size < 1:
            self.fail(f"{value!r} is not a memory size like 2G or 512M", param, ctx)
        return size


class Duration(click.ParamType):
    """A time such as 90s, 30m, 2h, 1d or a number of seconds, as a float of seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a number with an optional s, m, h or d."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        factor = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(text[-1:], 1)
        try:
            seconds = float(text.rstrip("smhd")) * factor
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < math.inf:
            self.fail(f"{value!r} is not a time like 90s, 30m or 2h", param, ctx)
        return seconds


output = click.option("-o", "--output", type=FILE, required=True, help="Where the result goes.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
json_output = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON on stdout.")
bands = click.option(
    "--bands",
    type=CommaList(),
    help="Bands to use, by name or number (from 1), in this order: green,red,nir.",
)
scale = click.option(
    "--scale",
    type=Numbers(1, 2, "SCALE[,OFFSET]"),
    help="Reflectance = SCALE x value + OFFSET; overrides what the raster says.",
)
bounds = click.option(
    "--bounds",
    type=float,
    nargs=4,
    metavar="LEFT BOTTOM RIGHT TOP",
    help="Only this part of the scene, in its CRS (where it has none, in the units of its transform).",
)
aoi = click.option(
    "--aoi",
    type=FILE,
    metavar="POLYGONS",
    help="Only the part of the scene inside these polygons (a vector file of any CRS).",
)
device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, or auto.")
threads = click.option("--threads", type=click.IntRange(1), help="CPU threads (default: all cores).")
seed = click.option("--seed", type=int, default=0, show_default=True, help="Start of every random choice.")
precision = click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="bf16: faster where the processor has it; some labels differ.",
)
batch = click.option("--batch", type=click.IntRange(1), help="Patches in a batch.")
memory = click.option("--memory", type=Memory(), default="4G", show_default=True, help="Memory to stay within.")


def model_overrides(function: Command) -> Command:
    """Add the options that replace settings of every model of a pipeline."""
    for option in reversed(
        (
            click.option("--classes", type=click.IntRange(2, 255), help="Classes of every map."),
            click.option("--patch", type=click.IntRange(1), help="Side of a patch, of every model of patches."),
            click.option("--stride", type=click.IntRange(1), help="Step between patches, likewise."),
            click.option("--epochs", type=click.IntRange(1), help="Epochs, likewise."),
            click.option("--seed", type=int, help="Start of every random choice, of every model."),
        )
    ):
        function = option(function)
    return function


def common(function: Command) -> Command:
    """Add -v, -q, --log-json and --debug, and hand the command a ``reporter`` made from them."""
    from functools import wraps

    @click.option("-v", "--verbose", is_flag=True, help="Say how long each step took.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress, no notes.")
    @click.option("--log-json", is_flag=True, help="Each line on stderr is a JSON object (or RSSEG_LOG_JSON=1).")
    @click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
    @wraps(function)
    def wrapped(*args: Any, verbose: bool, quiet: bool, log_json: bool, debug: bool, **options: Any) -> Any:
        from rsseg.cli.log_json import JsonReporter, wanted

        if log_json or wanted():
            return function(*args, reporter=JsonReporter(quiet), **options)
        from rsseg.cli.progress import terminal_reporter

        return function(*args, reporter=terminal_reporter(quiet, verbose), **options)

    return wrapped  # type: ignore[return-value]
