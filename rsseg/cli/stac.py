"""``rsseg stac RUN``: a run as a STAC catalogue."""

import json
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options


@click.command("stac")
@click.argument("run", type=options.FILE)
@click.option("-o", "--output", type=options.FILE, help="The catalogue's folder.  [default: RUN/stac]")
@click.option("--datetime", "time", help="When the scenes were taken that do not say it, as 2018-10-02T02:28:28Z.")
@options.overwrite
@options.json_output
@options.common
def command(run: Path, output: Path | None, as_json: bool, reporter: Any, **given: Any) -> None:
    """Write a static STAC catalogue of RUN, a folder that rsseg run or rsseg map wrote.

    An item a scene, an item a label map and an item a model, which refer to the run's files by relative addresses.
    """
    from rsseg.pipeline.stages.stac import stac

    result = stac(run, output, reporter=reporter, **given)
    if as_json:
        click.echo(json.dumps(result.as_dict()))
        return
    click.echo(f"{result.catalog}: {len(result.items)} items")
    if result.undated:
        click.echo(f"not dated: {', '.join(result.undated)}; --datetime says when they were taken")
