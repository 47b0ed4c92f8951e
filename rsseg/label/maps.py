"""Label rasters read by strips of rows: whole numbers with 0 for no data, names and colours where the file has them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Protocol, Self
from xml.etree import ElementTree as ET

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.vrt import WarpedVRT

from rsseg.errors import GridError, InputError
from rsseg.prefetch import prefetch
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import gdal_errors, grid_of, label_windows, open_raster, same_grid, to_rasterio

Resample = Literal["nearest"]
"""How a label raster is brought to another grid; values between labels mean nothing, so there is one way."""


class LabelReader(Protocol):
    """Something that gives labels window by window."""

    def read(self, window: Window) -> np.ndarray:
        """Labels of a window: (h, w) uint8, 0 where there is none."""


class IntegerRaster:
    """A raster of one band of whole numbers, seen on a grid of choice; a context manager for one thread at a time.

    0, the file's nodata value, its mask and everything outside it are no data. ``names``, ``colours`` (both by value)
    and ``tags`` are what the file says of itself.

    Args:
        path: the raster.
        like: the grid to read on; None for the raster's own.
        resample: "nearest" to bring a raster of another grid to ``like``.

    Raises: InputError if it is no such raster; GridError if it lies on another grid and is not to be resampled.
    """

    def __init__(self, path: Path, like: Grid | None = None, resample: Resample | None = None) -> None:
        self.path = path
        with ExitStack() as guard:
            dataset = guard.enter_context(open_raster(path))
            _check_integers(dataset, path)
            self.own_grid = grid_of(dataset)
            self.tags = {key: text for key, text in dataset.tags().items() if key != "AREA_OR_POINT"}
            self.grid = like or self.own_grid
            if not same_grid(self.own_grid, self.grid):
                check_resampling(path, self.own_grid, self.grid, resample)
                if _has_mask(dataset):
                    raise InputError(
                        f"{path} keeps its mask in a band of its own; give it a nodata value to resample it"
                    )
                dataset = guard.enter_context(_on_grid(dataset, self.grid))
            self._dataset = dataset
            self._nodata = dataset.nodata
            self._has_mask = _has_mask(dataset)
            self.names, self.colours = _names(path), _colours(dataset)
            self._stack = guard.pop_all()

    def read_integers(self, window: Window, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Values of a window, (h, w) in the stored type; 0 where there is no data.

        ``shape`` (rows, columns) asks for fewer pixels, from the overviews where the file has some.
        """
        part, size = to_rasterio(window), shape or (window.height, window.width)
        with gdal_errors(f"read {self.path}: it is truncated or damaged"):
            values: np.ndarray = self._dataset.read(1, window=part, out_shape=size)
            if self._has_mask:
                values[self._dataset.read_masks(1, window=part, out_shape=size) == 0] = 0
        if self._nodata is not None and self._nodata != 0:
            values[values == self._nodata] = 0
        return values

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()


