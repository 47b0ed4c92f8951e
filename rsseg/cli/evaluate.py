"""``rsseg evaluate``: score a label map against a reference."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli.options import FILE, common, json_output, overwrite
from rsseg.cli.reference import field, resample
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.maps import Resample
    from rsseg.label.metrics.confusion import Confusion
    from rsseg.label.scores import Assignment
    from rsseg.label.segmentation_scores import Regions
    from rsseg.pipeline.stages.evaluate import Evaluation
    from rsseg.pipeline.stages.evaluate_regions import Segmentation


@click.command("evaluate")
@click.argument("labels", type=FILE)
@click.option("--reference", type=FILE, required=True, help="Polygons with a class or a raster of classes.")
@field
@click.option("-o", "--output", type=FILE, help="Folder for the tables and pictures (default: only print).")
@click.option(
    "--mapping",
    type=click.Choice(["one-to-one", "many-to-one", "both"]),
    default="both",
    show_default=True,
    help="How clusters get classes: each class once, or each cluster its majority class.",
)
@resample
@click.option(
    "--regions",
    type=click.Choice(["classes", "components"]),
    default="classes",
    show_default=True,
    help="What VI, PRI, GCE and SC take for a region: a class, or each of its connected parts.",
)
@click.option(
    "--tile",
    type=click.IntRange(2),
    metavar="N",
    help="Average the segmentation scores over tiles of N x N pixels (default: the whole raster).",
)
@overwrite
@json_output
@common
def command(
    labels: Path,
    reference: Path,
    field: str | None,
    output: Path | None,
    mapping: str,
    resample: "Resample | None",
    regions: "Regions",
    tile: int | None,
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Score the label map LABELS against a reference: accuracy, IoU, F1, kappa, NMI, ARI.

    The map whose clusters got classes is also scored as a segmentation: variation of information (VI), probabilistic
    Rand index (PRI), global consistency error (GCE), boundary displacement error (BDE), segmentation covering (SC).
    """
    from rsseg.label.scores import ASSIGNMENTS
    from rsseg.pipeline.stages.evaluate import evaluate
    from rsseg.publish.tables import json_text

    result = evaluate(
        labels,
        reference,
        output,
        field=field,
        mapping=tuple(name for name in ASSIGNMENTS if mapping in (name, "both")),
        resample=resample,
        regions=regions,
        tile=tile,
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result), nl=not as_json)


def _text(result: "Evaluation") -> str:
    lines = [f"{result.name}: {result.pixels} pixels compared, {result.unlabelled} reference pixels without a label"]
    lines.append(f"clusters as they are: NMI {result.nmi:.4f}, ARI {result.ari:.4f}")
    for name, found in result.confusions.items():
        lines += _class_lines(name, found)
        lines.append(_segmentation_line(result.segmentation, name))
    return "\n".join(lines)


def _class_lines(name: str, found: "Confusion") -> list[str]:
    kappa = "undefined" if found.kappa is None else f"{found.kappa:.4f}"
    scores = f"accuracy {found.overall_accuracy:.4f}, mean IoU {found.mean_iou:.4f}"
    scores += f", weighted IoU {found.weighted_iou:.4f}, mean F1 {found.mean_f1:.4f}"
    width = max(len(score.name) for score in found.class_scores)
    lines = [f"{name}: {scores}, kappa {kappa}", f"  {'class':<{width}}  pixels       IoU     precision  recall  F1"]
    for score in found.class_scores:
        shown = ["     -" if value is None else f"{value:.4f}" for value in (score.iou, score.precision)]
        shown += ["     -" if value is None else f"{value:.4f}" for value in (score.recall, score.f1)]
        lines.append(f"  {score.name:<{width}}  {score.pixels:<11}  {shown[0]}  {shown[1]}     {shown[2]}  {shown[3]}")
    return lines


def _segmentation_line(made: "Segmentation", name: "Assignment") -> str:
    score = made.scores[name]
    if made.tile is None:
        line = f"  regions are {made.regions}: "
    else:
        line = f"  means of {made.tiles} tiles of {made.tile} pixels, regions are {made.regions}: "
        line += f"accuracy {score.overall_accuracy:.4f}, mean IoU {score.mean_iou:.4f}, "
        line += f"weighted IoU {score.weighted_iou:.4f}, mean F1 {score.mean_f1:.4f}, "
    displacement = score.boundary_displacement_error
    line += f"VI {score.variation_of_information:.4f} bits, PRI {score.probabilistic_rand_index:.4f}, "
    line += f"GCE {score.global_consistency_error:.4f}, "
    line += f"BDE {'left out' if displacement is None else f'{displacement:.2f} pixels'}, "
    return line + f"SC {score.segmentation_covering:.4f} (of the reference {score.reference_covering:.4f})"
