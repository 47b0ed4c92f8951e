"""``rsseg view``: maps in the browser."""

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.cli.reference import field
from rsseg.progress import Reporter


@click.command("view")
@click.argument("target", metavar="RUN", type=options.FILE)
@click.option("--scene", type=options.SCENE, help="The scene of a single label map.")
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=options.FILE,
    help="Polygons, points or a raster of classes to show too; one for all scenes, or one a scene in order.",
)
@field
@options.bands
@options.scale
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to serve on, 0 for any (default: 8765 if it is free)."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@options.common
def command(target: Path, no_browser: bool, reporter: Reporter, **given: Any) -> None:
    """Show the maps of a run folder RUN, or a single label map, in the browser.

    The page is served to this machine only, until Ctrl-C. Clusters can be named and coloured in it; that writes a
    legend for rsseg relabel, and the page says the command.
    """
    from rsseg.pipeline.stages.view import view

    view(target, browser=not no_browser, ready=_tell, reporter=reporter, **given)


def _tell(url: str) -> None:
    click.echo(f"{url} (Ctrl-C stops)")
