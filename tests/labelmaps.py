"""Small label maps and polygons for tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from rasterio.crs import CRS
from shapely.geometry import box

from rsseg.publish.labels import LabelClass, LabelMapWriter
from rsseg.publish.palette import default_classes
from rsseg.scene.grid import Grid

Run = Callable[..., tuple[int, str, str]]
"""The fixture ``rsseg``: exit code, stdout, stderr of a command line."""

UTM45 = CRS.from_epsg(32645).to_wkt()


def grid_for(shape: tuple[int, int], crs: str | None = UTM45) -> Grid:
    """A grid of 5 m pixels near Kolkata."""
    return Grid(*shape, (5.0, 0.0, 600000.0, 0.0, -5.0, 2500000.0), crs)


def write_map(
    path: Path, labels: np.ndarray, *, grid: Grid | None = None, classes: Sequence[LabelClass] | None = None
) -> Path:
    """Write a label map with the writer that every command uses."""
    grid = grid or grid_for(labels.shape)
    with LabelMapWriter(path, grid, classes or default_classes(max(1, int(labels.max()))), tags={}) as writer:
        writer.write(labels.astype(np.uint8), grid.window)
    return path


def write_plain(path: Path, values: np.ndarray, grid: Grid, nodata: float | None = None) -> Path:
    """A bare GeoTIFF of any type, as other programs write it."""
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype.name, "nodata": nodata}
    crs = CRS.from_wkt(grid.crs) if grid.crs else None
    with rasterio.open(
        path, "w", height=grid.height, width=grid.width, crs=crs, transform=rasterio.Affine(*grid.transform), **profile
    ) as file:
        file.write(values, 1)
    return path


def write_boxes(path: Path, grid: Grid, boxes: Sequence[tuple[int, int, int, int, str]], field: str = "class") -> Path:
    """Polygons that cover whole pixels: (row, column, rows, columns, class)."""
    shapes = []
    for row, col, rows, cols, _ in boxes:
        left, top = grid.xy(row, col)
        right, bottom = grid.xy(row + rows, col + cols)
        shapes.append(box(left, bottom, right, top))
    frame = geopandas.GeoDataFrame({field: [item[4] for item in boxes]}, geometry=shapes, crs=grid.crs)
    frame.to_file(path)
    return path
