"""``rsseg evaluate``: score a label map against a reference."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from rsseg.cli.options import FILE, common, json_output, overwrite
from rsseg.cli.reference import field, part, resample, split_of
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.area import Estimate
    from rsseg.label.mapping import Assignment
    from rsseg.label.maps import Resample
    from rsseg.label.metrics.confusion import Confusion
    from rsseg.label.segmentation_scores import Regions
    from rsseg.label.split import Part
    from rsseg.pipeline.stages.evaluate import Evaluation
    from rsseg.pipeline.stages.evaluate_regions import Segmentation
    from rsseg.pipeline.stages.evaluation import Estimates


@click.command("evaluate")
@click.argument("labels", type=FILE)
@click.option("--reference", type=FILE, required=True, help="Polygons or points with a class, or a raster.")
@field
@click.option("-o", "--output", type=FILE, help="Folder for the tables and pictures (default: only print).")
@click.option(
    "--mapping",
    type=click.Choice(["names", "one-to-one", "many-to-one", "both"]),
    help="How clusters get classes: by the map's names, each class once, each cluster its majority class, or both of "
    "these (default: names where they are the reference's classes, else both).",
)
@part
@click.option("--held-out", is_flag=True, help="Clusters get classes on part fit; part score gives the scores.")
@click.option("--fit-reference", type=FILE, help="Clusters get classes on this reference, with the same --field.")
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
    mapping: "Assignment | Literal['both'] | None",
    part: "Part | None",
    fit_share: float,
    split_seed: int,
    held_out: bool,
    fit_reference: Path | None,
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
    Points of rsseg sample give estimates of accuracy and area instead, with 95 % confidence intervals.
    """
    from rsseg.label.mapping import BY_COUNTS
    from rsseg.pipeline.stages.evaluate import evaluate
    from rsseg.publish.tables import json_text

    result = evaluate(
        labels,
        reference,
        output,
        field=field,
        mapping=BY_COUNTS if mapping == "both" else (mapping,) if mapping else None,
        resample=resample,
        split=split_of("score" if held_out and part is None else part, fit_share, split_seed),
        held_out=held_out,
        fit_reference=fit_reference,
        regions=regions,
        tile=tile,
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result), nl=not as_json)


def _text(result: "Evaluation") -> str:
    missing = f"{result.unlabelled} reference {result.unit} without a label"
    lines = [f"{result.name}: {result.pixels} {result.unit} compared, {missing}", *result.notes]
    if result.estimates is not None:
        return "\n".join([*lines, *_estimate_lines(result.estimates)])
    lines.append(f"clusters as they are: NMI {result.nmi:.4f}, ARI {result.ari:.4f}")
    for name, found in result.confusions.items():
        lines += _class_lines(name, found, result.unit)
        if result.segmentation is not None:
            lines.append(_segmentation_line(result.segmentation, name))
    return "\n".join(lines)


def _estimate_lines(estimates: "Estimates") -> list[str]:
    """Accuracies and areas with half their 95 % confidence intervals."""
    from rsseg.label.legend import in_a_line

    lines = []
    if estimates.unanswered:
        lines.append(f"{estimates.unanswered} points have no class yet; the others stand for them")
    hectares = None if estimates.total_m2 is None else estimates.total_m2 / 1e4
    unit = "share" if hectares is None else "area in hectares"
    users_title, producers_title = "user's accuracy", "producer's accuracy"
    for name, found in estimates.found.items():
        width = max(5, *(len(in_a_line(item.name)) for item in found.classes))
        lines.append(f"{name}: overall accuracy {_half(found.overall_accuracy)} (95 % confidence)")
        head = f"{'class':<{width}}  points  {users_title:<17}  {producers_title:<19}"
        lines.append(f"  {head}  {unit}")
        for item in found.classes:
            size = _half(item.area) if hectares is None else _half(item.area, hectares, 1)
            users, producers = _half(item.users_accuracy), _half(item.producers_accuracy)
            lines.append(f"  {in_a_line(item.name):<{width}}  {item.points:<6}  {users:<17}  {producers:<19}  {size}")
    return lines


def _half(found: "Estimate", scale: float = 1.0, digits: int = 4) -> str:
    """An estimate and half its 95 % confidence interval."""
    if found.value is None or found.error is None:
        return "-"
    return f"{found.value * scale:.{digits}f} +- {found.margin * scale:.{digits}f}"


def _class_lines(name: str, found: "Confusion", unit: str) -> list[str]:
    from rsseg.label.legend import in_a_line

    kappa = "undefined" if found.kappa is None else f"{found.kappa:.4f}"
    scores = f"accuracy {found.overall_accuracy:.4f}, mean IoU {found.mean_iou:.4f}"
    scores += f", weighted IoU {found.weighted_iou:.4f}, mean F1 {found.mean_f1:.4f}"
    width = max(5, *(len(in_a_line(score.name)) for score in found.class_scores))
    lines = [f"{name}: {scores}, kappa {kappa}"]
    lines.append(f"  {'class':<{width}}  {unit:<11}  IoU     precision  recall  specificity  F1")
    for score in found.class_scores:
        values = (score.iou, score.precision, score.recall, score.specificity, score.f1)
        iou, precision, recall, specificity, f1 = ("     -" if value is None else f"{value:.4f}" for value in values)
        shown = f"{iou}  {precision}     {recall}  {specificity}       {f1}"
        lines.append(f"  {in_a_line(score.name):<{width}}  {score.pixels:<11}  {shown}")
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
