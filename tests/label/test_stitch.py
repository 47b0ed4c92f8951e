"""The streamed range sums against a loop over patches and pixels, in integers: equal to the last bit."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsseg.label.stitch import SHIFT, STEPS, Cells, Resolution, Stitcher, decided, quantised
from rsseg.scene.grid import PatchGrid, Window

CLASSES = 4


def random_votes(grid: PatchGrid, seed: int, empty: float = 0.1) -> NDArray[np.int64]:
    """Votes (rows, across, classes + 1) as the labeller makes them; some patches have no valid pixel."""
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(len(grid), CLASSES, generator=generator)
    votes = quantised(torch.softmax(scores.relu(), 1), torch.softmax(scores, 1)).numpy()
    voted = np.random.default_rng(seed).random(len(grid)) >= empty
    table = np.concatenate([votes, np.ones((len(grid), 1), np.int64)], axis=1) * voted[:, None]
    return table.reshape(*grid.shape, CLASSES + 1)


def slow_pixels(grid: PatchGrid, votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of votes on every pixel, patch by patch."""
    sums = np.zeros((grid.rows.size, grid.cols.size, CLASSES + 1), np.int64)
    for number in range(len(grid)):
        rows, cols = grid.window(number).slices
        sums[rows, cols] += votes[divmod(number, grid.cols.count)]
    return sums


def slow_cells(grid: PatchGrid, votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of votes of the patches that share a pixel with each cell of stride x stride."""
    down, across = (-(-size // grid.stride) for size in (grid.rows.size, grid.cols.size))
    sums = np.zeros((down, across, CLASSES + 1), np.int64)
    for number in range(len(grid)):
        window = grid.window(number)
        for row in range(window.row // grid.stride, -(-window.end[0] // grid.stride)):
            for col in range(window.col // grid.stride, -(-window.end[1] // grid.stride)):
                sums[row, col] += votes[divmod(number, grid.cols.count)]
    return sums


def slow_decision(sums: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    labels, confidence = np.zeros(sums.shape[:2], int), np.full(sums.shape[:2], 255)
    for row, col in np.ndindex(*sums.shape[:2]):
        votes, count = sums[row, col, :-1].tolist(), int(sums[row, col, -1])
        if count:
            best = max(votes)
            labels[row, col] = votes.index(best) + 1
            confidence[row, col] = round((best >> SHIFT) / (count * STEPS) * 254)
    return labels, confidence


def stitched(
    grid: PatchGrid, votes: NDArray[np.int64], window: Window, resolution: Resolution
) -> tuple[NDArray, NDArray]:
    """What the stitcher makes of the vote rows that touch a window, at one value a pixel or a cell."""
    rows = Cells.of(grid.rows, window.row, window.end[0], resolution)
    cols = Cells.of(grid.cols, window.col, window.end[1], resolution)
    first, last = grid.cols.touching(window.col, window.end[1])
    stitcher = Stitcher(rows, cols, first)
    made = [
        cell
        for row in range(*grid.rows.touching(window.row, window.end[0]))
        for cell in stitcher.add(row, votes[row, first:last])
    ]
    assert [cell.index for cell in made] == list(range(len(rows.cover)))
    assert len(stitcher.kept) <= grid.patch // grid.stride + 3
    labels, confidence = (np.stack([getattr(cell, name) for cell in made]) for name in ("labels", "confidence"))
    if resolution == "patch":
        return labels, confidence
    return tuple(np.repeat(np.repeat(cells, rows.sizes, 0), cols.sizes, 1) for cells in (labels, confidence))  # type: ignore[return-value]


@st.composite
def grids(draw: st.DrawFn, longest_stride: int) -> PatchGrid:
    patch = draw(st.integers(1, 7))
    stride = draw(st.integers(1, min(patch, longest_stride) if longest_stride < 10 else longest_stride))
    return PatchGrid.of((patch + draw(st.integers(0, 17)), patch + draw(st.integers(0, 20))), patch, stride)


@settings(max_examples=60, deadline=None)
@given(grids(7), st.integers(0, 99))
def test_pixels_get_the_votes_of_every_patch_over_them(grid: PatchGrid, seed: int) -> None:
    votes = random_votes(grid, seed)
    labels, confidence = stitched(grid, votes, Window(0, 0, grid.rows.size, grid.cols.size), "pixel")
    wanted = slow_decision(slow_pixels(grid, votes))
    assert np.array_equal(labels, wanted[0]) and np.array_equal(confidence, wanted[1])


@settings(max_examples=60, deadline=None)
@given(grids(13), st.integers(0, 99))
def test_cells_get_the_votes_of_every_patch_that_touches_them(grid: PatchGrid, seed: int) -> None:
    votes = random_votes(grid, seed)
    labels, confidence = stitched(grid, votes, Window(0, 0, grid.rows.size, grid.cols.size), "patch")
    wanted = slow_decision(slow_cells(grid, votes))
    assert np.array_equal(labels, wanted[0]) and np.array_equal(confidence, wanted[1])


@settings(max_examples=60, deadline=None)
@given(grids(7), st.data())
def test_a_window_is_the_crop_of_the_whole(grid: PatchGrid, data: st.DataObject) -> None:
    row, col = data.draw(st.integers(0, grid.rows.size - 1)), data.draw(st.integers(0, grid.cols.size - 1))
    height, width = data.draw(st.integers(1, grid.rows.size - row)), data.draw(st.integers(1, grid.cols.size - col))
    window = Window(row, col, height, width)
    votes = random_votes(grid, 1)
    whole = stitched(grid, votes, Window(0, 0, grid.rows.size, grid.cols.size), "pixel")
    for found, wanted in zip(stitched(grid, votes, window, "pixel"), whole, strict=True):
        assert np.array_equal(found, wanted[window.slices])


def test_a_cell_without_a_voting_patch_has_no_label() -> None:
    labels, confidence = decided(np.zeros((3, CLASSES + 1), np.int64))
    assert labels.tolist() == [0, 0, 0] and confidence.tolist() == [255, 255, 255]


def test_equal_probabilities_are_decided_by_what_lies_below_them() -> None:
    uniform = torch.full((3, 4), 0.25)
    ties = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.25, 0.25, 0.25, 0.25]])
    votes = np.concatenate([quantised(uniform, ties).numpy(), np.ones((3, 1), np.int64)], axis=1)
    labels, confidence = decided(votes)
    assert labels.tolist() == [4, 1, 1]
    assert confidence.tolist() == [64, 64, 64]  # a quarter of 254, rounded to even


def test_the_tie_part_never_outweighs_a_step_of_probability() -> None:
    probabilities = torch.tensor([[0.5 + 2**-16, 0.5 - 2**-16]])
    votes = quantised(probabilities, torch.tensor([[0.0, 1.0]])).numpy()
    assert votes[0, 0] > votes[0, 1]
    many = np.concatenate([votes * (1 << 14), np.array([[1 << 14]])], axis=1)
    assert decided(many)[0].tolist() == [1]


def test_votes_of_very_many_patches_do_not_overflow() -> None:
    """Running sums over a wide row wrap around; their differences, which are all that counts, do not."""
    grid = PatchGrid.of((64, 3000), 64, 1)
    votes = np.zeros((1, grid.cols.count, CLASSES + 1), np.int64)
    votes[..., 2], votes[..., -1] = (STEPS << SHIFT) * 500, 500
    labels, confidence = stitched(grid, votes, Window(0, 0, 64, 3000), "pixel")
    assert set(labels.ravel()) == {3} and set(confidence.ravel()) == {254}
