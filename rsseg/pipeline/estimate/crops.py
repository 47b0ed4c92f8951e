"""Small parts of a scene on disk, on which the stages of a run are rehearsed."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
import shapely

from rsseg.errors import RssegError
from rsseg.files import replacing
from rsseg.label.reference import is_vector
from rsseg.learn.channels.base import cells
from rsseg.pipeline.plan import Plan, RunScene
from rsseg.pipeline.stages.toa import toa
from rsseg.scene.grid import Window
from rsseg.scene.polygons import area_polygons
from rsseg.scene.radiometry import Calibration
from rsseg.scene.raster import RasterWriter, grid_of, open_raster, same_grid, to_rasterio
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene, SceneReader

SAMPLE, CELL = 1 << 18, (64, 256)
"""Pixels that are looked at to see how much of a scene is valid, and the windows that they lie in."""

FULL = 0.99
"""A window with this share of valid pixels is as good as any."""


@dataclass(frozen=True)
class Look:
    """What a sample of a scene shows: the share of valid pixels, seconds to read a pixel, and a place for crops.

    ``centre``: (row, column) of a place that is valid, and that has reference polygons where there are some.
    """

    valid: float
    seconds: float
    centre: tuple[int, int]


def look_at(scene: RunScene) -> Look:
    """Read a sample of windows that are spread over a scene."""
    shape = scene.source.grid.shape
    windows, shares, pixels, began = cells(shape, *CELL, SAMPLE), [], 0, time.perf_counter()
    with scene.source.open() as reader:
        for window in windows:
            shares.append(float(reader.read(window)[1].mean()))
            pixels += window.height * window.width
    seconds = (time.perf_counter() - began) / pixels
    middles = [(w.row + w.height // 2, w.col + w.width // 2) for w in windows]
    away = [abs(row / shape[0] - 0.5) + abs(col / shape[1] - 0.5) for row, col in middles]
    best = min(range(len(windows)), key=lambda i: (-min(shares[i], FULL), away[i]))
    return Look(float(np.mean(shares)), seconds, _polygon(scene) or middles[best])


def _polygon(scene: RunScene) -> tuple[int, int] | None:
    """The middle of the reference polygon that is nearest to the scene's own; None where there is none."""
    if scene.reference is None or not is_vector(scene.reference):
        return None
    grid = scene.source.grid
    try:
        shapes = area_polygons(scene.reference, grid, scene.source.path)
    except RssegError:
        return None
    points = [grid.rowcol(point.x, point.y) for point in shapely.centroid(np.array(shapes, object))]
    row, col = min(points, key=lambda p: abs(p[0] - grid.height / 2) + abs(p[1] - grid.width / 2))
    return int(row), int(col)


def window_at(scene: Scene, centre: tuple[int, int], side: int) -> Window:
    """A window of ``side`` pixels around a place, moved inside the scene and no larger than it."""
    height, width = min(side, scene.grid.height), min(side, scene.grid.width)
    row = min(max(0, centre[0] - height // 2), scene.grid.height - height)
    col = min(max(0, centre[1] - width // 2), scene.grid.width - width)
    return Window(row, col, height, width)


def write_crop(plan: Plan, scene: RunScene, window: Window, folder: Path) -> RunScene:
    """A part of a scene as later stages of the run would read it, below ``folder``; with its part of the reference.

    Of a product of digital numbers it is converted, as the run does.
    """
    target = folder / "crop" / f"{scene.name}.tif"
    if scene.source.origin == "level-1":
        _convert(plan, scene.source, window, target)
    else:
        _copy(scene.source, window, target)
    opened = replace(open_scene(target, bands=plan.bands, scale=plan.config.scale), place=None)
    return RunScene(scene.name, opened, _reference(scene, window, folder), scene.field)


def _convert(plan: Plan, scene: Scene, window: Window, target: Path) -> None:
    chosen = plan.config.toa
    toa(
        scene.path,
        target,
        bands=plan.config.bands,
        calibration=Calibration(radiance_from=chosen.radiance_from, solar=chosen.solar),
        dtype=chosen.dtype,
        aoi=plan.aoi,
        bounds=scene.grid.crop(window).bounds,
        overwrite=True,
    )


def _copy(scene: Scene, window: Window, target: Path) -> None:
    """The pixels as they are stored; those without data get a number that marks them."""
    with SceneReader(scene) as reader:
        values, valid = reader.read(window)
    nodata = np.nan if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    values[:, ~valid] = nodata
    units = {} if scene.units == "uncalibrated" else {"units": scene.units}
    with (
        replacing(target, overwrite=True) as part,
        RasterWriter(
            part,
            scene.grid.crop(window),
            count=len(scene.bands),
            dtype=str(values.dtype),
            nodata=float(nodata),
            band_names=scene.band_names,
            tags={**scene.full_tags, **units},
            scales=scene.scales.tolist() if units else None,
            offsets=scene.offsets.tolist() if units else None,
        ) as writer,
    ):
        writer.write(values, Window(0, 0, window.height, window.width))


def _reference(scene: RunScene, window: Window, folder: Path) -> Path | None:
    """The reference: polygons as they are, of a raster on the scene's grid the same window, of another one none."""
    if scene.reference is None or is_vector(scene.reference):
        return scene.reference
    with rasterio.Env(), open_raster(scene.reference) as source:
        if not same_grid(grid_of(source), scene.source.grid):
            return None
        values = source.read(1, window=to_rasterio(window))
        target = folder / "crop" / f"{scene.name}-reference.tif"
        with RasterWriter(
            target, scene.source.grid.crop(window), count=1, dtype=str(values.dtype), nodata=source.nodata
        ) as writer:
            writer.write(values, Window(0, 0, window.height, window.width))
    return target
