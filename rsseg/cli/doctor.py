"""``rsseg doctor``: what this machine has, and what will not work."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.cli.printable import one_line
from rsseg.progress import Reporter


@click.command("doctor")
@click.argument("folder", default=".", type=options.FILE)
@options.json_output
@options.common
def command(folder: Path, as_json: bool, reporter: Reporter) -> int:
    """Say what this machine has, what will not work on it, and what to do.

    FOLDER is where results would go (default: here). Exits with 1 where no scene can be mapped.
    """
    from rsseg.pipeline.stages.doctor import doctor

    found = doctor(folder)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else "\n".join(_lines(found)))
    return 0 if found.works else 1


def _lines(found: Any) -> Iterator[str]:
    width = max(len(check.name) for check in found.checks)
    for check in found.checks:
        yield one_line(f"{check.state:<8} {check.name:<{width}} {check.found}")
        if check.problem:
            yield one_line(f"{'':<8} {'':<{width}} what will not work: {check.problem}")
            yield one_line(f"{'':<8} {'':<{width}} what to do: {check.remedy}")
    count = sum(check.state != "ok" for check in found.checks)
    told = f"{count} things to look at" if count > 1 else "1 thing to look at" if count else "nothing to look at"
    yield f"{'a scene can be mapped' if found.works else 'no scene can be mapped'}; {told}"
