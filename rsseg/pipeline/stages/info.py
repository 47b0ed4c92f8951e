"""What a scene was recognised as, its grid, its calibration, and a quick look at its values."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio

from rsseg.errors import RssegWarning
from rsseg.scene.radiometry import Calibration
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Band, Scene

SAMPLE = 512
"""Rows and columns of the decimated read."""

FILL_WORDS = {
    "all": "pixels where all bands are 0 hold no data",
    "any": "pixels where any band is 0 hold no data",
    "mask": "nodata, mask and non-finite values as the raster says",
}


def info(
    source: Path,
    *,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    calibration: Calibration | None = None,
    fill: Literal["all", "any"] | None = None,
    aoi: Path | None = None,
) -> dict[str, Any]:
    """Describe a scene, or its part inside the polygons ``aoi``, in plain values that JSON can hold.

    Shares and percentiles are estimated from a read of at most 512 x 512 pixels by nearest neighbour. Warnings about
    the calibration are part of the answer.

    Raises: InputError and UsageError as ``open_scene`` does.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RssegWarning)
        chosen = calibration or Calibration()
        scene = open_scene(source, bands=bands, scale=scale, calibration=chosen, fill=fill, aoi=aoi)
    said = [str(item.message) for item in caught if issubclass(item.category, RssegWarning)]
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20):
        share, values = _sample(scene)
    said += _beyond_dn_max(scene, values)
    return {**_description(scene), "valid_share_estimated": share, "bands": _bands(scene, values), "warnings": said}


def _sample(scene: Scene) -> tuple[float, np.ndarray]:
    """The share of valid pixels and the stored values of valid pixels: (bands, pixels)."""
    shape = min(SAMPLE, scene.grid.height), min(SAMPLE, scene.grid.width)
    with scene.open() as reader:
        values, valid = reader.read(scene.grid.window, shape)
    return float(valid.mean()), values[:, valid]


def _description(scene: Scene) -> dict[str, Any]:
    grid = scene.grid
    return {
        "path": str(scene.path),
        "name": scene.name,
        "recognised": _recognised(scene),
        "units": scene.units,
        "height": grid.height,
        "width": grid.width,
        "dtype": scene.dtype,
        "crs": crs_name(grid.crs),
        "crs_wkt": grid.crs,
        "pixel_size": list(grid.pixel_size),
        "bounds": list(grid.bounds),
        "valid_pixels": FILL_WORDS[scene.fill],
        "tags": dict(scene.tags),
    }


def _recognised(scene: Scene) -> str:
    sensor = scene.tags.get("sensor", "unknown sensor")
    if scene.origin == "raster":
        return "raster" if "sensor" not in scene.tags else f"raster of {sensor}"
    kind = "digital numbers (Level 1)" if scene.origin == "level-1" else "surface reflectance (Level 2)"
    return f"{sensor} product of {kind}"


def crs_name(wkt: str | None) -> str | None:
    """The name that a WKT text starts with; codes are not looked up, since a near match would be a guess."""
    match = re.search(r'"([^"]*)"', wkt or "")
    return match[1] if match else None


def _bands(scene: Scene, values: np.ndarray) -> list[dict[str, Any]]:
    return [_band(band, values[i]) for i, band in enumerate(scene.bands)]


def _band(band: Band, values: np.ndarray) -> dict[str, Any]:
    described: dict[str, Any] = {"name": band.name, "code": band.code or None, "file": band.path, "index": band.index}
    described |= {"scale": band.scale, "offset": band.offset, **{key: float(text) for key, text in band.constants}}
    if values.size:
        physical = np.percentile(values.astype(np.float64), (2, 50, 98)) * band.scale + band.offset
        described["percentiles_2_50_98_estimated"] = [float(f"{value:.6g}") for value in physical]
    return described


def _beyond_dn_max(scene: Scene, values: np.ndarray) -> list[str]:
    """Digital numbers above DNmax say that the metadata is wrong about the bits, or that the files were rescaled."""
    if scene.origin != "level-1" or "dn_max" not in scene.tags or not values.size:
        return []
    dn_max = float(scene.tags["dn_max"])
    if values.max() <= dn_max:
        return []
    return [f"digital numbers reach {values.max()}, above the DNmax of {dn_max:g}; is the metadata right?"]
