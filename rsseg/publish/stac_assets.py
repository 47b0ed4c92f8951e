"""Files of a run as STAC assets: what they are, how large, and what their pixels mean."""

import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import rasterio
from pyproj import CRS

from rsseg.label.maps import LabelMap
from rsseg.scene.area import pixel_metres
from rsseg.scene.grid import Grid
from rsseg.scene.raster import grid_of, open_raster

TYPES = {
    ".png": "image/png",
    ".yaml": "application/yaml",
    ".qml": "application/xml",
    ".xml": "application/xml",
    ".json": "application/json",
    ".safetensors": "application/octet-stream",
}

GEOTIFF = "image/tiff; application=geotiff"

COMMON_BANDS = {
    "coastal": "coastal",
    "blue": "blue",
    "green": "green",
    "red": "red",
    "nir": "nir",
    "swir1": "swir16",
    "swir2": "swir22",
    "pan": "pan",
}
"""A band's name to what the extension eo calls it."""

Digest = Callable[[Path], str]
"""The SHA-256 of a file, in hexadecimal."""

_RESERVED = "/!$&'()*+,;=:@-._~"


def href(target: Path, folder: Path) -> str:
    """A file as seen from a folder: a relative IRI reference, in which letters of all scripts stay what they are."""
    path = os.path.relpath(target.resolve(), folder.resolve()).replace(os.sep, "/")
    text = "".join(mark if ord(mark) > 127 and mark.isprintable() else _quoted(mark) for mark in path)
    return text if text.startswith("../") else f"./{text}"


def _quoted(mark: str) -> str:
    return quote(os.fsencode(mark), safe=_RESERVED)


def file_asset(path: Path, folder: Path, digest: Digest, title: str, *roles: str) -> dict[str, Any]:
    """Any file, with its size and checksum (a multihash: 12 20, then the SHA-256)."""
    return {
        "href": href(path, folder),
        "title": title,
        **({"type": TYPES[path.suffix.lower()]} if path.suffix.lower() in TYPES else {}),
        "roles": list(roles),
        "file:size": path.stat().st_size,
        "file:checksum": f"1220{digest(path)}",
    }


def raster_asset(path: Path, folder: Path, digest: Digest, title: str, *roles: str) -> dict[str, Any]:
    """A raster, with the place and the meaning of its pixels."""
    asset = file_asset(path, folder, digest, title, *roles)
    with open_raster(path) as dataset:
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT", "")
        asset |= _placed(grid_of(dataset)) | {"bands": [_band(dataset, i) for i in dataset.indexes]}
        if dataset.driver == "GTiff":
            asset["type"] = f"{GEOTIFF}; profile=cloud-optimized" if layout == "COG" else GEOTIFF
    return asset


def labels_asset(path: Path, folder: Path, digest: Digest) -> dict[str, Any]:
    """A label map, with its classes."""
    asset = raster_asset(path, folder, digest, "Label map", "data", "classification")
    with LabelMap(path) as labels:
        asset["classification:classes"] = classes_of(labels.names, labels.colours)
    return asset


def classes_of(names: Mapping[int, str], colours: Mapping[int, str]) -> list[dict[str, Any]]:
    """Classes as the classification extension lists them: a name for machines, the class's own name as title.

    Args:
        names: the names of values from 1 on.
        colours: their colours, ``#rrggbb``.
    """
    listed: list[dict[str, Any]] = [
        {"value": 0, "name": "no-data", "title": "no data", "description": "no data", "nodata": True}
    ]
    for value in sorted(value for value in names if value > 0):
        title = names[value] or f"cluster {value}"
        word = re.sub("[^0-9A-Za-z_-]+", "-", title).strip("-")[:64] or f"class-{value}"
        taken = {item["name"] for item in listed}
        entry = {"value": value, "name": f"{word}-{value}" if word in taken else word, "title": title}
        entry["description"] = title
        if value in colours:
            entry["color_hint"] = colours[value].lstrip("#").upper()
        listed.append(entry)
    return listed


def projection(grid: Grid) -> dict[str, Any]:
    """A grid's coordinate system: by its code where it says one itself (none is guessed), else in full."""
    if grid.crs is None:
        return {"proj:code": None}
    crs = CRS.from_wkt(grid.crs)
    said = crs.to_json_dict().get("id", {})
    if {"authority", "code"} <= said.keys():
        return {"proj:code": f"{said['authority']}:{said['code']}"}
    return {"proj:code": None, "proj:wkt2": crs.to_wkt("WKT2_2019")}


def metres(grid: Grid) -> float | None:
    """The mean side of a pixel in metres, of projected coordinates."""
    sides = pixel_metres(grid)
    return None if sides is None else round(math.sqrt(math.prod(sides)), 6)


def _placed(grid: Grid) -> dict[str, Any]:
    return {
        "proj:shape": list(grid.shape),
        "proj:transform": [*grid.transform],
        "proj:bbox": list(grid.bounds),
    }


def _band(dataset: rasterio.DatasetReader, index: int) -> dict[str, Any]:
    name = dataset.descriptions[index - 1] or str(index)
    found: dict[str, Any] = {"name": name, "data_type": _data_type(dataset.dtypes[index - 1])}
    nodata = dataset.nodatavals[index - 1]
    if nodata is not None:
        found["nodata"] = "nan" if np.isnan(nodata) else int(nodata) if float(nodata).is_integer() else nodata
    scale, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
    if (scale, offset) != (1.0, 0.0):
        found |= {"raster:scale": scale, "raster:offset": offset}
    common = COMMON_BANDS.get(name.casefold())
    return {**found, **({"eo:common_name": common} if common else {})}


def _data_type(name: str) -> str:
    plain = name.removeprefix("complex_")
    known = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float32", "float64"}
    return plain if plain in known else "other"
