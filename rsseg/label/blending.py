"""How tiles that overlap are blended: weights that fall towards a tile's border and never reach zero, in integers."""

import numpy as np
from numpy.typing import NDArray

STEPS = 1 << 13
"""Steps of a probability between 0 and 1."""

RAMP = 32
"""Steps of a blending weight along an axis."""

MARGIN = 17
"""Pixels from a tile's border within which a network sees its padding (IIC's looks 15 pixels around)."""


def default_stride(patch: int) -> int:
    """Tiles overlap by a quarter of their side, at least by two margins and some, if they are not smaller themselves.

    With less overlap a network that learned what its padding looks like draws the grid of tiles into the map.
    """
    return max(1, patch - max(patch // 4, min(2 * MARGIN + 6, patch // 2 + patch // 8)))


def weights(patch: int, stride: int) -> NDArray[np.int32]:
    """Blending weights (patch,) along an axis: 1 within the margin, rising to ``RAMP`` over the overlap's middle."""
    overlap = max(1, patch - stride)
    margin = max(0, min(MARGIN, overlap // 2 - 1))
    place = np.arange(patch)
    depth = (np.minimum(place, patch - 1 - place) - margin) / max(1, overlap - 2 * margin)
    return np.rint(1 + (RAMP - 1) * np.clip(depth, 0.0, 1.0)).astype(np.int32)
