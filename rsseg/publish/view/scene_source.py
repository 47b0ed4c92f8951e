"""Scenes to show: tiles in false colour, and physical values at a place."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rsseg.publish.quicklook import in_colours
from rsseg.publish.view.opened import Opened, Stamp, stamp_of
from rsseg.publish.view.pictures import Tile, rgba_png
from rsseg.scene.grid import Window
from rsseg.scene.source import Scene, SceneReader

_COPY = 2560
"""Longer side of the decimated copy of a scene, at most."""

_SAMPLE = 1280
"""Longer side of the part of it that the stretch is found on."""


class SceneSource:
    """A scene in false colour: one stretch for the whole scene, from the 2nd to the 98th percentile of each band.

    Scenes mostly have no overviews, so that a coarse tile would read much of the file: coarse levels come from one
    decimated copy of at most 2560 pixels a side, made when the scene is first seen.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene, self.path, self.grid = scene, scene.path, scene.grid
        self._shown, self._all = Opened(scene.path, in_colours(scene).open), Opened(scene.path, scene.open)
        self._coarse = max(0, (-(-max(scene.grid.shape) // _COPY) - 1).bit_length())

    @property
    def stamp(self) -> Stamp:
        """Changes when the file is replaced."""
        return stamp_of(self.path)

    def tile(self, tile: Tile) -> bytes:
        """A PNG file of a tile; pixels without data are transparent."""
        with self._shown.use() as reader:
            copy = _copied(reader, self._coarse)
            if tile.level >= self._coarse:
                values, valid = copy.part(tile)
            else:
                values, valid = reader.read(tile.window, tile.size)
        return rgba_png(_coloured(values, valid, copy.limits))

    def at(self, row: int, col: int) -> dict[str, Any]:
        """Every band's physical value; none where the scene has no data."""
        with self._all.use() as reader:
            values, valid = reader.read(Window(row, col, 1, 1))
        physical = values[:, 0, 0].astype(np.float64) * self.scene.scales + self.scene.offsets
        bands = dict(zip(self.scene.band_names, physical.tolist(), strict=True)) if valid[0, 0] else {}
        return {"units": self.scene.units, "bands": bands}

    def close(self) -> None:
        """Close the files."""
        self._shown.close()
        self._all.close()


@dataclass(frozen=True)
class _Copy:
    """A scene decimated by 2^level: ``values`` (1 or 3, h, w) as stored, ``valid`` (h, w), ``limits`` to stretch by."""

    level: int
    values: np.ndarray
    valid: np.ndarray
    limits: np.ndarray

    def part(self, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
        """Values and valid pixels of a tile that is at least as coarse."""
        step = 1 << (tile.level - self.level)
        row, col = tile.window.row >> self.level, tile.window.col >> self.level
        # the pixel in the middle, or the last one there is
        rows = np.minimum(row + step // 2 + step * np.arange(tile.size[0]), self.valid.shape[0] - 1)
        cols = np.minimum(col + step // 2 + step * np.arange(tile.size[1]), self.valid.shape[1] - 1)
        return self.values[:, rows[:, None], cols], self.valid[rows[:, None], cols]


@lru_cache(maxsize=4)
def _copied(reader: SceneReader, level: int) -> _Copy:
    """The decimated copy of an open scene; those of the last few scenes are kept."""
    grid = reader.scene.grid.coarsened(1 << level)
    values, valid = reader.read(reader.scene.grid.window, grid.shape)
    step = -(-max(grid.shape) // _SAMPLE)
    sampled = valid[::step, ::step]
    bands = [band[::step, ::step][sampled].astype(np.float32) for band in values]
    limits = [np.percentile(band, (2, 98)) if band.size else (0.0, 1.0) for band in bands]
    return _Copy(level, values, valid, np.array(limits, np.float32))


def _coloured(values: np.ndarray, valid: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Stored values (1 or 3, h, w) stretched between limits (1 or 3, 2): (h, w, 4) uint8, transparent where invalid."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    share = np.where(valid, values, low).astype(np.float32) - low
    scaled = np.clip(share / np.maximum(high - low, 1e-12), 0, 1)
    pixels = np.zeros((*valid.shape, 4), np.uint8)
    pixels[..., :3] = np.rint(255 * np.broadcast_to(scaled, (3, *valid.shape))).transpose(1, 2, 0)
    pixels[..., 3] = 255 * valid
    return pixels
