"""rsseg info: what was recognised, and its calibration."""

import json
from pathlib import Path
from typing import Any

import click

from rsseg.cli import options
from rsseg.cli.calibration import calibration_options, fill
from rsseg.progress import Reporter


@click.command("info")
@click.argument("scene", type=options.SCENE)
@options.bands
@options.scale
@options.aoi
@calibration_options
@fill
@options.json_output
@options.common
def command(scene: Path, as_json: bool, reporter: Reporter, **choices: Any) -> None:
    """Say what SCENE was recognised as: size, place, bands, time, sun, calibration, share of valid pixels."""
    from rsseg.pipeline.stages.info import info

    answer = info(scene, **choices)
    click.echo(json.dumps(answer, indent=2) if as_json else "\n".join(_lines(answer)))


def _lines(answer: dict[str, Any]) -> list[str]:
    left, bottom, right, top = answer["bounds"]
    pixel = " x ".join(f"{side:g}" for side in answer["pixel_size"])
    rows = [
        ("size", f"{answer['height']} x {answer['width']} pixels (rows x columns) of {pixel}, {answer['dtype']}"),
        ("crs", answer["crs"] or "none"),
        ("bounds", f"left {left:.10g}, bottom {bottom:.10g}, right {right:.10g}, top {top:.10g}"),
        ("units", _units(answer["units"])),
        ("valid", f"about {answer['valid_share_estimated']:.1%} (estimated); {answer['valid_pixels']}"),
        *answer["tags"].items(),
        *((f"band {number}", _band(band)) for number, band in enumerate(answer["bands"], 1)),
        *(("warning", text) for text in answer["warnings"]),
    ]
    return [f"{answer['name']}: {answer['recognised']}", *(f"{key:<19} {text}" for key, text in rows)]


def _units(units: str) -> str:
    """The units, with what they mean for values that nothing describes."""
    if units == "uncalibrated":
        return "uncalibrated: bare integers, used as they are unless --scale says otherwise"
    return units if units == "reflectance" else f"{units} in W m-2 sr-1 um-1"


def _band(band: dict[str, Any]) -> str:
    plain = ("name", "code", "file", "index", "scale", "offset", "percentiles_2_50_98_estimated")
    code = f" ({band['code']})" if band["code"] else ""
    text = f"{band['name']}{code}: value = {band['scale']:.10g} x stored {band['offset']:+.10g}"
    text += "".join(f", {key} {value:.10g}" for key, value in band.items() if key not in plain)
    if "percentiles_2_50_98_estimated" in band:
        low, middle, high = band["percentiles_2_50_98_estimated"]
        text += f"; 2 % {low:.4g}, median {middle:.4g}, 98 % {high:.4g} (estimated)"
    return text
