"""Statistics of a scene's patches and the normalisation from them, against reading the scene.

ours     ``find_patches`` and ``standardise``, which training begins with: a scene of reflectance read once in strips,
         valid pixels, sums and squares of every patch, moments of those that training takes.
limit    rasterio reads the same bands and the same mask in strips of as many rows, and does nothing with them.
instead  a loop over patches: a windowed read of each, ``mean`` and ``std`` by numpy over its valid pixels. It is run on
         ``loop_patches`` neighbouring patches in the middle, and compared by patches a second.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row
from suite.scenes import reflectance, scene_of

STRIP = 256
"""Rows that the statistics read at a time."""

LINES = (
    Line(
        "statistics",
        "patch statistics and normalisation",
        __name__,
        {
            "ours": "find_patches and standardise",
            "limit": f"rasterio reads the bands and the mask in strips of {STRIP} rows",
            "instead": "a windowed read of every patch, numpy's mean and std of each (on some, by patches a second)",
        },
        settings={"size": [3000, 3200], "patch": 8, "stride": 8, "loop_patches": 8000},
        full={"size": [16600, 18000]},
        unit="patches",
        aims=[Aim("ours / limit", 1.2)],
    ),
)


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The scene's reflectance."""
    reflectance(folder, settings["size"])


def _patches(settings: dict[str, Any]) -> int:
    from rsseg.scene.grid import PatchGrid

    return len(PatchGrid.of(tuple(settings["size"]), settings["patch"], settings["stride"]))


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.learn.normalise import standardise
    from rsseg.learn.samples import find_patches
    from rsseg.pipeline.inputs import open_scenes, reading

    began = time.perf_counter()
    with reading(open_scenes([scene_of(folder, settings["size"])])) as inputs:
        found, moments = find_patches(inputs, settings["patch"], settings["stride"])
        centre = standardise(moments).centre
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "work": _patches(settings), "training": len(found[0].numbers), "mean": centre[0]}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import rasterio

    from rsseg.scene.grid import Grid
    from rsseg.scene.raster import label_windows, open_raster, to_rasterio

    began = time.perf_counter()
    with rasterio.Env(), open_raster(scene_of(folder, settings["size"])) as dataset:
        for window in label_windows(Grid(dataset.height, dataset.width), STRIP):
            dataset.read(window=to_rasterio(window))
            dataset.read_masks(window=to_rasterio(window))
    return {"seconds": time.perf_counter() - began, "work": _patches(settings)}


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    import rasterio
    from rasterio.windows import Window

    (height, width), patch, stride = settings["size"], settings["patch"], settings["stride"]
    wanted = min(settings["loop_patches"], _patches(settings))
    columns = range(0, width - patch + 1, stride)
    first = max(0, height // 2 - (wanted // len(columns)) * stride // 2) // stride * stride
    places = [(row, col) for row in range(first, height - patch + 1, stride) for col in columns][:wanted]
    began, found = time.perf_counter(), []
    with rasterio.open(scene_of(folder, settings["size"])) as dataset:
        scale, offset = dataset.scales[0], dataset.offsets[0]
        for row, col in places:
            values = dataset.read(window=Window(col, row, patch, patch), masked=True) * scale + offset
            found.append((values.mean(axis=(1, 2)), values.std(axis=(1, 2))))
    return {"seconds": time.perf_counter() - began, "work": len(found)}
