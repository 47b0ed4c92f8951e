import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsseg.errors import GridError, UsageError
from rsseg.scene.grid import Axis, Grid, PatchGrid, Window

NORTH_UP = Grid(120, 200, (5.0, 0.0, 600000.0, 0.0, -5.0, 2500000.0))
ROTATED = Grid(50, 70, (4.0, 1.5, 1000.0, 2.0, -3.0, 500.0), "WKT")
PIXELS = Grid(30, 40)
GRIDS = pytest.mark.parametrize("grid", [NORTH_UP, ROTATED, PIXELS], ids=["north-up", "rotated", "pixels"])


@st.composite
def axes(draw: st.DrawFn) -> Axis:
    patch, stride = draw(st.integers(1, 12)), draw(st.integers(1, 18))
    return Axis(patch + draw(st.integers(0, 60)), patch, stride)


@st.composite
def windows(draw: st.DrawFn, height: int = 120, width: int = 200) -> Window:
    row, col = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Window(row, col, draw(st.integers(1, height - row)), draw(st.integers(1, width - col)))


@GRIDS
def test_rowcol_is_the_inverse_of_xy(grid: Grid) -> None:
    for row, col in [(0, 0), (7.25, 3.5), (grid.height, grid.width), (-2, 11)]:
        assert grid.rowcol(*grid.xy(row, col)) == pytest.approx((row, col))


@GRIDS
def test_a_crop_keeps_every_position(grid: Grid) -> None:
    window = Window(4, 9, 11, 13)
    cropped = grid.crop(window)
    assert cropped.shape == (11, 13) and cropped.crs == grid.crs
    assert cropped.xy(2, 5) == pytest.approx(grid.xy(6, 14))


@GRIDS
def test_a_crop_of_a_crop_is_one_crop(grid: Grid) -> None:
    twice = grid.crop(Window(2, 3, 20, 25)).crop(Window(1, 4, 10, 11))
    once = grid.crop(Window(3, 7, 10, 11))
    assert twice.shape == once.shape
    assert twice.transform == pytest.approx(once.transform)


