"""Rasters on disk: opening them with clear errors, comparing their grids, and the one writer of GeoTIFF and COG."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.windows import Window as RasterWindow

from rsseg.errors import InputError, RssegError
from rsseg.scene.formats import Compression, OverviewResampling
from rsseg.scene.gdal import CACHE_BYTES, gdal_errors, quiet
from rsseg.scene.grid import Grid, Transform, Window
from rsseg.scene.opening import DRIVERS, open_raster

__all__ = ["CACHE_BYTES", "DRIVERS", "gdal_errors", "open_raster"]  # the rest of what is public is defined here

LEVELS = {"deflate": 4, "zstd": 3}
"""Compression levels: GDAL's defaults, 6 and 9, take three to four times as long for files 1 to 3 % smaller."""

BLOCK = 512
"""Side of a tile of every raster written, in pixels."""


def to_rasterio(window: Window) -> RasterWindow:
    """A window as rasterio wants it."""
    return RasterWindow(window.col, window.row, window.width, window.height)


def check_whole(path: Path) -> None:
    """Check that every tile of a GeoTIFF just written lies inside the file.

    GDAL compresses and writes in threads, and says nothing when the disk is full.
    Raises: RssegError.
    """
    size = path.stat().st_size
    with gdal_errors(f"write {path}; is the disk full?", RssegError), quiet(), rasterio.open(path) as dataset:
        ends = [
            _tile_end(dataset, band, row, col)
            for band in dataset.indexes
            for (row, col), _ in dataset.block_windows(band)
        ]
    if any(end is None or end > size for end in ends):
        raise RssegError(f"{path.name} could not be written completely; is the disk full?")


