"""Tiles of rasters: which pixels one shows, and PNG files with a palette or with transparency."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rsseg.scene.grid import Window

TILE = 256
"""Side of a tile, in its own pixels."""

_LEVEL = 1
"""zlib's: tiles go no farther than to the browser beside, where time counts more than size."""


def levels(shape: tuple[int, int]) -> int:
    """Zoom levels of a raster (height, width): 0 is full resolution, each next one half of it, the last is one tile."""
    return max(0, (max(shape) - 1).bit_length() - (TILE - 1).bit_length()) + 1


@dataclass(frozen=True)
class Tile:
    """What a tile covers: a window of the raster, shown in ``size`` (rows, columns) pixels of 2^level each."""

    level: int
    window: Window
    size: tuple[int, int]


def tile_at(shape: tuple[int, int], level: int, row: int, col: int) -> Tile | None:
    """A tile of a raster (height, width), or None if there is no such tile.

    Tiles at the lower and the right border are smaller.
    """
    if not 0 <= level < levels(shape) or row < 0 or col < 0:
        return None
    step = TILE << level
    top, left = row * step, col * step
    height, width = min(step, shape[0] - top), min(step, shape[1] - left)
    if height <= 0 or width <= 0:
        return None
    return Tile(level, Window(top, left, height, width), (-(-height >> level), -(-width >> level)))


def rgba_png(pixels: np.ndarray) -> bytes:
    """A PNG file of pixels (h, w, 4) uint8: red, green, blue, opacity."""
    height, width, _ = pixels.shape
    return _png(height, width, 6, pixels.reshape(height, width * 4), ())


def palette_png(values: np.ndarray, colours: np.ndarray, transparent: int) -> bytes:
    """A PNG file of values (h, w) uint8 in colours (256, 3) uint8; one value is transparent."""
    height, width = values.shape
    opacity = np.full(256, 255, np.uint8)
    opacity[transparent] = 0
    return _png(height, width, 3, values, ((b"PLTE", colours.tobytes()), (b"tRNS", opacity.tobytes())))


def _png(height: int, width: int, kind: int, rows: np.ndarray, extra: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """A PNG file (ISO/IEC 15948) of 8-bit samples; ``kind`` is its colour type, ``rows`` its bytes by row."""
    unfiltered = np.zeros((height, rows.shape[1] + 1), np.uint8)  # each row begins with its filter: 0, none
    unfiltered[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    data = (b"IDAT", zlib.compress(unfiltered.tobytes(), _LEVEL))
    chunks = ((b"IHDR", header), *extra, data, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(part for name, content in chunks for part in _chunk(name, content))


def _chunk(name: bytes, content: bytes) -> Iterator[bytes]:
    yield struct.pack(">I", len(content))
    yield name + content
    yield struct.pack(">I", zlib.crc32(name + content))
