"""What a batch remembers of a label map: its classes with their pixels and areas, and the mean confidence."""

from pathlib import Path
from typing import Any

import numpy as np

from rsseg.label.maps import LabelMap, strips
from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.publish.palette import default_colour
from rsseg.scene.area import known_pixel_areas
from rsseg.scene.raster import gdal_errors, grid_of, label_windows, open_raster, to_rasterio


def map_facts(labels: Path, confidence: Path | None) -> dict[str, Any]:
    """Plain values of a label map, read once in strips of 512 rows.

    Args:
        labels: the label map.
        confidence: the shares of votes beside it, if there are any.

    Returns: ``labelled`` (share of all pixels), ``found`` (classes that occur), ``largest`` (share of the largest among
    the labelled pixels; None without one), ``confidence`` (mean share of votes, 0 to 1; None where unknown), and
    ``classes``: value, name, colour, pixels and hectares (None without a CRS) of each class that occurs, by value.

    Raises: InputError if a file is damaged.
    """
    with LabelMap(labels) as source:
        counts, hectares = _sizes(source)
        values = [int(value) for value in np.flatnonzero(counts[1:]) + 1]
        classes = [
            {
                "value": value,
                "name": source.title(value),
                "colour": source.colours.get(value, default_colour(value)),
                "pixels": int(counts[value]),
                "hectares": None if hectares is None else round(float(hectares[value]), 4),
            }
            for value in values
        ]
    known = int(counts[1:].sum())
    return {
        "labelled": known / int(counts.sum()),
        "found": len(values),
        "largest": int(counts[1:].max()) / known if known else None,
        "confidence": None if confidence is None else mean_confidence(confidence),
        "classes": classes,
    }


def mean_confidence(path: Path) -> float | None:
    """The mean share of votes, 0 to 1, over the pixels that have one; None without any."""
    counts = np.zeros(256, np.int64)
    with open_raster(path) as dataset, gdal_errors(f"read {path}: it is truncated or damaged"):
        grid = grid_of(dataset)
        for window in label_windows(grid):
            counts += np.bincount(dataset.read(1, window=to_rasterio(window)).ravel(), minlength=256)
    known = int(counts[:NO_SHARE].sum())
    return float(counts[:NO_SHARE] @ np.arange(NO_SHARE)) / (known * SHARE_STEPS) if known else None


def _sizes(source: LabelMap) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of every value, and their hectares where the map says how large pixels are: (256,) each."""
    rows = known_pixel_areas(source.grid)
    counts, hectares = np.zeros(256, np.int64), np.zeros(256)
    for window, (labels,) in strips((source,), source.grid):
        counts += np.bincount(labels.ravel(), minlength=256)
        if rows is not None:
            hectares += _areas(labels, rows[window.row : window.end[0]]) / 1e4
    return counts, None if rows is None else hectares


def _areas(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Square metres of every value of a strip (h, w), whose rows have pixels of the areas (h,)."""
    if rows.min() == rows.max():
        return np.asarray(np.bincount(labels.ravel(), minlength=256) * rows[0])
    lines = [np.bincount(line, minlength=256) * area for line, area in zip(labels, rows, strict=True)]
    return np.asarray(np.sum(lines, axis=0))