def _tile_end(dataset: rasterio.DatasetReader, band: int, row: int, col: int) -> int | None:
    """One past the last byte of a tile, or None where it was never written."""
    place = [dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")]
    return None if None in place else int(place[0]) + int(place[1])


def grid_of(dataset: rasterio.DatasetReader) -> Grid:
    """The grid of an open dataset; without georeference it is pixels: x = column, y = -row, no CRS."""
    crs = dataset.crs.to_wkt() if dataset.crs else None
    if crs is None and dataset.transform.is_identity:
        return Grid(dataset.height, dataset.width)
    a, b, c, d, e, f = tuple(dataset.transform)[:6]
    return Grid(dataset.height, dataset.width, (a, b, c, d, e, f), crs)


def same_crs(a: str | None, b: str | None) -> bool:
    """Whether two CRS texts (WKT, or None) describe one coordinate system.

    They are compared with each other as PROJ objects, never through an EPSG code: a supplier's rounded ellipsoid makes
    the look-up return a wrong one.
    """
    if a is None or b is None or a == b:
        return a == b
    with gdal_errors("understand a coordinate system"):
        return bool(CRS.from_wkt(a) == CRS.from_wkt(b))


def same_grid(a: Grid, b: Grid) -> bool:
    """Whether two grids have one shape, one CRS, and corners that agree within a millionth of a pixel."""
    if a.shape != b.shape or not same_crs(a.crs, b.crs):
        return False
    return all(_within(a, b.xy(row, col), (row, col)) for row in (0, a.height) for col in (0, a.width))


def _within(grid: Grid, xy: tuple[float, float], rowcol: tuple[float, float]) -> bool:
    row, col = grid.rowcol(*xy)
    # large projected coordinates leave about 1e-9 of a pixel to rounding
    return abs(row - rowcol[0]) < 1e-6 and abs(col - rowcol[1]) < 1e-6


def label_windows(grid: Grid, rows: int = BLOCK) -> Iterator[Window]:
    """Full-width strips of ``rows`` rows from top to bottom; the last one is as high as what is left."""
    for row in range(0, grid.height, rows):
        yield Window(row, 0, min(rows, grid.height - row), grid.width)


def read_labels(path: Path) -> tuple[np.ndarray, Grid]:
    """A whole label raster: labels (H, W) of the stored integer type (0 = no data) and its grid.

    Raises: InputError if it has several bands or holds no integers.
    """
    with open_raster(path) as dataset:
        if dataset.count != 1 or np.dtype(dataset.dtypes[0]).kind not in "ui":
            found = f"{dataset.count} bands of {dataset.dtypes[0]}"
            raise InputError(f"{path} is no label raster: it has {found}, where one band of integers is wanted")
        with gdal_errors(f"read {path}: it is truncated or damaged"):
            return dataset.read(1), grid_of(dataset)


class RasterWriter:
    """A plain tiled GeoTIFF written window by window; a context manager.

    It writes at ``path`` itself, so that callers wrap it in ``files.replacing``. Tiles are compressed on all cores;
    memory is GDAL's block cache. Windows aligned to ``blocksize`` rows are the fastest.
    """

    def __init__(
        self,
        path: Path,
        grid: Grid,
        *,
        count: int,
        dtype: str,
        nodata: float | None,
        band_names: Sequence[str] | None = None,
        tags: Mapping[str, str] | None = None,
        band_tags: Sequence[Mapping[str, str]] | None = None,
        scales: Sequence[float] | None = None,
        offsets: Sequence[float] | None = None,
        colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
        compress: Compression = "deflate",
        predictor: int | None = None,
        level: int | None = None,
        blocksize: int = BLOCK,
    ) -> None:
        self.path = path
        options = creation_options(compress, _predictor(predictor, dtype), level, blocksize)
        with quiet(), gdal_errors(f"write {path}", RssegError):
            self._dataset = rasterio.open(
                path, "w", **_profile(grid), count=count, dtype=dtype, nodata=nodata, **options
            )
        self._describe(band_names, tags, band_tags)
        if scales is not None:
            self._dataset.scales = tuple(scales)
        if offsets is not None:
            self._dataset.offsets = tuple(offsets)
        if colormap is not None:
            self._dataset.write_colormap(1, dict(colormap))

    def _describe(
        self,
        band_names: Sequence[str] | None,
        tags: Mapping[str, str] | None,
        band_tags: Sequence[Mapping[str, str]] | None,
    ) -> None:
        for number, name in enumerate(band_names or (), 1):
            self._dataset.set_band_description(number, name)
        for number, items in enumerate(band_tags or (), 1):
            self._dataset.update_tags(number, **items)
        self._dataset.update_tags(**{**(tags or {}), "AREA_OR_POINT": "Area"})

    def write(self, values: np.ndarray, window: Window) -> None:
        """Write values (count, h, w), or (h, w) for a single band, of the raster's type at ``window``."""
        cube = values[np.newaxis] if values.ndim == 2 else values
        with gdal_errors(f"write {self.path}", RssegError):
            self._dataset.write(cube, window=to_rasterio(window))

    def close(self) -> None:
        """Write what is still cached, close the file and check that it is whole; closing twice is fine.

        Raises: RssegError if GDAL could not write everything, for instance on a full disk.
        """
        if self._dataset.closed:
            return
        with gdal_errors(f"write {self.path}", RssegError):
            self._dataset.close()
        check_whole(self.path)

    def __enter__(self) -> "RasterWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with suppress(RssegError):  # the first error is the one to tell
            self.close()


def _profile(grid: Grid) -> dict[str, Any]:
    profile: dict[str, Any] = {"driver": "GTiff", "height": grid.height, "width": grid.width}
    if grid.crs is not None:
        profile["crs"] = CRS.from_wkt(grid.crs)
    if grid.crs is not None or grid.transform != _PIXELS:
        profile["transform"] = rasterio.Affine(*grid.transform)
    return profile


_PIXELS: Transform = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def _predictor(asked: int | None, dtype: str) -> int:
    """The predictor that was asked for, or the one that suits measured values: 3 for floats, 2 for wide integers."""
    if asked is not None:
        return asked
    kind = np.dtype(dtype)
    return 3 if kind.kind == "f" else 2 if kind.itemsize > 1 else 1


def gdal_threads() -> str:
    """On how many threads GDAL packs and unpacks: all cores, unless its own variable says otherwise."""
    return os.environ.get("GDAL_NUM_THREADS") or "ALL_CPUS"


def creation_options(compress: Compression, predictor: int, level: int | None, blocksize: int) -> dict[str, Any]:
    """GDAL's creation options of a plain tiled GeoTIFF, as rasterio's keywords."""
    options: dict[str, Any] = {
        "tiled": True,
        "blockxsize": blocksize,
        "blockysize": blocksize,
        "interleave": "band",
        "bigtiff": "IF_SAFER",
        "num_threads": gdal_threads(),
    }
    if compress != "none":
        options |= {"compress": compress.upper(), "predictor": predictor}
    if compress in LEVELS:
        options["zlevel" if compress == "deflate" else "zstd_level"] = level or LEVELS[compress]
    return options


def write_cog(
    source: Path,
    target: Path,
    *,
    overview_resampling: OverviewResampling,
    compress: Compression = "deflate",
    predictor: bool = False,
) -> None:
    """Copy a GeoTIFF to a cloud-optimised one with overviews; palette, nodata, names and tags are kept.

    ``predictor`` suits measured values and harms labels. Memory is GDAL's block cache.
    """
    # num_threads alone leaves the unpacking of the source, and a part of the overviews, to one core
    cores = rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20, GDAL_NUM_THREADS=gdal_threads())
    with gdal_errors(f"write {target}", RssegError), cores:
        rasterio.shutil.copy(
            source,
            target,
            driver="COG",
            compress=compress.upper(),
            predictor="YES" if predictor else "NO",
            **({"level": LEVELS[compress]} if compress in LEVELS else {}),
            overview_resampling=overview_resampling,
            blocksize=BLOCK,
            num_threads=gdal_threads(),
            bigtiff="IF_SAFER",
        )
    check_whole(target)
