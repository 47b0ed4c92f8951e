"""Labels for training: which patches have a class, what is drawn together, and what is kept apart."""

from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_boxes, write_map
from tiny import scene_of

from rsseg.label.reference import open_reference
from rsseg.label.training_labels import apart, drawn, patch_labels, pixel_labels
from rsseg.scene.grid import PatchGrid

SHAPE = (30, 44)


def nothing(rows: int) -> None:
    """No progress."""


@pytest.mark.parametrize(("patch", "stride"), [(8, 8), (8, 3), (1, 1), (5, 7)])
def test_a_patch_has_the_class_of_most_of_its_pixels_where_half_of_them_have_one(
    tmp_path: Path, patch: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.choice(4, (8, 11), p=[0.4, 0.3, 0.2, 0.1])
    truth = np.kron(coarse, np.ones((4, 4), int))[: SHAPE[0]].astype(np.uint8)
    grid = PatchGrid.of(SHAPE, patch, stride)
    numbers = np.flatnonzero(rng.random(len(grid)) < 0.8)
    path = write_map(tmp_path / "r.tif", truth)
    with open_reference(path, grid_for(SHAPE), path) as reference:
        found = patch_labels(reference, grid, numbers, nothing)
    wanted = {}
    for number in numbers.tolist():
        rows, cols = grid.window(number).slices
        counts = np.bincount(truth[rows, cols].ravel(), minlength=4)[1:]
        if 2 * counts.sum() >= patch**2 and 2 * counts.max() > counts.sum():
            wanted[number] = int(counts.argmax()) + 1
    assert len(wanted) > 2
    assert dict(zip(found.numbers.tolist(), found.codes.tolist(), strict=True)) == wanted


def test_patches_and_pixels_belong_to_their_polygon(tmp_path: Path) -> None:
    boxes = [(0, 0, 8, 8, "b"), (0, 8, 8, 16, "a"), (12, 0, 8, 5, "b")]
    path = write_boxes(tmp_path / "p.gpkg", grid_for(SHAPE), boxes)
    grid, scene = PatchGrid.of(SHAPE, 4, 4), scene_of(np.ones((1, *SHAPE)), np.arange(44) != np.full((30, 1), 9))
    with open_reference(path, grid_for(SHAPE), path, "class") as reference:
        assert reference.classes == ("a", "b")
        patches = patch_labels(reference, grid, np.arange(len(grid)), nothing)
        tiles = pixel_labels(reference, PatchGrid.of(SHAPE, 10, 10), np.array([0, 1, 4, 6]), scene, nothing)
    table = {(code, unit) for code, unit in zip(patches.codes.tolist(), patches.units.tolist(), strict=True)}
    assert table == {(2, 1), (1, 2), (2, 3)}
    assert np.bincount(patches.units).tolist() == [0, 4, 8, 2]  # a patch of which a quarter is labelled has no class
    assert tiles.numbers.tolist() == [0, 1]
    assert (tiles.codes[0, :8, :10] == np.array([2] * 8 + [1, 0])).all()  # the pixel without data has no label
    assert (tiles.units[0][tiles.codes[0] == 1] == 2).all() and not tiles.codes[:, 8:].any()


def test_pixels_of_a_raster_are_drawn_by_squares_that_tiles_share(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(1, 3, SHAPE).astype(np.uint8)
    path = write_map(tmp_path / "r.tif", truth)
    grid = PatchGrid.of(SHAPE, 20, 10)
    with open_reference(path, grid_for(SHAPE), path) as reference:
        found = pixel_labels(reference, grid, np.arange(len(grid)), scene_of(np.ones((1, *SHAPE))), nothing)
    chosen = drawn(found.codes, found.units, 0.5, 0)
    used = np.zeros((2, *SHAPE), bool)
    for tile, number in enumerate(found.numbers.tolist()):
        rows, cols = grid.window(number).slices
        used[0, rows, cols] |= chosen[tile]
        used[1, rows, cols] |= ~chosen[tile]
    assert not (used[0] & used[1]).any() and used[0].any() and used[1].any()


@pytest.mark.parametrize(("share", "counts"), [(1.0, [40, 20, 3]), (0.5, [20, 10, 2]), (0.25, [10, 5, 1])])
def test_a_share_is_drawn_of_each_class(share: float, counts: list[int]) -> None:
    codes = np.repeat(np.array([1, 2, 3], np.uint8), [40, 20, 3])
    chosen = drawn(codes, np.arange(63), share, 0)
    assert [abs(int((chosen & (codes == code)).sum()) - count) <= (code == 3) for code, count in enumerate(counts, 1)]
    assert np.bincount(codes[chosen])[1:3].tolist() == counts[:2] and (chosen & (codes == 3)).any()
    assert not (drawn(codes, np.arange(63), 0.1, 0) & ~drawn(codes, np.arange(63), 0.25, 0)).any()
    assert share == 1 or (drawn(codes, np.arange(63), share, 1) != chosen).any()


def test_units_are_drawn_whole_and_every_class_keeps_one() -> None:
    codes = np.repeat(np.array([1, 1, 1, 2], np.uint8), [10, 10, 20, 5])
    units = np.repeat([7, 8, 9, 11], [10, 10, 20, 5])
    for seed in range(5):
        chosen = drawn(codes, units, 0.25, seed)
        assert all(len(set(chosen[units == unit])) == 1 for unit in (7, 8, 9, 11))
        assert chosen[units == 11].all() and chosen[codes == 1].sum() in (10, 20)


@pytest.mark.parametrize(("patch", "stride"), [(4, 4), (6, 2), (5, 3), (3, 8)])
def test_held_out_patches_share_no_pixel_with_those_trained_on(patch: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    grid = PatchGrid.of(SHAPE, patch, stride)
    numbers = np.flatnonzero(rng.random(len(grid)) < 0.7)
    chosen = rng.random(len(numbers)) < 0.1
    pixels = np.zeros(SHAPE, bool)
    for number in numbers[chosen].tolist():
        pixels[grid.window(number).slices] = True
    wanted = [not pixels[grid.window(number).slices].any() for number in numbers.tolist()]
    assert apart(grid, numbers, chosen).tolist() == wanted
