"""What is shown beside scenes: label maps, confidences, references. Each gives tiles, and the value at a place.

A source is read decimated, from its overviews where it has some: memory is that of a tile, whatever the raster's size.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio

from rsseg.label.maps import LabelMap
from rsseg.label.reference import Reference, open_reference
from rsseg.publish.class_colours import class_colours
from rsseg.publish.palette import colour_table, default_colour
from rsseg.publish.quicklook import share_colours
from rsseg.publish.view.opened import Opened, Stamp, stamp_of
from rsseg.publish.view.pictures import Tile, palette_png
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import gdal_errors, grid_of, label_windows, open_raster, to_rasterio


class Source(Protocol):
    """A raster that can be shown; safe for several threads."""

    path: Path
    grid: Grid

    @property
    def stamp(self) -> Stamp:
        """Changes when the file is replaced."""

    def tile(self, tile: Tile) -> bytes:
        """A PNG file of a tile; no data is transparent."""

    def at(self, row: int, col: int) -> dict[str, Any]:
        """What is there, ready for JSON."""

    def close(self) -> None:
        """Close the file."""


class LabelSource:
    """A label map in the colours of its classes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened = Opened(path, lambda: LabelMap(path))
        with self._opened.use() as labels:
            self.grid = labels.grid
        self._counts: tuple[Stamp, np.ndarray] | None = None

    @property
    def stamp(self) -> Stamp:
        """Changes when the file is replaced."""
        return stamp_of(self.path)

    def tile(self, tile: Tile, colours: Mapping[int, str] | None = None) -> bytes:
        """A PNG file of a tile; ``colours`` (``#rrggbb`` by value) take the place of the map's own."""
        with self._opened.use() as labels:
            values, own = labels.read(tile.window, tile.size), labels.colours
        return palette_png(values, _palette({**own, **(colours or {})}), 0)

    def at(self, row: int, col: int) -> dict[str, Any]:
        """The value; 0 where there is none."""
        with self._opened.use() as labels:
            return {"value": int(labels.read(Window(row, col, 1, 1))[0, 0])}

    def looks(self) -> dict[int, tuple[str, str]]:
        """Name and colour of each value, as the map has them."""
        with self._opened.use() as labels:
            return {v: (labels.title(v), labels.colours.get(v, default_colour(v))) for v in range(1, 256)}

    def counts(self) -> np.ndarray:
        """Pixels of each value, (256,) int64; counted once, by a reader of its own, so that tiles do not wait."""
        stamp = self.stamp
        if self._counts is None or self._counts[0] != stamp:
            counts = np.zeros(256, np.int64)
            with LabelMap(self.path) as labels:
                for window in label_windows(labels.grid):
                    counts += np.bincount(labels.read(window).ravel(), minlength=256)
            self._counts = stamp, counts
        return self._counts[1]

    def close(self) -> None:
        """Close the file."""
        self._opened.close()


class ValueSource:
    """A raster of shares of 0 to 1, such as a confidence: uint8 with a scale; dark is low, light is high."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: Opened[rasterio.DatasetReader] = Opened(path, lambda: open_raster(path))
        with self._opened.use() as dataset:
            self.grid, self.scale = grid_of(dataset), float(dataset.scales[0])
            self.nodata = 255 if dataset.nodata is None else int(dataset.nodata)

    @property
    def stamp(self) -> Stamp:
        """Changes when the file is replaced."""
        return stamp_of(self.path)

    def tile(self, tile: Tile) -> bytes:
        """A PNG file of a tile; pixels without data are transparent."""
        return palette_png(self._read(tile.window, tile.size), share_colours(round(1 / self.scale)), self.nodata)

    def at(self, row: int, col: int) -> dict[str, Any]:
        """The share; None where there is none."""
        stored = int(self._read(Window(row, col, 1, 1), (1, 1))[0, 0])
        return {"share": None if stored == self.nodata else stored * self.scale}

    def _read(self, window: Window, size: tuple[int, int]) -> np.ndarray:
        with self._opened.use() as dataset, gdal_errors(f"read {self.path}: it is truncated or damaged"):
            values: np.ndarray = dataset.read(1, window=to_rasterio(window), out_shape=size)
        return values

    def close(self) -> None:
        """Close the file."""
        self._opened.close()


class ReferenceSource:
    """Reference polygons or points, burnt into the map's grid, or into a coarser one for each zoom level."""

    def __init__(self, path: Path, grid: Grid, owner: Path, field: str | None) -> None:
        self.path, self.grid = path, grid
        self._owner, self._field = owner, field
        self._levels: dict[int, Opened[Reference]] = {}
        with self._opened(1).use() as reference:
            names = dict(enumerate(reference.classes, 1))
        self._colours = class_colours(names)
        self._looks = {value: (name, self._colours[value]) for value, name in names.items()}

    @property
    def stamp(self) -> Stamp:
        """Changes when the file is replaced."""
        return stamp_of(self.path)

    def tile(self, tile: Tile) -> bytes:
        """A PNG file of a tile; what no polygon holds is transparent."""
        factor = 1 << tile.level
        with self._opened(factor).use() as reference:
            codes = reference.read(Window(tile.window.row // factor, tile.window.col // factor, *tile.size))
        return palette_png(codes, _palette(self._colours), 0)

    def at(self, row: int, col: int) -> dict[str, Any]:
        """The class; 0 where there is none."""
        with self._opened(1).use() as reference:
            return {"value": int(reference.read(Window(row, col, 1, 1))[0, 0])}

    def looks(self) -> dict[int, tuple[str, str]]:
        """Name and colour of each value."""
        return self._looks

    def counts(self) -> np.ndarray:
        """Pixels of each class: (256,) int64."""
        counts = np.zeros(256, np.int64)
        with self._opened(1).use() as reference:
            for window in label_windows(self.grid):
                counts += np.bincount(reference.read(window).ravel(), minlength=256)
        return counts

    def _opened(self, factor: int) -> Opened[Reference]:
        if factor not in self._levels:
            grid = self.grid.coarsened(factor)
            opener: Callable[[], Reference] = lambda: open_reference(self.path, grid, self._owner, self._field)  # noqa: E731
            self._levels[factor] = Opened(self.path, opener)
        return self._levels[factor]

    def close(self) -> None:
        """Forget the polygons."""
        for opened in self._levels.values():
            opened.close()


def _palette(colours: Mapping[int, str]) -> np.ndarray:
    """The colours of a tile, (256, 3) uint8; that of 0, which is transparent, is never seen."""
    return colour_table(colours, nothing="#000000")


def ramp_colours(count: int = 9) -> list[str]:
    """Colours of shares from 0 to 1, evenly spaced, for a legend."""
    chosen = share_colours(255)[np.rint(np.linspace(0, 255, count)).astype(int)]
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in chosen]
