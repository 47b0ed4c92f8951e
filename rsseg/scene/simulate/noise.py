"""Random fields that are pure functions of a salt and of absolute coordinates.

Every value is computed from the coordinates alone, so that any window of any size gives the same numbers. Per pixel
only exactly rounded operations are used (no float32 sine or exponential, no matrix product): the same bits come out on
every machine and for every window.
"""

from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Hashes = NDArray[np.uint32]

_ROW, _COL = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77)
_MIX = np.uint32(0x21F0AAAD), np.uint32(0x735A2D97)
# the standard deviation of the smoothed lattice: uniform on [-1, 1], sum of squared weights 0.55 along each axis
_SMOOTH_DEVIATION = (0.55 * 0.55 / 3) ** 0.5


def salt(seed: int, name: str) -> int:
    """The salt of the field ``name`` in the world ``seed``."""
    return crc32(f"{seed}/{name}".encode())


def mix(values: Hashes) -> Hashes:
    """Scramble 32 bit integers in place (a bijection in which every bit depends on all bits), and return them."""
    for shift, factor in zip((16, 15), _MIX, strict=True):
        values ^= values >> np.uint32(shift)
        values *= factor
    values ^= values >> np.uint32(15)
    return values


def hashes(rows: NDArray[np.int64], cols: NDArray[np.int64], salt: int) -> Hashes:
    """One random 32 bit integer for every pair of a row and a column: (len(rows), len(cols))."""
    down = mix(rows.astype(np.uint32) * _ROW + np.uint32(salt))
    across = cols.astype(np.uint32) * _COL
    return mix(down[:, None] ^ across[None, :])


def uniform(values: Hashes) -> Floats:
    """Hashes as float32 in [0, 1)."""
    result = (values >> np.uint32(8)).astype(np.float32)
    result *= np.float32(2.0**-24)
    return result


def smooth(rows: NDArray[np.float64], cols: NDArray[np.float64], wavelength: float, salt: int) -> Floats:
    """Smooth noise of mean 0 and standard deviation 1 at every pair of a row and a column.

    A lattice of random numbers ``wavelength`` pixels apart, interpolated by quadratic B-splines one axis after the
    other. Costs about eight passes over (len(rows), len(cols)) float32.
    """
    row_nodes, row_index, row_weights = _spline(rows, wavelength)
    col_nodes, col_index, col_weights = _spline(cols, wavelength)
    lattice = uniform(hashes(row_nodes, col_nodes, salt))
    lattice -= np.float32(0.5)
    lattice *= np.float32(2 / _SMOOTH_DEVIATION)
    across = sum_terms([lattice[:, col_index + k] * col_weights[k] for k in range(3)])
    return sum_terms([across[row_index + k] * row_weights[k][:, None] for k in range(3)])


def _spline(axis: NDArray[np.float64], wavelength: float) -> tuple[NDArray[np.int64], NDArray[np.intp], list[Floats]]:
    position = axis / wavelength
    nearest = np.floor(position + 0.5)
    offset = position - nearest
    first = int(nearest.min()) - 1
    nodes = np.arange(first, int(nearest.max()) + 2)
    weights = [0.5 * (0.5 - offset) ** 2, 0.75 - offset**2, 0.5 * (0.5 + offset) ** 2]
    return nodes, (nearest - (first + 1)).astype(np.intp), [weight.astype(np.float32) for weight in weights]


def sum_terms(terms: list[Floats]) -> Floats:
    """Add arrays from left to right into the first one."""
    total = terms[0]
    for term in terms[1:]:
        total += term
    return total


def fractal(
    rows: NDArray[np.float64], cols: NDArray[np.float64], wavelengths: tuple[float, ...], seed: int, name: str
) -> Floats:
    """Smooth noise of several wavelengths, each weighted by its cube root, again with standard deviation 1."""
    roots = np.cbrt(np.asarray(wavelengths))
    weights = (roots / np.sqrt((roots * roots).sum())).astype(np.float32)
    octaves = (smooth(rows, cols, length, salt(seed, f"{name}/{length}")) for length in wavelengths)
    return sum_terms([octave * weight for octave, weight in zip(octaves, weights, strict=True)])


class Lattice:
    """Nodes every ``STEP`` pixels, at absolute multiples of it, that enclose a block of pixels.

    Shapes much larger than a pixel are computed at the nodes, where they may cost a hundred operations, and carried
    to the pixels by bilinear interpolation. ``margin`` more nodes on each side serve central differences.
    """

    STEP = 4

    def __init__(self, row: int, col: int, height: int, width: int, margin: int = 1) -> None:
        self.margin = margin
        self.rows, self._row_index, self._row_share = self._axis(row, height)
        self.cols, self._col_index, self._col_share = self._axis(col, width)

    def _axis(self, first: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.intp], Floats]:
        cell, within = np.divmod(np.arange(first, first + count), self.STEP)
        start, stop = int(cell[0]) - self.margin, int(cell[-1]) + 2 + self.margin
        nodes = np.arange(start, stop, dtype=np.float64) * self.STEP
        share: Floats = within.astype(np.float32) / np.float32(self.STEP)
        return nodes, (cell - cell[0]).astype(np.intp), share

    def inner(self, field: Floats) -> Floats:
        """A field without its margin."""
        m = self.margin
        return field[m:-m, m:-m]

    def slopes(self, field: Floats) -> tuple[Floats, Floats]:
        """Derivatives of a field a pixel down and a pixel across, without the margin (of one node)."""
        down = (field[2:, 1:-1] - field[:-2, 1:-1]) / np.float32(2 * self.STEP)
        across = (field[1:-1, 2:] - field[1:-1, :-2]) / np.float32(2 * self.STEP)
        return down, across

    def upsample(self, field: Floats) -> Floats:
        """A field at the nodes (without margin) as pixels: (height, width) float32."""
        step = field[:, 1:] - field[:, :-1]
        across = field[:, self._col_index] + step[:, self._col_index] * self._col_share
        rise = across[1:] - across[:-1]
        return sum_terms([rise[self._row_index] * self._row_share[:, None], across[self._row_index]])
