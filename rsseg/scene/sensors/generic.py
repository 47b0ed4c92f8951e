"""Any raster that GDAL reads, with what its own tags say about units."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp

from rsseg.errors import InputError, UsageError
from rsseg.scene.place import Place
from rsseg.scene.raster import gdal_errors, grid_of, open_raster
from rsseg.scene.shown import shown
from rsseg.scene.source import Band, Scene, Units


def open_generic(path: Path, *, scale: Sequence[float] | None = None) -> Scene:
    """A raster as a scene with all its bands (without alpha).

    ``scale`` is (scale,) or (scale, offset) and makes the values reflectance. Otherwise the raster's tag ``units``,
    a scale or offset, or a float type say what the values are; bare integers are uncalibrated. Bands without
    a description are "1", "2", ...: which band is which colour is never guessed.

    Raises: InputError if it cannot be read or holds complex numbers.
    """
    with open_raster(path) as dataset, gdal_errors(f"read {shown(path, 500)}: its header is damaged"):
        numbers = [i for i in dataset.indexes if dataset.colorinterp[i - 1] != ColorInterp.alpha]
        dtype = _common_type(path, [dataset.dtypes[i - 1] for i in numbers])
        units = _units(dataset, numbers, dtype, scale)
        names = _names(dataset, numbers)
        bands = tuple(_band(dataset, path, i, name, scale) for i, name in zip(numbers, names, strict=True))
        tags = {key: text for key, text in dataset.tags().items() if key not in ("AREA_OR_POINT", "units")}
        name = tags.get("scene", path.stem) if tags.get("software", "").startswith("rsseg ") else path.stem
        grid = grid_of(dataset)
        place = Place.of_tags(tags, grid)
        return Scene(name, path, grid, bands, dtype, units, "mask", tags, place=None if place.is_whole else place)


def _common_type(path: Path, dtypes: Sequence[str]) -> str:
    if not dtypes:
        raise InputError(f"{path} has no band besides alpha")
    kinds = [np.dtype(name) if not name.startswith("complex_int") else np.dtype(complex) for name in dtypes]
    common = np.result_type(*kinds)
    if common.kind not in "uif":
        raise InputError(f"{path} holds {dtypes[0]} values; integers or floats are wanted")
    return common.name


def _units(dataset: rasterio.DatasetReader, numbers: Sequence[int], dtype: str, scale: Sequence[float] | None) -> Units:
    if scale is not None:
        return "reflectance"
    said = dataset.tags().get("units", "")
    if said in ("reflectance", "radiance", "uncalibrated"):
        return said
    scaled = any(dataset.scales[i - 1] != 1 or dataset.offsets[i - 1] != 0 for i in numbers)
    return "reflectance" if scaled or np.dtype(dtype).kind == "f" else "uncalibrated"


def _names(dataset: rasterio.DatasetReader, numbers: Sequence[int]) -> list[str]:
    """Descriptions, or numbers where one is missing or not unique."""
    names = [(dataset.descriptions[i - 1] or "").strip() for i in numbers]
    folded = [name.casefold() for name in names]
    return [
        name if name and folded.count(name.casefold()) == 1 else str(i) for i, name in zip(numbers, names, strict=True)
    ]


def _band(dataset: rasterio.DatasetReader, path: Path, index: int, name: str, scale: Sequence[float] | None) -> Band:
    gain, offset = dataset.scales[index - 1], dataset.offsets[index - 1]
    if scale is not None:
        gain, offset = scale[0], scale[1] if len(scale) > 1 else 0.0
    if not (np.isfinite([gain, offset]).all() and gain != 0):
        raise UsageError(f"{path} band {name} has scale {gain} and offset {offset}; give usable ones with --scale")
    return Band(name, str(path), index, float(gain), float(offset))


ORTHO_KIT = re.compile(r"BAND\d_RPC\.TIFF?$", re.IGNORECASE)
"""File names of the ortho-kit variant of LISS-IV, which carries rational polynomials in place of a map grid."""
