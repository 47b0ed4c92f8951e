"""Where pixels and patches lie: immutable values and pure arithmetic, no packages.

Sizes and positions are (height, width) and (row, column); rows grow downwards from the raster's first row.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

from rsseg.errors import GridError, UsageError

Transform = tuple[float, float, float, float, float, float]
"""Six affine numbers (a, b, c, d, e, f): x = a col + b row + c, y = d col + e row + f."""


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: first row and column, height and width."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array of the whole raster."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    @property
    def end(self) -> tuple[int, int]:
        """One past the last row and column."""
        return self.row + self.height, self.col + self.width


@dataclass(frozen=True)
class Grid:
    """A raster's size, position and coordinate system.

    ``crs`` is WKT or None; two CRS texts are compared by ``scene.raster.same_crs``, never here.
    """

    height: int
    width: int
    transform: Transform = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    crs: str | None = None

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise GridError(f"a grid of {self.height} rows and {self.width} columns has no pixel")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def window(self) -> Window:
        """The window that covers the whole grid."""
        return Window(0, 0, self.height, self.width)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) of the corners, in CRS units."""
        corners = [self.xy(row, col) for row in (0, self.height) for col in (0, self.width)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel in CRS units."""
        a, b, _, d, e, _ = self.transform
        return (b * b + e * e) ** 0.5, (a * a + d * d) ** 0.5

    def xy(self, row: float, col: float) -> tuple[float, float]:
        """CRS coordinates of a (fractional) pixel corner position."""
        a, b, c, d, e, f = self.transform
        return a * col + b * row + c, d * col + e * row + f

    def rowcol(self, x: float, y: float) -> tuple[float, float]:
        """Fractional (row, column) of a CRS position, the inverse of ``xy``."""
        a, b, c, d, e, f = self.transform
        determinant = a * e - b * d
        if determinant == 0:
            raise GridError("the raster's transform cannot be inverted; its pixels have no area")
        x, y = x - c, y - f
        return (a * y - d * x) / determinant, (e * x - b * y) / determinant

    def crop(self, window: Window) -> "Grid":
        """The grid of a window of this one."""
        a, b, _, d, e, _ = self.transform
        c, f = self.xy(window.row, window.col)
        return Grid(window.height, window.width, (a, b, c, d, e, f), self.crs)

    def coarsened(self, stride: int) -> "Grid":
        """The grid of cells of ``stride`` x ``stride`` pixels, ceil(H/s) x ceil(W/s): never stretched to the bounds."""
        a, b, c, d, e, f = self.transform
        scaled = (a * stride, b * stride, c, d * stride, e * stride, f)
        return Grid(-(-self.height // stride), -(-self.width // stride), scaled, self.crs)

    def window_of(self, bounds: tuple[float, float, float, float]) -> Window:
        """The smallest window of whole pixels that holds CRS bounds (left, bottom, right, top), cut to the grid.

        Raises: UsageError if the bounds are empty or do not touch the grid.
        """
        left, bottom, right, top = bounds
        if not (left < right and bottom < top):
            raise UsageError(f"bounds {bounds} are empty; give LEFT BOTTOM RIGHT TOP in the scene's CRS")
        corners = [self.rowcol(x, y) for x in (left, right) for y in (bottom, top)]
        rows, cols = [r for r, _ in corners], [c for _, c in corners]
        # a hair of tolerance: bounds written as decimals must not pull in a neighbouring row
        first_row, last_row = max(0, _floor(min(rows) + 1e-6)), min(self.height, -_floor(1e-6 - max(rows)))
        first_col, last_col = max(0, _floor(min(cols) + 1e-6)), min(self.width, -_floor(1e-6 - max(cols)))
        if first_row >= last_row or first_col >= last_col:
            raise UsageError(f"bounds {bounds} do not touch the scene, which covers {self.bounds}")
        return Window(first_row, first_col, last_row - first_row, last_col - first_col)


def _floor(value: float) -> int:
    return int(value // 1)


@dataclass(frozen=True)
class Axis:
    """The patches along one axis: their starts and their common length.

    There are ceil((size - patch) / stride) + 1 of them; the last one is pulled back inside, never padded. Starts and
    ends of all patches, with 0 and ``size``, cut the axis into cells; a cell is covered by a contiguous range of
    patches (an empty one between patches when the stride exceeds the patch).
    """

    size: int
    patch: int
    stride: int

    def __post_init__(self) -> None:
        if self.patch < 1 or self.stride < 1:
            raise UsageError(f"patch {self.patch} and stride {self.stride} must be at least 1 pixel")
        if self.size < self.patch:
            raise GridError(
                f"the scene is {self.size} pixels long, shorter than a patch of {self.patch}; choose a smaller --patch"
            )

    @property
    def count(self) -> int:
        """The number of patches."""
        return -(-(self.size - self.patch) // self.stride) + 1

    def start(self, index: int) -> int:
        """The first pixel of a patch."""
        return min(index * self.stride, self.size - self.patch)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first pixel of every patch, strictly increasing."""
        return tuple(self.start(i) for i in range(self.count))

    @cached_property
    def breaks(self) -> tuple[int, ...]:
        """The cell borders, from 0 to ``size``."""
        ends = (start + self.patch for start in self.starts)
        return tuple(sorted({0, self.size, *self.starts, *ends}))

    @cached_property
    def cover(self) -> tuple[tuple[int, int], ...]:
        """For each cell, the half-open range of patches that cover it."""
        starts = self.starts
        return tuple(
            (bisect_right(starts, left - self.patch), bisect_left(starts, right))
            for left, right in zip(self.breaks, self.breaks[1:], strict=False)
        )

    def touching(self, first: int, last: int) -> tuple[int, int]:
        """The half-open range of patches that share a pixel with [first, last)."""
        return bisect_right(self.starts, first - self.patch), bisect_left(self.starts, last)


@dataclass(frozen=True)
class PatchGrid:
    """All patches of a raster, numbered row by row from 0."""

    rows: Axis
    cols: Axis

    @classmethod
    def of(cls, shape: tuple[int, int], patch: int, stride: int) -> "PatchGrid":
        """The patch grid of a raster of (height, width).

        Raises: GridError if the raster is smaller than a patch.
        """
        height, width = shape
        if height < patch or width < patch:
            raise GridError(
                f"the scene is {height} x {width} pixels, smaller than a patch of {patch} x {patch}; "
                "choose a smaller --patch (of a trained model: train another one)"
            )
        return cls(Axis(height, patch, stride), Axis(width, patch, stride))

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self.rows.patch

    @property
    def stride(self) -> int:
        """Step between patches in pixels."""
        return self.rows.stride

    @property
    def shape(self) -> tuple[int, int]:
        """Patches (down, across)."""
        return self.rows.count, self.cols.count

    def __len__(self) -> int:
        return self.rows.count * self.cols.count

    def window(self, number: int) -> Window:
        """The pixels of patch ``number``."""
        row, col = divmod(number, self.cols.count)
        return Window(self.rows.start(row), self.cols.start(col), self.patch, self.patch)
