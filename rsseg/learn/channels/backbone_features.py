"""From a scene's bands to the few numbers a pixel that are kept of a frozen network's features."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from rsseg.errors import TrainingError
from rsseg.learn.channels.backbone_tiles import Tiling, Trunk, enlarged
from rsseg.learn.channels.base import Pixels, Sample
from rsseg.learn.channels.pixels import HeldPixels
from rsseg.learn.channels.smooth import SmoothPixels
from rsseg.scene.grid import Window

COMPONENTS = 16
"""Channels that are kept of a network's features; a power of two."""

SAMPLE_TILES = 32
"""Tiles of the training scenes from which the projection is fitted."""

CACHE = 256 << 20
"""Bytes of projected tiles that are remembered: more than one row of tiles across a full scene at stride 2."""

IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1], by which all the networks' inputs were standardised."""

LIMITS = (-0.5, 1.5)
"""Stretched values beyond are cut: clouds must not drive a network out of what it knows."""


@dataclass(frozen=True)
class Stretch:
    """Bands as a network's inputs: ``low`` becomes 0 and ``high`` 1, of bands ``inputs``; ``fill`` where invalid."""

    inputs: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    fill: tuple[float, ...]

    @classmethod
    def fit(cls, inputs: tuple[int, ...], values: NDArray[np.float64]) -> Self:
        """From physical values (n, bands): the 2nd and the 98th percentile, and the mean of what comes out."""
        seen = values[:, inputs]
        low, high = np.percentile(seen, [2, 98], axis=0)
        high = np.where(high > low, high, low + 1)
        fill = np.clip((seen - low) / (high - low), *LIMITS).mean(axis=0)
        return cls(inputs, tuple(low.tolist()), tuple(high.tolist()), tuple(fill.tolist()))

    def apply(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Standardised inputs (inputs, h, w) of physical values (bands, h, w) and valid pixels (h, w)."""
        low, high, fill = (_column(numbers) for numbers in (self.low, self.high, self.fill))
        scaled = np.clip((values[self.inputs, :, :] - low) * (1 / (high - low)), *LIMITS)
        scaled = np.where(valid, scaled, fill)
        mean, spread = (_column(_colours(numbers, len(self.inputs))) for numbers in (IMAGENET_MEAN, IMAGENET_SPREAD))
        return np.ascontiguousarray((scaled - mean) / spread, np.float32)


def _column(numbers: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)[:, None, None]


def _colours(numbers: tuple[float, ...], inputs: int) -> tuple[float, ...]:
    """Numbers of red, green and blue for any number of inputs, as ``spread_filters`` repeats their filters."""
    mean = sum(numbers) / len(numbers)
    return tuple(numbers[place % 3] if inputs > 2 else mean for place in range(inputs))


class Features:
    """A frozen network on tiles of scenes, projected to a few channels, with the last tiles remembered.

    ``matrix``: (channels, width) and ``bias``: (channels,) float32.
    """

    def __init__(self, trunk: Trunk, stretch: Stretch, zoom: int, matrix: Tensor, bias: Tensor) -> None:
        """Raises: ValueError if the projection is not of the network's width."""
        if matrix.shape != (len(bias), trunk.width):
            raise ValueError(f"a projection of {tuple(matrix.shape)} is not of {trunk.width} features")
        self.trunk, self.stretch, self.matrix, self.bias = trunk, stretch, matrix, bias
        self.tiling = trunk.tiling(zoom)
        self._lock = Lock()
        # each entry holds its pixels, so that no other ones can come to have their id meanwhile
        self._tiles: OrderedDict[tuple[int, int, int], tuple[Pixels, NDArray[np.float32]]] = OrderedDict()

    def __eq__(self, other: object) -> bool:
        """Whether both compute the same; what is remembered does not count."""
        if not isinstance(other, Features):
            return NotImplemented
        mine, theirs = ({**each.trunk.tensors, "": each.matrix, "+": each.bias} for each in (self, other))
        same = (self.stretch, self.tiling, mine.keys()) == (other.stretch, other.tiling, theirs.keys())
        return same and all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """Channels (channels, h, w) of a window, whose pixels get the same bits in any other window."""
        side = self.tiling.side
        found = np.empty((len(self.bias), window.height, window.width), np.float32)
        for row in range(window.row // side, -(-window.end[0] // side)):
            rows, to_rows = _shared(row * side, side, window.row, window.height)
            for col in range(window.col // side, -(-window.end[1] // side)):
                cols, to_cols = _shared(col * side, side, window.col, window.width)
                found[:, to_rows, to_cols] = enlarged(self.tile(pixels, row, col), self.tiling, rows, cols)
        return found

    def tile(self, pixels: Pixels, row: int, col: int) -> NDArray[np.float32]:
        """Projected cells (channels, n, n) of a tile, with one cell around its core; remembered."""
        source = pixels.pixels if isinstance(pixels, HeldPixels) else pixels
        key = (id(source), row, col)
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = (source, self._project(source, row, col))
                self._forget()
            self._tiles.move_to_end(key)
            return self._tiles[key][1]

    def _forget(self) -> None:
        each = next(iter(self._tiles.values()))[1].nbytes
        while len(self._tiles) > max(1, CACHE // each):
            self._tiles.popitem(last=False)

    def _project(self, pixels: Pixels, row: int, col: int) -> NDArray[np.float32]:
        values, valid = read_tile(pixels, self.tiling, row, col)
        margin, cells_across = self.tiling.margin, self.tiling.ringed.stop - self.tiling.ringed.start
        if not valid[margin:-margin, margin:-margin].any():
            return np.zeros((len(self.bias), cells_across, cells_across), np.float32)
        cells = run(self.trunk, self.stretch.apply(values, valid), self.tiling)
        width, *shape = cells.shape
        with torch.inference_mode():
            projected = torch.addmm(self.bias[:, None], self.matrix, cells.reshape(width, -1))
            return projected.reshape(-1, *shape).numpy()


def _shared(start: int, side: int, first: int, length: int) -> tuple[slice, slice]:
    """What a tile's pixels from ``start`` on and a window's share along an axis: places in the tile, in the window."""
    low, high = max(start, first), min(start + side, first + length)
    return slice(low - start, high - start), slice(low - first, high - first)


def read_tile(pixels: Pixels, where: Tiling, row: int, col: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Physical values (bands, h, w) and valid pixels (h, w) of a tile with its halo."""
    return pixels.read(Window(row * where.side, col * where.side, where.side, where.side), where.margin)


@torch.inference_mode()
def run(trunk: Trunk, image: NDArray[np.float32], where: Tiling) -> Tensor:
    """Cells (width, n, n) of a tile's core and one around it, from its inputs with the halo (inputs, h, w).

    One tile at a time and all of one size: other batches may round in other ways.
    """
    x = torch.from_numpy(image)[None]
    with torch.autocast("cpu", enabled=False):
        if where.zoom > 1:
            x = functional.interpolate(x, scale_factor=where.zoom, mode="bilinear", align_corners=False)
        return trunk(x)[:, where.ringed, where.ringed].contiguous()


def fitted_projection(sample: Sample, stretch: Stretch, trunk: Trunk, zoom: int) -> tuple[Tensor, Tensor]:
    """Matrix (channels, width) and bias (channels,) to the largest principal components of the sample's features.

    Methods standardise each channel for itself, which would make the least component as loud as the first. So the
    components are turned by an orthogonal matrix of equal entries (Sylvester, 1867), which shares their variance out
    evenly, and divided by one number: each channel has unit variance, and distances are those of the features.
    """
    mean, covariance = _moments(sample, stretch, trunk, trunk.tiling(zoom))
    sizes, vectors = np.linalg.eigh(covariance)
    count = 1 << (min(COMPONENTS, trunk.width).bit_length() - 1)
    sizes, rows = sizes[::-1][:count], vectors.T[::-1][:count]
    rows = rows * np.sign(rows[np.arange(count), np.abs(rows).argmax(axis=1)])[:, None]
    scale = np.sqrt(max(sizes.mean(), 0.0))
    matrix = hadamard(count) @ rows / (scale if scale > 0 else 1.0)
    return torch.from_numpy(matrix).float(), torch.from_numpy(-matrix @ mean).float()


def hadamard(count: int) -> NDArray[np.float64]:
    """An orthogonal matrix (count, count) whose entries are all of one size; ``count`` is a power of two."""
    made = np.ones((1, 1))
    while len(made) < count:
        made = np.block([[made, made], [made, -made]]) / np.sqrt(2)
    return made


def _moments(
    sample: Sample, stretch: Stretch, trunk: Trunk, where: Tiling
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (width,) and covariance (width, width) of the features of valid pixels, summed in float64."""
    count, total, square = 0, np.zeros(trunk.width), np.zeros((trunk.width, trunk.width))
    for values, valid in _sample_tiles(sample, where):
        cells = run(trunk, stretch.apply(values, valid), where)[:, 1:-1, 1:-1].double().numpy()
        inner = valid[where.margin :, where.margin :][np.ix_(where.middles, where.middles)]
        chosen = cells[:, inner]
        count += chosen.shape[1]
        total += chosen.sum(axis=1)
        square += chosen @ chosen.T
    if count < 2:
        raise TrainingError("no valid pixels to fit pretrained features on; check the nodata value of the scenes")
    mean = total / count
    return mean, square / count - np.outer(mean, mean)


def _sample_tiles(sample: Sample, where: Tiling) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Up to ``SAMPLE_TILES`` tiles, each once, with valid pixels, of those in which the sample's windows lie."""
    places = {}
    for pixels, window in sample.places:
        row, col = (window.row + window.height // 2) // where.side, (window.col + window.width // 2) // where.side
        places[id(_scene(pixels)), row, col] = (pixels, row, col)
    found = 0
    for pixels, row, col in _shuffled(list(places.values()), sample.seed):
        values, valid = read_tile(pixels, where, row, col)
        if valid[where.margin : -where.margin, where.margin : -where.margin].any():
            yield values, valid
            found += 1
        if found == SAMPLE_TILES:
            return


def _shuffled(places: list[tuple[Pixels, int, int]], seed: int) -> list[tuple[Pixels, int, int]]:
    return [places[place] for place in np.random.default_rng(seed).permutation(len(places))]


def _scene(pixels: Pixels) -> Pixels:
    """The pixels behind smoothed or held ones."""
    while isinstance(pixels, HeldPixels | SmoothPixels):
        pixels = pixels.pixels
    return pixels
