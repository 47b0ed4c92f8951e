"""What the readers of products with one file a band share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsseg.errors import InputError
from rsseg.scene.grid import Grid
from rsseg.scene.raster import gdal_errors, grid_of, open_raster, same_grid
from rsseg.scene.shown import shown
from rsseg.scene.source import Band

LONGEST_NAME = 120
"""Characters of a scene's name, which names folders and files."""


def common_grid(bands: Sequence[Band]) -> tuple[Grid, str]:
    """The grid and the stored type (numpy name) that all bands' files share; their headers are read.

    Raises: InputError if a file cannot be opened or lies on another grid.
    """
    grids, dtypes = [], []
    for band in bands:
        with open_raster(band.path) as dataset, gdal_errors(f"read {band.path}: its header is damaged"):
            grids.append(grid_of(dataset))
            dtypes.append(_number_type(band, dataset.dtypes[0]))
    for band, grid in zip(bands, grids, strict=True):
        if not same_grid(grids[0], grid):
            raise InputError(f"{_place(bands[0], grids[0])} and {_place(band, grid)} lie on different grids")
    return grids[0], np.result_type(*dtypes).name


def _number_type(band: Band, stored: str) -> np.dtype[np.generic]:
    if stored.startswith("complex"):
        raise InputError(f"{shown(band.path, 500)} holds {stored} values; integers or floats are wanted")
    return np.dtype(stored)


def _place(band: Band, grid: Grid) -> str:
    row, col = grid.xy(0, 0)
    size = f"{grid.height} x {grid.width} pixels of {grid.pixel_size[0]:g} x {grid.pixel_size[1]:g}"
    return f"{shown(Path(band.path).name)} ({size} from {row:.12g}, {col:.12g})"


def clean_name(text: str) -> str:
    """A product id that can name a folder: letters, digits, dots, dashes; the rest becomes an underscore."""
    clean = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in text[:LONGEST_NAME])
    return clean.strip(".") or "scene"
