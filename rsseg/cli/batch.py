"""``rsseg batch PIPELINE ARCHIVE -o DIR``."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options
from rsseg.cli.dry_run import duration, no_estimate, size

if TYPE_CHECKING:
    from rsseg.batch.batch import BatchResult
    from rsseg.batch.foresight import Foreseen

SHOWN = 20
"""Scenes to do that a dry run lists."""


@click.command("batch")
@click.argument("pipeline")
@click.argument("archive", type=options.FILE)
@options.output
@click.option(
    "--where",
    multiple=True,
    metavar="KEY=VALUE",
    help="Only these scenes: sensor=LISS4, date=2018 or 2018-01-01/2018-12-31, bounds=W,S,E,N, path=143, row=70/80.",
)
@click.option(
    "--train",
    type=click.Choice(["sample", "each"]),
    default="sample",
    show_default=True,
    help="Models trained once on a sample of the archive, or on each scene and matched to one legend.",
)
@click.option("--sample", type=click.IntRange(1), default=8, show_default=True, help="Scenes in the sample.")
@click.option("--model", "models", multiple=True, metavar="[NAME=]FILE", help="Apply this model; train none.")
@click.option("--new-legend", is_flag=True, help="With --train each: make the common legend anew.")
@click.option("--mosaic", is_flag=True, help="One VRT of all maps.")
@options.bands
@options.scale
@options.aoi
@options.model_overrides
@click.option("--workers", type=click.IntRange(1), help="Scenes at a time (default: what cores and memory allow).")
@click.option("--memory", type=options.Memory(), default="4G", show_default=True, help="Memory of each worker.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each worker (default: the cores shared out).")
@options.device
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Use the workers of this Dask scheduler.")
@click.option(
    "--patience",
    type=options.Duration(),
    default="10m",
    show_default=True,
    help="How long to wait for a scheduler or workers that were lost.",
)
@click.option("--time-limit", type=options.Duration(), help="End a scene that takes longer, such as 30m or 2h.")
@click.option("--retries", type=click.IntRange(0), default=2, show_default=True, help="Tries more for what can pass.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before, though nothing has changed.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "fail"]),
    default="skip",
    show_default=True,
    help="When a scene fails: go on with the others, or stop.",
)
@click.option("--wait", is_flag=True, help="Wait while another process works on the output.")
@click.option("--dry-run", is_flag=True, help="Show what would be done and about how long it takes; write nothing.")
@no_estimate
@options.json_output
@options.common
def command(
    pipeline: str,
    archive: Path,
    output: Path,
    time_limit: float | None,
    dry_run: bool,
    measure: bool,
    as_json: bool,
    reporter: Any,
    bands: Any,
    scale: Any,
    classes: int | None,
    patch: int | None,
    stride: int | None,
    epochs: int | None,
    seed: int | None,
    **chosen: Any,
) -> int:
    """Run PIPELINE over every scene of ARCHIVE: a folder, a CSV of paths, or a STAC catalogue.

    A broken scene stops no other one. The same command goes on where it stopped, and exits with 1 as long as a scene
    has failed; failures.csv says why, and what to do.
    """
    from rsseg.batch.batch import batch
    from rsseg.batch.foresight import foresee
    from rsseg.batch.request import Request
    from rsseg.cli.batch_display import display_of

    overrides = {"bands": bands, "scale": scale, "classes": classes, "patch": patch, "stride": stride}
    overrides |= {"epochs": epochs, "seed": seed}
    request = Request(pipeline, archive, output, overrides, seconds=time_limit, **chosen)
    if dry_run:
        foreseen = foresee(request, measure=measure, reporter=reporter)
        click.echo(json.dumps(foreseen.as_dict()) if as_json else "\n".join(foreseen_lines(foreseen)))
        return 0
    result = batch(request, display=display_of(reporter), reporter=reporter)
    click.echo(json.dumps(result.as_dict()) if as_json else "\n".join(told(result)))
    return 1 if result.failures or result.left or result.ending.unmatched else 0


def told(result: "BatchResult") -> list[str]:
    """How many scenes have maps, what failed and why, and what to open."""
    done = len(result.outcomes) - len(result.failures)
    lines = [
        f"{result.folder}: {done} scenes done, {len(result.failures)} failed, {result.before} of them settled before"
    ]
    if result.left:
        lines.append(f"  {result.left} left to do, since --on-error fail stopped the batch")
    lines += [f"  {failure.place}: {failure.cause}; {failure.remedy}" for failure in result.failures[:10]]
    if len(result.failures) > 10:
        lines.append(f"  and {len(result.failures) - 10} more, see failures.csv")
    lines += [f"  {name} has no map in common classes: {why}" for name, why in sorted(result.ending.unmatched.items())]
    lines += [f"{kind}: {path}" for kind, path in result.ending.files.items()]
    return lines


def foreseen_lines(found: "Foreseen") -> Iterator[str]:
    """What a dry run prints: the scenes, the workers, and what it would take where that was measured."""
    todo = f"{len(found.todo)} to do ({found.gibibytes:.1f} GiB)"
    yield f"{found.scenes} scenes: {todo}, {found.done} done, {found.failed} failed before"
    yield from (f"   to do  {place}" for place in found.todo[:SHOWN])
    if len(found.todo) > SHOWN:
        yield f"          and {len(found.todo) - SHOWN} more"
    if found.trains and found.todo:
        yield f"first: {', '.join(found.trains)} trained on a sample of the archive"
    yield f"{found.workers} workers of {found.threads} threads" if found.workers else "the cluster's own workers"
    if found.seconds is not None and found.disk is not None:
        memory = f", {size(found.memory)} of memory in each worker" if found.memory else ""
        yield f"about {duration(found.seconds)}{memory}, {size(found.disk)} on disk ({size(found.free)} are free)"
        if found.disk > found.free:
            yield "the disk is too small for it: free space, or choose another output"
