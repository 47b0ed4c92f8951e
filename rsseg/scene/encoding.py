"""How reflectance and radiance are stored in a raster, and the fast way from digital numbers to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rsseg.scene.formats import StoredType
from rsseg.scene.radiometry import Quantity
from rsseg.scene.source import Band


@dataclass(frozen=True)
class Encoding:
    """physical value = stored value * scale + offset; ``nodata`` marks pixels without a value."""

    dtype: StoredType
    scale: float
    offset: float
    nodata: float

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and largest physical value that can be stored."""
        if self.dtype == "float32":
            return -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)
        return self.offset, self.offset + (self.nodata - 1) * self.scale

    def store(self, physical: np.ndarray) -> np.ndarray:
        """Physical values (any shape, float64) as stored ones, rounded, and held within ``limits``."""
        if self.dtype == "float32":
            return physical.astype(np.float32)
        counts = np.rint((physical - self.offset) / self.scale)
        return np.clip(counts, 0, self.nodata - 1).astype(np.uint16)


NAN = float("nan")

ENCODINGS: dict[tuple[Quantity, StoredType], Encoding] = {
    # negative values and zeros survive, up to 6.4534
    ("reflectance", "uint16"): Encoding("uint16", 1e-4, -0.1, 65535),
    # from -100 to 1210.66 W m-2 sr-1 um-1: Landsat's range in the blue, a quarter of a DN in LISS-III's swir1
    ("radiance", "uint16"): Encoding("uint16", 0.02, -100.0, 65535),
    ("reflectance", "float32"): Encoding("float32", 1.0, 0.0, NAN),
    ("radiance", "float32"): Encoding("float32", 1.0, 0.0, NAN),
}


class Converter:
    """Digital numbers (bands, h, w) to an encoding.

    Integers of up to 16 bits go through one table a band, computed in float64; others are computed pixel by pixel.
    ``clip`` holds reflectance within [0, 1].
    """

    ROWS = 2
    """Rows looked up at once: numpy widens the indices, which should stay in the processor's cache."""

    def __init__(self, bands: Sequence[Band], dtype: np.dtype, encoding: Encoding, clip: bool = False) -> None:
        self.encoding = encoding
        convert = [_physical(band, encoding, clip) for band in bands]
        self._convert = convert
        self._tables: list[np.ndarray] | None = None
        if dtype.kind in "ui" and dtype.itemsize <= 2:
            self._index_type = np.dtype(f"u{dtype.itemsize}")
            # all bit patterns, in the order in which they count as unsigned indices
            every = np.arange(256**dtype.itemsize).astype(self._index_type).view(dtype)
            self._tables = [one(every) for one in convert]

    def __call__(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Convert values (bands, h, w), with nodata where ``valid`` (h, w) is False."""
        out = np.empty(values.shape, dtype=self.encoding.dtype)
        for number in range(len(values)):
            self._band(number, values[number], out[number])
        if not valid.all():
            invalid = ~valid
            for band in out:
                np.copyto(band, self.encoding.nodata, where=invalid, casting="unsafe")
        return out

    def _band(self, number: int, values: np.ndarray, out: np.ndarray) -> None:
        for row in range(0, len(values), self.ROWS):
            rows = slice(row, row + self.ROWS)
            if self._tables is None:
                out[rows] = self._convert[number](values[rows])
            else:
                # every index is within the table: "wrap" only spares numpy the test
                np.take(self._tables[number], values[rows].view(self._index_type), out=out[rows], mode="wrap")


def _physical(band: Band, encoding: Encoding, clip: bool) -> Callable[[np.ndarray], np.ndarray]:
    def convert(values: np.ndarray) -> np.ndarray:
        physical = values.astype(np.float64) * band.scale + band.offset
        return encoding.store(np.clip(physical, 0.0, 1.0) if clip else physical)

    return convert
