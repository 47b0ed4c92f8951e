"""Small scenes on disk for tests."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from labelmaps import grid_for, write_boxes
from numpy.typing import NDArray
from rasterio.crs import CRS
from tiny import BANDS

REFLECTANCE = np.array([[0.05, 0.04, 0.02], [0.08, 0.07, 0.40], [0.20, 0.22, 0.24]])
NAMES = ("water", "vegetation", "town")
FIELD = 16
"""Side of a field in pixels."""


def fields(height: int, width: int, seed: int = 0) -> NDArray[np.int64]:
    """Kinds of land (H, W), 0 to 2, in square fields; each kind occurs."""
    down, across = -(-height // FIELD), -(-width // FIELD)
    kinds = np.random.default_rng(seed).permutation(np.arange(down * across) % 3).reshape(down, across)
    return np.kron(kinds, np.ones((FIELD, FIELD), int))[:height, :width]


def write_scene(
    path: Path, height: int = 48, width: int = 64, *, seed: int = 0, stored: bool = True, **profile: Any
) -> Path:
    """Reflectance of water, vegetation and town as rsseg writes it (uint16 with scale), a corner without data."""
    kinds = fields(height, width, seed)
    clean = np.moveaxis(REFLECTANCE[kinds], -1, 0)
    values = clean + np.random.default_rng(seed + 1).normal(0, 0.01, clean.shape)
    stored_values = np.rint((values + 0.1) / 1e-4).astype(np.uint16)
    stored_values[:, :3, :5] = 65535
    grid = grid_for((height, width))
    given = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint16", "nodata": 65535}
    place = {"crs": CRS.from_wkt(grid.crs), "transform": rasterio.Affine(*grid.transform)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(path, "w", **{**given, **place, **profile}) as file:
        file.write(stored_values)
        file.descriptions = BANDS
        if stored:
            file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
    return path


def write_reference(path: Path, height: int = 48, width: int = 64, *, seed: int = 0) -> Path:
    """Polygons within some of the fields, with their class."""
    kinds = fields(height, width, seed)
    corners = [(row, col) for row in range(0, height, FIELD) for col in range(0, width, FIELD)]
    boxes = [(row + 2, col + 2, FIELD - 4, FIELD - 4, NAMES[kinds[row, col]]) for row, col in corners]
    return write_boxes(path, grid_for((height, width)), boxes)
