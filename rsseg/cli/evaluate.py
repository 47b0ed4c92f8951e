"""``rsseg evaluate``: score a label map against a reference."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rsseg.cli.options import FILE, common, json_output, overwrite
from rsseg.cli.reference import field, resample
from rsseg.progress import Reporter

if TYPE_CHECKING:
    from rsseg.label.maps import Resample
    from rsseg.pipeline.stages.evaluate import Evaluation


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
    overwrite: bool,
    as_json: bool,
    reporter: Reporter,
) -> None:
    """Score the label map LABELS against a reference: accuracy, IoU, F1, kappa, NMI, ARI."""
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
        overwrite=overwrite,
        reporter=reporter,
    )
    click.echo(json_text(result.as_dict()) if as_json else _text(result), nl=not as_json)


def _text(result: "Evaluation") -> str:
    lines = [f"{result.name}: {result.pixels} pixels compared, {result.unlabelled} reference pixels without a label"]
    lines.append(f"clusters as they are: NMI {result.nmi:.4f}, ARI {result.ari:.4f}")
    for name, found in result.confusions.items():
        kappa = "undefined" if found.kappa is None else f"{found.kappa:.4f}"
        lines.append(f"{name}: accuracy {found.overall_accuracy:.4f}, mean IoU {found.mean_iou:.4f}, kappa {kappa}")
        width = max(len(score.name) for score in found.class_scores)
        lines.append(f"  {'class':<{width}}  pixels       IoU     precision  recall  F1")
        for score in found.class_scores:
            shown = ["     -" if value is None else f"{value:.4f}" for value in (score.iou, score.precision)]
            shown += ["     -" if value is None else f"{value:.4f}" for value in (score.recall, score.f1)]
            lines.append(
                f"  {score.name:<{width}}  {score.pixels:<11}  {shown[0]}  {shown[1]}     {shown[2]}  {shown[3]}"
            )
    return "\n".join(lines)
