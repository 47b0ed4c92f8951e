"""Which class each pixel of the simulated land belongs to, whatever the date."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.scene.grid import Window
from rsseg.scene.simulate.noise import Floats, Lattice, fractal, salt, smooth
from rsseg.scene.simulate.parcels import Parcels, parcels
from rsseg.scene.simulate.shapes import Shapes, shapes

CLASSES = ("water", "wetland", "forest", "crops", "built-up", "bare")
"""Names of the truth values 1 to 6."""
COLOURS = ("#2f6db5", "#5cb8b2", "#1f6b3a", "#d8c24a", "#c0392b", "#c8b08f")
WATER, WETLAND, FOREST, CROPS, BUILT_UP, BARE = range(1, 7)


@dataclass(frozen=True)
class Cover:
    """What lies at each pixel of a window: (height, width) arrays."""

    rows: NDArray[np.float64]
    cols: NDArray[np.float64]
    classes: NDArray[np.uint8]
    """1 to 6, see ``CLASSES``."""
    depth: Floats
    """Distance in pixels from the bank, positive in water."""
    density: Floats
    """How deep in a settlement, in pixels from its edge."""
    road: NDArray[np.bool_]
    parcels: Parcels
    lattice: Lattice
    shapes: Shapes


def cover(seed: int, window: Window) -> Cover:
    """The land cover of a window of the world ``seed``, in absolute pixels."""
    lattice = Lattice(window.row, window.col, window.height, window.width)
    land = shapes(seed, lattice)
    rows = np.arange(window.row, window.row + window.height, dtype=np.float64)
    cols = np.arange(window.col, window.col + window.width, dtype=np.float64)
    edge = np.float32(1.3) * fractal(rows, cols, (9, 3.5), seed, "edge")
    warp = _warp(seed, lattice, "down"), _warp(seed, lattice, "across")
    up = lattice.upsample
    depth = up(np.maximum(land.river, land.lake)) + np.float32(0.4) * edge
    np.maximum(depth, up(land.stream_width) - np.abs(up(land.stream)), out=depth)
    density = up(land.town) + edge
    road = (np.abs(up(land.road)) < up(land.road_width)) & (up(land.lake) < 0)
    classes = np.full((window.height, window.width), CROPS, np.uint8)
    classes[up(land.bare) + edge > 0] = BARE
    classes[up(land.forest) + edge > 0] = FOREST
    classes[up(land.marsh) + edge > 0] = WETLAND
    classes[up(land.sand) + edge > 0] = BARE
    classes[density > 0] = BUILT_UP
    classes[depth > 0] = WATER
    classes[road] = BUILT_UP
    mosaic = parcels(seed, rows.astype(np.float32), cols.astype(np.float32), warp)
    return Cover(rows, cols, classes, depth, density, road, mosaic, lattice, land)


def _warp(seed: int, lattice: Lattice, name: str) -> Floats:
    wide = smooth(lattice.rows, lattice.cols, 190, salt(seed, f"warp-{name}"))
    return lattice.upsample(lattice.inner(np.float32(40) * wide))
