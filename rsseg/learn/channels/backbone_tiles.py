"""Tiles on which a pretrained network runs, fixed to the scene's origin, and the way from its cells back to pixels."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import lcm

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Tiling:
    """Squares of ``core`` pixels with ``halo`` pixels around them, both of the network's input.

    The input is the scene enlarged ``zoom`` times. A network answers in cells: cell 0 lies at pixel ``centre`` of its
    input, and ``stride`` pixels are from one to the next. All four lengths are whole in cells and in scene pixels.
    """

    stride: int
    centre: float
    zoom: int
    core: int
    halo: int

    @property
    def side(self) -> int:
        """Scene pixels from one tile to the next."""
        return self.core // self.zoom

    @property
    def margin(self) -> int:
        """Scene pixels of the halo."""
        return self.halo // self.zoom

    @property
    def ringed(self) -> slice:
        """The cells of the core and one on each side, of those that the network answers with."""
        return slice(self.halo // self.stride - 1, (self.halo + self.core) // self.stride + 1)

    @property
    def middles(self) -> NDArray[np.int64]:
        """(cells of the core,) the scene pixel of the core in which each cell lies."""
        inputs = self.centre + self.stride * np.arange(self.core // self.stride)
        return np.minimum(((inputs + 0.5) / self.zoom).astype(np.int64), self.side - 1)

    @property
    def steps(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(side,) the ringed cell before each scene pixel of the core, and the way from it to the next, 0 to 1."""
        inputs = (np.arange(self.side) + 0.5) * self.zoom - 0.5
        places = (inputs - self.centre) / self.stride
        before = np.floor(places)
        return before.astype(np.int64) + 1, (places - before).astype(np.float32)


def tiling(stride: int, centre: float, zoom: int, core: int, halo: int) -> Tiling:
    """Tiles of at least ``core`` and ``halo`` input pixels, both rounded up to whole cells and scene pixels."""
    unit = lcm(stride, zoom)
    return Tiling(stride, centre, zoom, -(-core // unit) * unit, -(-halo // unit) * unit)


def enlarged(cells: NDArray[np.float32], where: Tiling, rows: slice, cols: slice) -> NDArray[np.float32]:
    """Bilinear values (k, h, w) of scene pixels of a tile's core, from its ringed cells (k, n, n).

    Only elementwise arithmetic, so that a pixel's value is the same bits whichever others are asked for.
    """
    before, way = where.steps
    one = np.float32(1)
    low, down = before[rows], way[rows][:, None]
    lines = cells[:, low] * (one - down) + cells[:, low + 1] * down
    left, across = before[cols], way[cols]
    return lines[:, :, left] * (one - across) + lines[:, :, left + 1] * across


class Trunk(ABC):
    """The first layers of a trained network, frozen.

    ``tensors``: all that it computes with, from which it is made again; ``width``: values a cell.
    """

    tensors: dict[str, Tensor]
    width: int

    @abstractmethod
    def tiling(self, zoom: int) -> Tiling:
        """The tiles on which it runs."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Cells (width, n / stride, n / stride) of one tile with its halo (1, inputs, n, n) float32."""
