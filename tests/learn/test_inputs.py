"""Patch statistics against a loop over patches."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rsseg.learn.inputs import ArraySource, SceneInput, patch_rows
from rsseg.scene.grid import PatchGrid, Window

SIZES = pytest.mark.parametrize(
    ("shape", "patch", "stride"),
    [((24, 32), 8, 8), ((29, 37), 8, 3), ((21, 19), 5, 7), ((40, 26), 6, 11), ((8, 8), 8, 5), ((9, 20), 1, 1)],
)
DTYPES = ["uint8", "uint16", "int16", "int32", "float32", "float64"]


def random_source(dtype: str, shape: tuple[int, int], holes: float = 0.2) -> tuple[NDArray, NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    valid = rng.random(shape) > holes
    if np.dtype(dtype).kind == "f":
        values = rng.normal(0.2, 0.1, (2, *shape)).astype(dtype)
        values[:, ~valid] = np.nan
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, (2, *shape), dtype, endpoint=True)
    return values, valid


def slow_statistics(values: NDArray, valid: NDArray, window: Window) -> tuple[int, NDArray, NDArray]:
    rows, cols = window.slices
    pixels = values[:, rows, cols][:, valid[rows, cols]]
    wide = pixels.astype(object) if values.dtype.kind in "ui" else pixels.astype(np.float64)
    return pixels.shape[1], wide.sum(axis=1), (wide * wide).sum(axis=1)


@SIZES
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strip_rows", [1, 10, 256])
def test_patch_rows_are_those_of_a_loop(
    shape: tuple[int, int], patch: int, stride: int, dtype: str, strip_rows: int
) -> None:
    values, valid = random_source(dtype, shape)
    grid = PatchGrid.of(shape, patch, stride)
    found = list(patch_rows(ArraySource(values, valid), grid, strip_rows))
    assert [row.row for row in found] == list(range(grid.rows.count))
    exact = np.dtype(dtype).kind in "ui" and np.dtype(dtype).itemsize <= 2
    for number in range(len(grid)):
        row, col = divmod(number, grid.cols.count)
        count, total, square = slow_statistics(values, valid, grid.window(number))
        assert found[row].count[col] == count
        if exact:
            assert found[row].total[col].tolist() == total.tolist()
            assert found[row].square[col].tolist() == square.tolist()
        else:
            # float64 sums of a whole row are subtracted from each other
            size = float(np.nanmax(np.abs(values[:, valid]))) * shape[1]
            np.testing.assert_allclose(found[row].total[col], total.astype(float), rtol=1e-12, atol=1e-13 * size)
            np.testing.assert_allclose(found[row].square[col], square.astype(float), rtol=1e-12, atol=1e-13 * size**2)


def test_every_pixel_is_read_once() -> None:
    class Counted(ArraySource):
        reads = np.zeros((50, 30), int)

        def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
            self.reads[window.slices] += 1
            return super().read(window)

    source = Counted(np.ones((1, 50, 30), np.uint8))
    assert len(list(patch_rows(source, PatchGrid.of((50, 30), 8, 3), strip_rows=7))) == 15
    assert set(source.reads.ravel()) == {1}


def test_an_array_without_a_mask_is_valid_everywhere() -> None:
    values, valid = ArraySource(np.zeros((3, 5, 6))).read(Window(1, 2, 3, 4))
    assert values.shape == (3, 3, 4) and valid.shape == (3, 4) and valid.all()
    scene = SceneInput.of_array("a", np.zeros((3, 5, 6)))
    assert scene.scale == (1.0, 1.0, 1.0) and scene.offset == (0.0, 0.0, 0.0)
