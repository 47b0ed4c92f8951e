"""``rsseg map SCENE -o DIR``: a named map by the default recipe, without settings."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rsseg.cli import options
from rsseg.cli.dry_run import no_estimate, plan_lines

if TYPE_CHECKING:
    from rsseg.pipeline.stages.map import MapResult


@click.command("map")
@click.argument("scene", type=options.SCENE)
@options.output
@click.option("--classes", type=click.IntRange(2, 255), help="Classes of the map; by default the scene decides.")
@click.option(
    "--effort",
    type=click.Choice(["quick", "normal", "thorough"]),
    default="normal",
    show_default=True,
    help="How long to train; see docs/map.md.",
)
@options.bands
@options.scale
@options.aoi
@options.seed
@click.option("--reference", type=options.FILE, help="Polygons or a raster of classes, to score the map by; no more.")
@click.option("--field", help="The reference polygons' class field.")
@click.option("--batch", type=click.IntRange(1), help="Tiles in a batch of labelling.")
@options.device
@options.threads
@options.memory
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show what would be chosen and run and about how long it would take, and write nothing.",
)
@no_estimate
@options.json_output
@options.common
def command(
    scene: Path,
    output: Path,
    reference: Path | None,
    field: str | None,
    batch: int | None,
    device: str,
    threads: int | None,
    memory: int,
    dry_run: bool,
    measure: bool,
    as_json: bool,
    reporter: Any,
    **given: Any,
) -> None:
    """Make a named land-cover map of SCENE in a folder: reflectance, map, confidence, pictures.

    No setting is needed: what depends on the scene is chosen from it, and each choice is said with its reason. The
    same command goes on where it stopped.
    """
    began = time.perf_counter()
    from rsseg.pipeline.plan import Machine
    from rsseg.pipeline.stages.map import map_scene

    result = map_scene(
        scene,
        output,
        references=[reference] if reference else (),
        reference_field=field,
        machine=Machine(device, threads, batch, memory),
        dry_run=dry_run,
        measure=measure,
        spent=time.perf_counter() - began,
        reporter=reporter,
        **given,
    )
    if as_json:
        click.echo(json.dumps(result.as_dict()))
    elif dry_run:
        for found in result.choices.values():
            click.echo(f"{'chosen':>8}  {found}")
        click.echo("\n".join(plan_lines(result.run)))
    else:
        click.echo("\n".join(_told(result)))


def _told(result: "MapResult") -> list[str]:
    """Where the map is, how it scored, and what to do next."""
    labels = Path(result.run.outputs["labels"][0])
    lines = [f"map: {labels}"]
    lines += [f"picture: {path}" for path in result.run.outputs.get("picture", []) if Path(path).stem == labels.stem]
    lines += [
        f"{name}: accuracy {row[name]['accuracy']:.3f}, mean IoU {row[name]['mean_iou']:.3f}"
        for row in result.run.scores
        for name in ("one-to-one", "many-to-one")
        if name in row
    ]
    legend, clusters = labels.with_suffix(".legend.yaml"), labels.parent.parent / "clusters" / labels.name
    return [
        *lines,
        f"next: open the map in QGIS, where its names and colours come with it, or: rsseg view {result.run.folder}",
        f"      to rename or join classes: edit a copy of {legend}, then",
        f"      rsseg relabel {clusters} --legend COPY.yaml -o MY_MAP.tif",
    ]
