"""``rsseg report RUN``: one page that shows a run."""

from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.progress import Reporter


@click.command("report")
@click.argument("run", type=options.FILE)
@click.option("-o", "--output", type=options.FILE, help="The page.  [default: RUN/report.html]")
@click.option(
    "--embedding",
    type=click.Choice(["pca", "tsne", "none"]),
    default="pca",
    show_default=True,
    help="How patches are shown in two dimensions.",
)
@options.overwrite
@options.json_output
@options.common
def command(run: Path, output: Path | None, as_json: bool, reporter: Reporter, **given: Any) -> None:
    """Make one HTML page of RUN, a folder that rsseg run or rsseg map wrote.

    The page is one file that opens in any browser, offline; its pictures are PNG files in a folder beside it.
    """
    from rsseg.pipeline.stages.report import report
    from rsseg.publish.tables import json_text

    result = report(run, output, reporter=reporter, **given)
    if as_json:
        click.echo(json_text(result.as_dict()), nl=False)
        return
    click.echo(f"{result.page}: {result.bytes / 1e6:.1f} MB, opens in a browser")
    click.echo(f"{len(result.pictures)} pictures: {result.page.with_suffix('')}")
