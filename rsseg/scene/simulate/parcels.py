"""The mosaic of land holdings: blocks of fields of one orientation, and the streets of a town quarter alike.

Regions of about 150 pixels with winding borders each have their own orientation. In a region, strips are cut into
blocks and a block into one, two or four fields of 8 to 25 pixels.
"""

from dataclasses import dataclass

import numpy as np

from rsseg.scene.simulate.noise import Floats, Hashes, hashes, mix, salt, uniform

REGION = 150
_STRIP, _BLOCK, _ROW_HALF, _COL_HALF = (np.uint32(k) for k in (0x9E3779B1, 0xC2B2AE35, 0x27D4EB2F, 0x165667B1))


@dataclass(frozen=True)
class Parcels:
    """Per pixel, (height, width)."""

    region: Hashes
    field: Hashes
    """A hash for each field."""
    border: Floats
    """Distance to the nearest field border in pixels."""
    along: Floats
    across: Floats
    """Coordinates in pixels along and across the strips of the region."""


def parcels(seed: int, rows: Floats, cols: Floats, warp: tuple[Floats, Floats]) -> Parcels:
    """The parcels at absolute rows (h) and columns (w); ``warp`` displaces the region borders, (h, w) pixels each."""
    down = np.floor((rows[:, None] + warp[0]) / np.float32(REGION))
    right = np.floor((cols[None, :] + warp[1]) / np.float32(REGION))
    first_row, first_col = int(down.min()), int(right.min())
    region_rows = np.arange(first_row, int(down.max()) + 1)
    region_cols = np.arange(first_col, int(right.max()) + 1)
    draws = hashes(region_rows, region_cols, salt(seed, "region")).ravel()
    number = (down - first_row).astype(np.intp) * len(region_cols) + (right - first_col).astype(np.intp)
    y = rows[:, None] - (down + np.float32(0.5)) * np.float32(REGION)
    x = cols[None, :] - (right + np.float32(0.5)) * np.float32(REGION)
    cosine, sine, strip, block = (table[number] for table in _orientations(draws))
    along, across = cosine * x + sine * y, cosine * y - sine * x
    region = draws[number]
    field, border = _fields(region, along, across, strip, block)
    return Parcels(region, field, border, along, across)


def _orientations(draws: Hashes) -> tuple[Floats, ...]:
    """Cosine and sine of the direction, strip width and block length in pixels of each region."""
    parts = [uniform(mix(draws + np.uint32(k))).astype(np.float64) for k in range(1, 4)]
    angle = (parts[0] - 0.5) * np.pi / 2
    tables = np.cos(angle), np.sin(angle), 17 + 10 * parts[1], 22 + 16 * parts[2]
    return tuple(table.astype(np.float32) for table in tables)


def _fields(region: Hashes, along: Floats, across: Floats, strip: Floats, block: Floats) -> tuple[Hashes, Floats]:
    row = np.floor(across / strip)
    y = across - row * strip
    strip_hash = mix(region ^ (row.astype(np.int32).view(np.uint32) * _STRIP))
    # blocks of neighbouring strips are not in line
    shifted = along + uniform(strip_hash) * block
    col = np.floor(shifted / block)
    x = shifted - col * block
    field = mix(strip_hash ^ (col.astype(np.int32).view(np.uint32) * _BLOCK))
    kind = field & np.uint32(7)
    border = np.minimum(np.minimum(y, strip - y), np.minimum(x, block - x))
    for position, size, cut, mark in (
        (y, strip, (kind & np.uint32(2)) > 0, _ROW_HALF),
        (x, block, kind >= np.uint32(4), _COL_HALF),
    ):
        share = ((field >> np.uint32(8)) & np.uint32(15)).astype(np.float32) * np.float32(0.24 / 16)
        from_middle = position - (np.float32(0.38) + share) * size
        border = np.where(cut, np.minimum(border, np.abs(from_middle)), border)
        field = np.where(cut & (from_middle > 0), field + mark, field)
    return mix(field), border


def cells(region: Hashes, along: Floats, across: Floats, height: float, width: float) -> Hashes:
    """A hash for each cell of a grid of ``height`` x ``width`` pixels in a region's orientation: roofs, yards."""
    row = np.floor(across / np.float32(height)).astype(np.int32).view(np.uint32)
    col = np.floor(along / np.float32(width)).astype(np.int32).view(np.uint32)
    return mix(region ^ (row * _STRIP) ^ (col * _BLOCK))