class LabelMap(IntegerRaster):
    """A label map: values 1 to 255, 0 for no data; ``name`` is what tables call it (by default the file's stem)."""

    def __init__(
        self, path: Path, name: str | None = None, like: Grid | None = None, resample: Resample | None = None
    ) -> None:
        super().__init__(path, like, resample)
        self.name = name or path.stem

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Labels of a window, or of ``shape`` pixels of it: (h, w) uint8, 0 for no data.

        Raises: InputError if a value does not fit.
        """
        values = self.read_integers(window, shape)
        if values.dtype == np.uint8:
            return values
        if values.size and (values.min() < 0 or values.max() > 255):
            wrong = values.min() if values.min() < 0 else values.max()
            raise InputError(f"{self.path} holds the value {wrong}; a label map has 1 to 255, and 0 for no data")
        return values.astype(np.uint8)

    def title(self, value: int) -> str:
        """What a cluster is called: its name, with the value where several share it."""
        return title_of(self.names, value)


def title_of(names: Mapping[int, str], value: int) -> str:
    """What the cluster of a value is called: its name, with the value where several share it."""
    name = names.get(value, "")
    if not name:
        return f"cluster {value}"
    return name if list(names.values()).count(name) == 1 else f"{name} ({value})"


def check_resampling(path: Path, own: Grid, wanted: Grid, resample: Resample | None) -> None:
    """Refuse another grid unless it is to be resampled and can be.

    Raises: GridError, with both grids.
    """
    both = f"{path} lies on another grid: {describe(own)}, but {describe(wanted)} is wanted"
    if resample is None:
        raise GridError(f"{both}; --resample nearest brings it there")
    if (own.crs is None) != (wanted.crs is None):
        raise GridError(f"{both}; one of them has no CRS, so that nothing says how they lie to each other")


def describe(grid: Grid) -> str:
    """A grid in words: size, pixel size, upper left corner, CRS."""
    height, width = grid.pixel_size
    corner = "{:.10g}, {:.10g}".format(*grid.xy(0, 0))
    crs = "no CRS" if grid.crs is None else _crs_name(CRS.from_wkt(grid.crs))
    return f"{grid.height} x {grid.width} pixels of {height:.10g} x {width:.10g} from ({corner}), {crs}"


def _crs_name(crs: CRS) -> str:
    code = crs.to_epsg()
    if code:
        return f"EPSG:{code}"
    name = re.match(r'\w+\["([^"]*)"', crs.to_wkt())
    return name.group(1) if name else crs.to_wkt()


def strips(sources: Sequence[LabelReader], grid: Grid) -> Iterator[tuple[Window, list[np.ndarray]]]:
    """Aligned strips of 512 rows of several sources, each source read ahead by a thread of its own.

    Memory is three strips of each source, whatever the height.
    """
    windows = tuple(label_windows(grid))
    streams = [prefetch(map(source.read, windows)) for source in sources]
    for window, *values in zip(windows, *streams, strict=True):
        yield window, values


def _check_integers(dataset: rasterio.DatasetReader, path: Path) -> None:
    if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "ui":
        raise InputError(
            f"{path} is no label raster: it has {dataset.count} bands of {dataset.dtypes[0]}, where one of integers "
            "is wanted"
        )


def _has_mask(dataset: rasterio.DatasetReader) -> bool:
    return bool(set(dataset.mask_flag_enums[0]) - {MaskFlags.all_valid, MaskFlags.nodata})


def _on_grid(dataset: rasterio.DatasetReader, grid: Grid) -> WarpedVRT:
    # rasters without a CRS share one plane; any projected CRS on both sides stands for it
    target = CRS.from_wkt(grid.crs) if grid.crs else CRS.from_epsg(3857)
    source = dataset.crs or target
    return WarpedVRT(
        dataset,
        src_crs=source,
        crs=target,
        transform=rasterio.Affine(*grid.transform),
        height=grid.height,
        width=grid.width,
        resampling=Resampling.nearest,
        src_nodata=0 if dataset.nodata is None else dataset.nodata,
        nodata=0,
        # GDAL interpolates positions with an error of up to 1/8 pixel by default: enough to pick a neighbour
        tolerance=1e-6,
    )


def _names(path: Path) -> dict[int, str]:
    """Category names from the raster's ``.aux.xml``, by value."""
    sidecar = path.with_name(path.name + ".aux.xml")
    try:
        root = ET.parse(sidecar).getroot()
    except (OSError, ET.ParseError):
        return {}
    names = root.findall("PAMRasterBand[@band='1']/CategoryNames/Category")
    return {value: name.text or "" for value, name in enumerate(names) if value > 0 and name.text}


def _colours(dataset: rasterio.DatasetReader) -> dict[int, str]:
    """The palette's colours as ``#rrggbb``, by value; black is what GDAL fills unused entries with."""
    try:
        palette = dataset.colormap(1)
    except ValueError:
        return {}
    return {value: "#{:02x}{:02x}{:02x}".format(*rgba) for value, rgba in palette.items() if value and any(rgba[:3])}
