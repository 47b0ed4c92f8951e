"""What cuts training samples into regions on which labels are made equal: an algorithm, or a label raster."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from rsseg.errors import GridError, InputError
from rsseg.learn.channels.derived import bands_of
from rsseg.learn.inputs import SceneInput
from rsseg.learn.methods import MethodSettings
from rsseg.learn.regions import RegionMaker
from rsseg.scene.grid import Window
from rsseg.scene.raster import gdal_errors, grid_of, open_raster, same_grid, to_rasterio
from rsseg.scene.source import Scene
from rsseg.scene.superpixels import contiguous, superpixels


@contextmanager
def region_maker(method: MethodSettings, scenes: Sequence[Scene]) -> Iterator[RegionMaker | None]:
    """The function that gives a sample's regions, or None where the method asks for none.

    A label raster (Ferreira et al., section X: the result of another segmentation in place of superpixels) stays open
    for as long as the context lasts.

    Raises: GridError naming both if the raster lies on another grid than a scene; InputError if it holds no labels.
    """
    options, reading = method.superpixel_options(), Lock()  # regions are made in threads, files are read by one
    if options is None:
        yield None
    elif options["kind"] == "raster":
        with open_raster(options["raster"]) as raster:
            _check_labels(raster)
            for scene in scenes:
                _check_grid(raster, scene)
            yield lambda pixels, valid, scene, window: raster_regions(raster, window, reading)
    else:

        def of_bands(pixels: NDArray, valid: NDArray, scene: SceneInput | None, window: Window) -> NDArray:
            with reading:
                bands = _bands(pixels, scene, window)
            return superpixels(bands, valid, **options)

        yield of_bands


def _bands(pixels: NDArray, scene: SceneInput | None, window: Window) -> NDArray:
    """The scene's bands, which superpixels follow whatever else the network sees; ``pixels`` where that is these."""
    found = bands_of(scene, window) if scene else None
    return pixels if found is None else found[0]


def raster_regions(
    raster: rasterio.DatasetReader, window: Window, reading: AbstractContextManager[Any] | None = None
) -> NDArray[np.int32]:
    """The regions of a window, numbered from 0 without gaps: (h, w) int32.

    A region is a piece of one value whose pixels are connected by their edges within the window; all pixels without
    data are one region. ``reading``: held while the file is read.
    """
    from skimage.measure import label  # half a second, which other methods need not wait for

    with reading or nullcontext(), gdal_errors(f"read {raster.name}: it is truncated or damaged"):
        values = raster.read(1, window=to_rasterio(window))
        absent = raster.read_masks(1, window=to_rasterio(window)) == 0
    # numbers that no other label has: the label's own place in order, 0 for no data
    places = np.where(absent, 0, contiguous(values) + 1)
    return contiguous(label(places, background=0, connectivity=1))


def _check_labels(raster: rasterio.DatasetReader) -> None:
    if raster.count != 1 or np.dtype(raster.dtypes[0]).kind not in "ui":
        found = f"{raster.count} bands of {raster.dtypes[0]}"
        raise InputError(f"{raster.name} is no label raster: it has {found}, where one band of integers is wanted")


def _check_grid(raster: rasterio.DatasetReader, scene: Scene) -> None:
    grid = grid_of(raster)
    if not same_grid(grid, scene.grid):
        raise GridError(
            f"the region raster {raster.name} ({grid.height} x {grid.width}) does not lie on the grid of {scene.path} "
            f"({scene.grid.height} x {scene.grid.width}); give one on the grid of all scenes, or train on one scene"
        )
