"""``rsseg run PIPELINE SCENE... -o DIR``."""

import json
import time
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.cli.dry_run import no_estimate, plan_lines


@click.command("run")
@click.argument("pipeline")
@click.argument("scenes", nargs=-1, required=True, type=options.SCENE)
@options.output
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=options.FILE,
    help="Polygons or a raster of classes; one for all scenes, or one a scene in order.",
)
@click.option("--field", help="The reference polygons' class field.")
@options.bands
@options.scale
@options.aoi
@options.model_overrides
@click.option("--batch", type=click.IntRange(1), help="Patches in a batch of labelling.")
@options.device
@options.threads
@options.memory
@click.option(
    "--dry-run", is_flag=True, help="Show what would run and about how long it would take, and write nothing."
)
@no_estimate
@options.json_output
@options.common
def command(
    pipeline: str,
    scenes: tuple[Path, ...],
    output: Path,
    references: tuple[Path, ...],
    field: str | None,
    aoi: Path | None,
    batch: int | None,
    device: str,
    threads: int | None,
    memory: int,
    dry_run: bool,
    measure: bool,
    as_json: bool,
    reporter: Any,
    **overrides: Any,
) -> None:
    """Run PIPELINE (a YAML file or a name such as quick or all-methods) over scenes into a folder.

    The same command goes on where it stopped, and does again only what changed.
    """
    began = time.perf_counter()
    from rsseg.pipeline.plan import Machine
    from rsseg.pipeline.stages.run import run

    result = run(
        pipeline,
        scenes,
        output,
        overrides=overrides,
        references=references,
        reference_field=field,
        aoi=aoi,
        machine=Machine(device, threads, batch, memory),
        dry_run=dry_run,
        measure=measure,
        spent=time.perf_counter() - began,
        reporter=reporter,
    )
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    elif dry_run:
        click.echo("\n".join(plan_lines(result)))
    else:
        _summarise(result)


def _summarise(result: Any) -> None:
    """What was made, how good it is, and what to open."""
    ran = [stage for stage in result.stages if stage["state"] == "ran"]
    seconds = sum(stage["seconds"] for stage in ran)
    click.echo(
        f"{result.folder}: {len(ran)} stages run in {seconds:.0f} s, {len(result.stages) - len(ran)} finished before"
    )
    for row in result.scores:
        scores = ", ".join(
            f"{name} accuracy {row[name]['accuracy']:.3f} mIoU {row[name]['mean_iou']:.3f}"
            for name in ("one-to-one", "many-to-one")
            if name in row
        )
        click.echo(f"  {row['scene']} {row['model']}: {scores}")
    titles = {
        "labels": "label maps (open in a GIS)",
        "consensus": "consensus",
        "picture": "pictures",
        "sweep": "table",
    }
    for kind, title in titles.items():
        paths = result.outputs.get(kind, ())
        if paths:
            click.echo(f"{title}:")
            for path in paths:
                click.echo(f"  {path}")
    click.echo(f"next: rsseg report {result.folder} makes one page of it, rsseg view {result.folder} shows its maps")
