"""One thin click command a file, each calling one stage function.

Nothing heavy is imported here: a command's module is loaded when the command runs, so that ``rsseg --help`` needs
neither torch nor numpy.
"""

import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import click

from rsseg import __version__
from rsseg.errors import RssegError, RssegWarning

COMMANDS = {
    "info": "What was recognised in SCENE, and its calibration.",
    "toa": "Digital numbers to top-of-atmosphere reflectance (or radiance).",
    "tile": "The patch catalogue of SCENE and its statistics.",
    "train": "Train METHOD on scenes without labels.",
    "segment": "Label SCENE with a trained model.",
    "consensus": "Compare label maps with each other and with a reference.",
    "sample": "Random points of a label map, to check it and estimate areas.",
    "evaluate": "Score a label map against a reference.",
    "legend": "Which clusters of a label map make which class.",
    "refine": "A label map's boundaries drawn to the edges of its scene.",
    "relabel": "A label map of clusters becomes one of classes, by a legend.",
    "vectorize": "Polygons of a label map, with names, areas and style.",
    "zonal": "What a label map holds within polygons: areas and shares of classes.",
    "map": "A named map of SCENE, without settings.",
    "run": "Run a whole pipeline over scenes.",
    "view": "The maps of a run in the browser.",
    "report": "One HTML page of a run: maps, spectra, curves, agreement, accuracy.",
    "stac": "A run as a STAC catalogue of its scenes and maps.",
    "simulate": "Make a LISS-IV product with known truth.",
}
"""Verb -> one line of help; the command is ``rsseg.cli.VERB:command``."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order of an analyst's work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of ``cmd_name``."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"rsseg.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from ``COMMANDS``, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="rsseg")
def group() -> None:
    """Land-cover maps from satellite scenes, without labels.

    A first map of a scene: rsseg map SCENE -o OUT
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a failure prints one line and exits with the code of its kind."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    warnings.simplefilter("always", RssegWarning)
    warnings.showwarning = _show_warning
    with suppress(ValueError):  # not in the main thread: whoever runs us there handles signals
        signal.signal(signal.SIGTERM, _terminated)
    try:
        code = group.main(args=words, prog_name="rsseg", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _fail("stopped; the same command goes on from what was finished (train: with --resume)", 130)
    except click.ClickException as problem:
        problem.show()
        code = problem.exit_code
    except RssegError as problem:
        code = _fail(str(problem), problem.exit_code, "--debug" in words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as problem:
        code = _unexpected(problem, "--debug" in words)
    sys.exit(code if isinstance(code, int) else 0)


def _terminated(number: int, frame: object) -> None:
    """SIGTERM, as batch systems send it, ends like Ctrl-C: what is half-written is removed."""
    raise KeyboardInterrupt


def _unexpected(problem: Exception, debug: bool) -> int:
    """An error that no code of ours foresaw: disk full, a driver's complaint, or a fault of rsseg."""
    reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
    where = f" ({problem.filename})" if isinstance(problem, OSError) and problem.filename else ""
    return _fail(f"{type(problem).__name__}: {reason}{where}; --debug shows where it happened", 1, debug)


def _fail(message: str, code: int, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"rsseg: {message}", err=True)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Our warnings as one line; those of libraries stay silent."""
    if issubclass(category, RssegWarning):
        click.echo(f"rsseg: warning: {message}", err=True)
