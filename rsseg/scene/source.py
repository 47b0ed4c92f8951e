"""A scene, wherever it came from: bands in files on one grid, their calibration, and the rule for valid pixels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

from rsseg.errors import UsageError
from rsseg.scene.grid import Grid, Window
from rsseg.scene.place import Place, in_window
from rsseg.scene.raster import gdal_errors, open_raster, to_rasterio

Units = Literal["reflectance", "radiance", "uncalibrated"]

Fill = Literal["all", "any", "mask"]
"""Which pixels hold no data: those where all bands are 0, those where any band is 0, or those that the raster says."""

Origin = Literal["level-1", "level-2", "raster"]
"""A product of digital numbers with its calibration, a product of surface reflectance, or any other raster."""


@dataclass(frozen=True)
class Band:
    """One band of a scene: physical value = stored value * scale + offset.

    ``path`` is a name for GDAL (perhaps inside an archive), ``index`` counts from 1. ``code`` is the sensor's own name
    ("B3"), ``constants`` the calibration's numbers as texts, by name.
    """

    name: str
    path: str
    index: int = 1
    scale: float = 1.0
    offset: float = 0.0
    code: str = ""
    constants: tuple[tuple[str, str], ...] = ()


class PartMask(Protocol):
    """The part of a raster that a scene is; ``scene.aoi.Area`` is one."""

    @property
    def window(self) -> Window:
        """Where the scene lies in its files."""

    def mask(self, window: Window, shape: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """Which pixels of a window of the scene belong to it, decimated to ``shape`` if that is given."""


@dataclass(frozen=True)
class Scene:
    """A scene as every command opens it; nothing of its pixels has been read.

    ``dtype`` is the numpy name of the stored type (the common one of several files). ``all_bands`` are the bands that
    the rule "all bands are 0" looks at: those of the product, also when fewer were chosen. ``area`` is set where the
    scene is a part of its files, and ``place`` where its grid is a part of a larger raster's.
    """

    name: str
    path: Path
    grid: Grid
    bands: tuple[Band, ...]
    dtype: str
    units: Units
    fill: Fill = "mask"
    tags: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = "raster"
    all_bands: tuple[Band, ...] = ()
    area: PartMask | None = None
    place: Place | None = None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return tuple(band.name for band in self.bands)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return len(self.bands), self.grid.height, self.grid.width

    @property
    def scales(self) -> np.ndarray:
        """Scale of each band: (bands,) float64."""
        return np.array([band.scale for band in self.bands], dtype=np.float64)

    @property
    def offsets(self) -> np.ndarray:
        """Offset of each band: (bands,) float64."""
        return np.array([band.offset for band in self.bands], dtype=np.float64)

    @property
    def full_tags(self) -> dict[str, str]:
        """The scene's tags and each band's constants as ``CONSTANT_BAND``, for instance ``lmax_green``."""
        constants = {f"{key}_{band.name}": text for band in self.bands for key, text in band.constants}
        return {**self.tags, **constants}

    def select(self, bands: Sequence[str] | None) -> "Scene":
        """The scene with these bands in this order, by name, by the sensor's code, or by number from 1.

        Raises: UsageError if one is unknown or given twice.
        """
        if bands is None:
            return self
        return replace(self, bands=select_bands(self.bands, bands, self.path))

    def open(self) -> "SceneReader":
        """Open the files for reading; use it in a ``with`` statement."""
        return SceneReader(self)


def select_bands(available: Sequence[Band], wanted: Sequence[str], path: Path) -> tuple[Band, ...]:
    """Bands by name, by the sensor's code, or by number from 1, in the order of ``wanted``.

    Raises: UsageError, listing the bands there are.
    """
    chosen = tuple(_find_band(available, str(word), path) for word in wanted)
    if not chosen:
        raise UsageError(f"no band was chosen from {path}; {_listing(available)}")
    twice = [band.name for i, band in enumerate(chosen) if band in chosen[:i]]
    if twice:
        raise UsageError(f"band {twice[0]} is given twice; name each band once")
    return chosen


def _find_band(available: Sequence[Band], word: str, path: Path) -> Band:
    for band in available:
        if word.casefold() == band.name.casefold():
            return band
    for band in available:
        if word.casefold() == band.code.casefold():
            return band
    if word.isdecimal() and 1 <= int(word) <= len(available):
        return available[int(word) - 1]
    raise UsageError(f"{path} has no band {word}; {_listing(available)}")


def _listing(available: Sequence[Band]) -> str:
    return "its bands are " + ", ".join(band.name for band in available)


class SceneReader:
    """Open files of a scene; a context manager for one thread at a time.

    Memory is that of the window asked for, besides GDAL's block cache.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.dtype = np.dtype(scene.dtype)
        self._stack = ExitStack()
        self._datasets: dict[str, rasterio.DatasetReader] = {}
        with ExitStack() as guard:
            for band in (*scene.bands, *self._mask_bands):
                if band.path not in self._datasets:
                    self._datasets[band.path] = guard.enter_context(open_raster(band.path))
            self._stack = guard.pop_all()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return self.scene.shape

    @property
    def _mask_bands(self) -> tuple[Band, ...]:
        """Bands that were not chosen but decide which pixels are valid."""
        if self.scene.fill != "all":
            return ()
        chosen = {(band.path, band.index) for band in self.scene.bands}
        return tuple(band for band in self.scene.all_bands if (band.path, band.index) not in chosen)

    def read(self, window: Window, shape: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a window, decimated to ``shape`` (rows, columns) by nearest neighbour if that is given.

        Returns: values (bands, h, w) in the stored type, and valid (h, w) bool. Values of invalid pixels are whatever
        the files hold.
        Raises: InputError if a file is truncated or damaged.
        """
        size = shape or (window.height, window.width)
        values = np.empty((len(self.scene.bands), *size), dtype=self.dtype)
        area = self.scene.area
        stored = in_window(area.window, window) if area else window
        for path, positions in _by_path(self.scene.bands):
            indexes = [self.scene.bands[i].index for i in positions]
            self._read_into(values, positions, path, indexes, stored)
        valid = self._valid(values, stored)
        return values, (valid & area.mask(window, shape) if area else valid)

    def _read_into(
        self, values: np.ndarray, positions: list[int], path: str, indexes: list[int], window: Window
    ) -> None:
        """Read bands of one file to ``positions`` of ``values``, without a copy where they are neighbours."""
        first, last = positions[0], positions[-1] + 1
        rows = f"rows {window.row} to {window.row + window.height - 1}"
        with gdal_errors(f"read {rows} of {path}: it is truncated or damaged"):
            if last - first == len(positions):
                self._datasets[path].read(indexes, window=to_rasterio(window), out=values[first:last])
                return
            shape = (len(indexes), *values.shape[1:])
            values[positions] = self._datasets[path].read(indexes, window=to_rasterio(window), out_shape=shape)

    def _valid(self, values: np.ndarray, window: Window) -> np.ndarray:
        if self.scene.fill == "mask":
            return self._masked(values, window)
        if self.scene.fill == "any":
            return np.all(values != 0, axis=0)
        return self._any_nonzero(values, window)

    def _any_nonzero(self, values: np.ndarray, window: Window) -> np.ndarray:
        """Pixels where at least one band of the product is not 0."""
        if self.dtype.kind in "ui":
            valid: np.ndarray = np.bitwise_or.reduce(values, axis=0) != 0
        else:
            valid = np.any(values != 0, axis=0)
        for band in self._mask_bands:
            extra = np.empty((1, *valid.shape), dtype=self.dtype)
            self._read_into(extra, [0], band.path, [band.index], window)
            valid |= extra[0] != 0
        return valid

    def _masked(self, values: np.ndarray, window: Window) -> np.ndarray:
        """Pixels that are valid in every band by the file's nodata, mask or alpha, and finite."""
        valid = np.ones(values.shape[1:], dtype=bool)
        for position, band in enumerate(self.scene.bands):
            valid &= self._band_mask(band, values[position], window)
        if self.dtype.kind == "f":
            valid &= np.isfinite(values).all(axis=0)
        return valid

    def _band_mask(self, band: Band, values: np.ndarray, window: Window) -> np.ndarray | bool:
        dataset = self._datasets[band.path]
        flags = dataset.mask_flag_enums[band.index - 1]
        if flags == [MaskFlags.all_valid]:
            return True
        if flags == [MaskFlags.nodata]:
            return _not_nodata(values, dataset.nodatavals[band.index - 1])
        with gdal_errors(f"read the mask of {band.path}: it is truncated or damaged"):
            mask = dataset.read_masks(band.index, window=to_rasterio(window), out_shape=values.shape)
        valid: np.ndarray = mask != 0
        return valid

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __enter__(self) -> "SceneReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _not_nodata(values: np.ndarray, nodata: float | None) -> np.ndarray | bool:
    """Values that differ from a nodata number; NaN is found by the test for finite values."""
    if nodata is None or np.isnan(nodata):
        return True
    if values.dtype.kind == "f":
        # the number is stored as text or float64: compare it in the raster's own precision
        return values != np.float64(nodata).astype(values.dtype)
    if nodata != int(nodata) or not np.iinfo(values.dtype).min <= nodata <= np.iinfo(values.dtype).max:
        return True
    return values != values.dtype.type(int(nodata))


def _by_path(bands: Sequence[Band]) -> Iterator[tuple[str, list[int]]]:
    """Each file with the positions of its bands."""
    for path in dict.fromkeys(band.path for band in bands):
        yield path, [i for i, band in enumerate(bands) if band.path == path]
