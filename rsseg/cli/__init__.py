"""One thin click command a file, each calling one stage function.

Nothing heavy is imported here: a command's module is loaded when the command runs, so that ``rsseg --help`` needs
neither torch nor numpy.
"""

import importlib
import io
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Any, TextIO

import click

from rsseg import __version__
from rsseg.cli import log_json
from rsseg.cli.printable import one_line, printable, printable_output
from rsseg.errors import RssegWarning

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
    "batch": "Run a pipeline over an archive of scenes, and finish it.",
    "view": "The maps of a run in the browser.",
    "report": "One HTML page of a run: maps, spectra, curves, agreement, accuracy.",
    "stac": "A run as a STAC catalogue of its scenes and maps.",
    "simulate": "Make a LISS-IV product with known truth.",
    "doctor": "What this machine has, and what will not work.",
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

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; stopped ones end without the empty line that click prints on stderr."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise click.exceptions.Abort from stop

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
    log = log_json.JsonReporter() if log_json.wanted(words) else None
    warnings.simplefilter("always", RssegWarning)
    warnings.showwarning = _show_warning if log is None else _log_warning
    with suppress(ValueError):  # not in the main thread: whoever runs us there handles signals
        signal.signal(signal.SIGTERM, _terminated)
    with log_json.library_logs() if log else nullcontext():
        began, code = time.perf_counter(), _run(words, log)
        if log:
            command, seconds = next(iter(words), ""), round(time.perf_counter() - began, 3)
            log.event("done", "failed" if code else "done", command=command, exit_code=code, seconds=seconds)
    sys.exit(code)


def _run(words: list[str], log: log_json.JsonReporter | None) -> int:
    """Run a command; its exit code."""
    try:
        with printable_output():
            code = group.main(args=words, prog_name="rsseg", standalone_mode=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as problem:
        return _fail(problem, "--debug" in words, log)
    return code if isinstance(code, int) else 0


def _terminated(number: int, frame: object) -> None:
    """SIGTERM, as batch systems send it, ends like Ctrl-C: what is half-written is removed."""
    raise KeyboardInterrupt


def _fail(problem: BaseException, debug: bool, log: log_json.JsonReporter | None) -> int:
    from rsseg.cli.failures import STOPPED, failure_of

    failure = failure_of(problem)
    if log:
        where = {"traceback": traceback.format_exc()} if debug else {}
        log.event("error", failure.message, kind=failure.kind, exit_code=failure.exit_code, **where)
    elif isinstance(problem, click.ClickException):
        said = io.StringIO()
        problem.show(said)
        click.echo(printable(said.getvalue()), err=True, nl=False)
    else:
        if debug:
            click.echo(printable(traceback.format_exc()), err=True)
        # a terminal shows ^C where the line would begin
        begin = "\n" if failure.kind == STOPPED and sys.stderr.isatty() else ""
        click.echo(f"{begin}rsseg: {one_line(failure.message)}", err=True)
    return failure.exit_code


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
        click.echo(f"rsseg: warning: {one_line(str(message))}", err=True)


def _log_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """The same as an event."""
    if issubclass(category, RssegWarning):
        log_json.JsonReporter().event("warning", str(message), kind=category.__name__)
