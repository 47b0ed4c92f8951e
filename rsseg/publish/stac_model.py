"""A trained model as a STAC item: the machine learning model extension (MLM), version 1.5.0."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import shapely
from shapely.geometry import mapping, shape

from rsseg.learn.model import Inference
from rsseg.publish.stac_assets import COMMON_BANDS

TASK = "semantic-segmentation"

_VERSION = re.compile(r"(\d+\.\d+\.\d+)((?:[-+][0-9A-Za-z.-]+)?)")

Outline = tuple[dict[str, Any], list[float]]


def model_properties(name: str, inference: Inference, parameters: int, torch: str, dense: bool) -> dict[str, Any]:
    """What a model takes and gives.

    Args:
        name: what the run calls it.
        inference: what its file says of its use.
        parameters: how many numbers its network learned by steps; 0 for a fit, which has none.
        torch: the version of PyTorch that trained it.
        dense: whether it answers for pixels, not for patches.
    """
    version = _VERSION.match(torch)
    return {
        "bands": [_band(band) for band in inference.bands],
        "mlm:name": "rsseg-" + (re.sub("[^0-9A-Za-z]+", "-", name).strip("-") or "model"),
        "mlm:architecture": _architecture(inference),
        "mlm:framework": "PyTorch",
        **({"mlm:framework_version": version.group()} if version else {}),
        "mlm:tasks": [TASK],
        **({"mlm:total_parameters": parameters} if parameters else {}),
        "mlm:input": [_input(inference)],
        "mlm:output": [_output(inference, dense)],
        "rsseg:method": inference.method,
        "rsseg:units": inference.units,
        "rsseg:stride": inference.stride,
    }


def _input(inference: Inference) -> dict[str, Any]:
    """The bands, whose own order counts; channels beside them are made by rsseg, and are named in a sentence."""
    side, line = inference.patch, inference.normalisation
    made: dict[str, Any] = {
        "name": "patch",
        "description": f"{side} x {side} pixels in {inference.units}, bands in this order",
        "bands": list(inference.bands),
        "input": {
            "shape": [-1, len(inference.bands), side, side],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
    }
    if inference.channels is None:
        pairs = zip(line.centre, line.spread, strict=True)
        made["value_scaling"] = [{"type": "z-score", "mean": centre, "stddev": spread} for centre, spread in pairs]
    else:
        made["description"] += f"; rsseg makes the channels {', '.join(inference.channels.words)} of them"
    return made


def _output(inference: Inference, dense: bool) -> dict[str, Any]:
    pixels = [inference.patch] * 2 if dense else []
    return {
        "name": "clusters",
        "description": "A probability of each cluster; the map's values count from 1, and 0 is no data",
        "tasks": [TASK],
        "result": {
            "shape": [-1, inference.classes, *pixels],
            "dim_order": ["batch", "class", *(["height", "width"] if dense else [])],
            "data_type": "float32",
        },
        "classification:classes": [],
    }


def _architecture(inference: Inference) -> str:
    spec = inference.network.model_dump(mode="json")
    words = [str(spec[key]) for key in ("trunk", "features", "head") if spec.get(key)]
    return " ".join(words) or type(inference.network).__name__.removesuffix("Spec")


def _band(name: str) -> dict[str, str]:
    common = COMMON_BANDS.get(name.casefold())
    return {"name": name, **({"eo:common_name": common} if common else {})}


def united(outlines: Sequence[Outline | None]) -> Outline | None:
    """The outline of several scenes together; None if one of them has none."""
    known = [found for found in outlines if found is not None]
    if not known or len(known) < len(outlines):
        return None
    if len(known) == 1:
        return known[0]
    whole = shapely.union_all([shape(geometry) for geometry, _ in known])
    south, north = min(box[1] for _, box in known), max(box[3] for _, box in known)
    crosses = any(box[0] > box[2] for _, box in known)
    sides = (-180.0, 180.0) if crosses else (min(box[0] for _, box in known), max(box[2] for _, box in known))
    geometry = {key: value for key, value in mapping(whole).items() if key in ("type", "coordinates")}
    return geometry, [sides[0], south, sides[1], north]


def spanned(times: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The properties of time of several scenes together."""
    if all(found == times[0] for found in times):
        return dict(times[0])
    starts = [found["datetime"] or found["start_datetime"] for found in times]
    ends = [found["datetime"] or found["end_datetime"] for found in times]
    return {"datetime": None, "start_datetime": min(starts), "end_datetime": max(ends)}