@pytest.mark.parametrize("stride", [1, 3, 8, 200])
def test_coarse_cells_cover_the_grid_and_are_not_stretched(stride: int) -> None:
    coarse = NORTH_UP.coarsened(stride)
    assert coarse.shape == (-(-120 // stride), -(-200 // stride))
    assert coarse.xy(1, 1) == NORTH_UP.xy(stride, stride)
    assert coarse.pixel_size == pytest.approx([5.0 * stride] * 2)


def test_coarsening_and_cropping_commute_on_whole_cells() -> None:
    cells = NORTH_UP.coarsened(4).crop(Window(2, 5, 3, 7))
    pixels = NORTH_UP.crop(Window(8, 20, 12, 28)).coarsened(4)
    assert cells == pixels


@given(windows())
def test_the_window_of_a_crops_bounds_is_the_crop(window: Window) -> None:
    assert NORTH_UP.window_of(NORTH_UP.crop(window).bounds) == window


def test_bounds_take_every_pixel_they_touch_and_no_other() -> None:
    assert PIXELS.window_of((2.5, -9.5, 4.5, -7.5)) == Window(7, 2, 3, 3)
    assert PIXELS.window_of((2.0, -9.0, 4.0, -7.0)) == Window(7, 2, 2, 2)
    assert PIXELS.window_of((-5.0, -100.0, 500.0, 3.0)) == PIXELS.window


def test_rounded_decimals_pull_in_no_neighbour() -> None:
    left, bottom, right, top = NORTH_UP.crop(Window(10, 20, 5, 6)).bounds
    assert NORTH_UP.window_of((left - 1e-7, bottom - 1e-7, right + 1e-7, top + 1e-7)) == Window(10, 20, 5, 6)


@pytest.mark.parametrize("bounds", [(3, -5, 3, -1), (5, -1, 2, -5), (50, -5, 60, -1), (2, 5, 9, 8)])
def test_bounds_that_hold_no_pixel_are_refused(bounds: tuple[float, float, float, float]) -> None:
    with pytest.raises(UsageError, match="bounds"):
        PIXELS.window_of(bounds)


def test_a_rotated_grids_bounds_hold_all_corners() -> None:
    left, bottom, right, top = ROTATED.bounds
    corners = [ROTATED.xy(row, col) for row in (0, 50) for col in (0, 70)]
    assert left == min(x for x, _ in corners) and top == max(y for _, y in corners)
    assert right == max(x for x, _ in corners) and bottom == min(y for _, y in corners)
    assert ROTATED.pixel_size == pytest.approx(((1.5**2 + 9) ** 0.5, (16 + 4) ** 0.5))


def test_a_grid_without_pixels_or_area_is_refused() -> None:
    with pytest.raises(GridError, match="no pixel"):
        Grid(0, 5)
    with pytest.raises(GridError, match="no area"):
        Grid(2, 2, (1.0, 2.0, 0.0, 2.0, 4.0, 0.0)).rowcol(0, 0)


def test_window_slices_and_end() -> None:
    window = Window(3, 4, 5, 6)
    assert window.slices == (slice(3, 8), slice(4, 10)) and window.end == (8, 10)


def test_a_scene_shorter_than_a_patch_is_refused() -> None:
    with pytest.raises(GridError, match="--patch"):
        Axis(7, 8, 4)
    with pytest.raises(GridError, match="7 x 30 pixels, smaller than a patch of 8 x 8"):
        PatchGrid.of((7, 30), 8, 4)


@pytest.mark.parametrize(("patch", "stride"), [(0, 1), (4, 0), (-1, 2)])
def test_patch_and_stride_of_no_pixel_are_refused(patch: int, stride: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Axis(20, patch, stride)


@pytest.mark.parametrize(
    ("size", "starts"),
    [(8, [0]), (9, [0, 1]), (11, [0, 3]), (12, [0, 3, 4]), (14, [0, 3, 6]), (15, [0, 3, 6, 7])],
)
def test_the_last_patch_is_pulled_back(size: int, starts: list[int]) -> None:
    axis = Axis(size, 8, 3)
    assert list(axis.starts) == starts and axis.count == len(starts)


@given(axes())
def test_starts_increase_by_the_stride_and_end_at_the_border(axis: Axis) -> None:
    steps = [b - a for a, b in zip(axis.starts, axis.starts[1:], strict=False)]
    assert axis.starts[0] == 0 and axis.starts[-1] + axis.patch == axis.size
    assert all(step == axis.stride for step in steps[:-1])
    assert not steps or 0 < steps[-1] <= axis.stride


@given(axes())
def test_every_cell_is_covered_by_the_patches_that_a_loop_finds(axis: Axis) -> None:
    assert axis.breaks[0] == 0 and axis.breaks[-1] == axis.size
    for left, right, (first, last) in zip(axis.breaks, axis.breaks[1:], axis.cover, strict=False):
        assert left < right
        for pixel in range(left, right):
            found = [i for i, start in enumerate(axis.starts) if start <= pixel < start + axis.patch]
            assert found == list(range(first, last))


@given(axes())
def test_patches_cover_everything_unless_the_stride_exceeds_them(axis: Axis) -> None:
    gaps = [first == last for first, last in axis.cover]
    if axis.stride <= axis.patch:
        assert not any(gaps)
    else:
        assert sum(gaps) <= axis.count - 1


@given(axes(), st.data())
def test_touching_finds_the_patches_that_share_a_pixel(axis: Axis, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, axis.size - 1))
    last = data.draw(st.integers(first + 1, axis.size))
    found = [i for i, start in enumerate(axis.starts) if start < last and start + axis.patch > first]
    assert found == list(range(*axis.touching(first, last)))


def test_patches_are_numbered_row_by_row() -> None:
    grid = PatchGrid.of((12, 19), 8, 3)
    assert grid.shape == (3, 5) and len(grid) == 15
    assert (grid.patch, grid.stride) == (8, 3)
    found = [grid.window(number) for number in range(len(grid))]
    assert found == [Window(row, col, 8, 8) for row in (0, 3, 4) for col in (0, 3, 6, 9, 11)]
