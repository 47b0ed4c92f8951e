"""Training patches: which are taken, their moments, and gathering against slicing by hand."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, samples_of, scene_of

from rsseg.errors import ModelError, TrainingError
from rsseg.learn import arena
from rsseg.learn.images import ImageSamples
from rsseg.learn.inputs import ArraySource, SceneInput
from rsseg.learn.normalise import Moments, robust, robust_range
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.scene.grid import PatchGrid, Window


def random_values(shape: tuple[int, int, int], dtype: str = "uint16", seed: int = 0) -> NDArray:
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0.2, 0.1, shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def scaled(name: str, values: NDArray, scale: float, offset: float, valid: NDArray | None = None) -> SceneInput:
    bands = len(values)
    scales = tuple(scale * (1 + 0.1 * band) for band in range(bands))
    return SceneInput(name, ArraySource(values, valid), scales, (offset,) * bands)


def physical(scene: SceneInput) -> NDArray:
    assert isinstance(scene.source, ArraySource)
    values = scene.source.values.astype(np.float64)
    return values * np.array(scene.scale)[:, None, None] + np.array(scene.offset)[:, None, None]


def by_hand(samples: SceneSamples, scene: SceneInput, window: Window) -> NDArray:
    """A patch sliced from the whole scene and normalised in float64."""
    rows, cols = window.slices
    n = samples.normalisation
    return (physical(scene)[:, rows, cols] - np.array(n.centre)[:, None, None]) / np.array(n.spread)[:, None, None]


# which patches, and their moments


def test_a_training_patch_is_99_percent_valid() -> None:
    valid = np.ones((10, 40), bool)
    valid[0, 10] = False  # one of 100 pixels: enough
    valid[0, 20:22] = False  # two: not enough
    patches, _ = find_patches([scene_of(np.ones((1, 10, 40)), valid)], 10, 10)
    assert patches[0].numbers.tolist() == [0, 1, 3]


def test_a_small_patch_with_one_invalid_pixel_is_left_out() -> None:
    valid = np.ones((8, 16), bool)
    valid[3, 12] = False
    patches, _ = find_patches([scene_of(np.ones((1, 8, 16)), valid)], 8, 4)
    assert patches[0].numbers.tolist() == [0, 1]


@pytest.mark.parametrize("stride", [3, 8, 13])
def test_moments_are_those_of_the_valid_pixels_of_all_training_patches(stride: int) -> None:
    rng = np.random.default_rng(1)
    first_valid, second_valid = rng.random((70, 81)) > 0.008, rng.random((44, 60)) > 0.008
    scenes = [
        scaled("a", random_values((3, 70, 81), "uint16"), 1e-4, -0.1, first_valid),
        scaled("b", random_values((3, 44, 60), "int16", seed=2), 2e-4, 3.0, second_valid),
    ]
    found, moments = find_patches(scenes, 12, stride)
    pixels = []
    for scene, valid, patches in zip(scenes, (first_valid, second_valid), found, strict=True):
        assert 0 < len(patches.numbers) < len(patches.grid)
        for number in patches.numbers:
            rows, cols = patches.grid.window(int(number)).slices
            pixels.append(physical(scene)[:, rows, cols][:, valid[rows, cols]])
    every = np.concatenate(pixels, axis=1)
    assert moments.count == every.shape[1]
    np.testing.assert_allclose(moments.mean, every.mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(moments.deviation, every.std(axis=1), rtol=1e-10)


def test_a_scene_without_a_valid_patch_is_said() -> None:
    nothing = scene_of(np.ones((3, 16, 16)), np.zeros((16, 16), bool), "empty")
    with pytest.raises(TrainingError, match="no patch of 8 x 8 pixels in empty is 99% valid"):
        find_patches([nothing], 8, 8)
    patches, _ = find_patches([nothing, scene_of(np.ones((3, 16, 16)))], 8, 8)
    assert [len(found.numbers) for found in patches] == [0, 4]


def test_scenes_of_other_bands_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[2, 3\] bands"):
        find_patches([scene_of(np.ones((3, 16, 16))), scene_of(np.ones((2, 16, 16)))], 8, 8)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_values_that_are_not_finite_are_refused() -> None:
    values = np.ones((3, 16, 16), np.float32)
    values[1, 2, 3] = np.inf
    with pytest.raises(TrainingError, match="not finite"):
        samples_of(scene_of(values))


def test_a_constant_band_is_not_divided_by_zero() -> None:
    values = random_values((2, 16, 16))
    values[1] = 40000
    batch = samples_of(scene_of(values)).gather(torch.arange(4))
    assert not batch[:, 1].any() and batch[:, 0].any()


def test_progress_counts_the_rows_of_patches() -> None:
    rows: list[int] = []
    find_patches([scene_of(np.ones((1, 20, 16))), scene_of(np.ones((1, 8, 16)))], 8, 5, rows.append)
    assert sum(rows) == 4 + 1


# gathering


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
def test_gathering_is_slicing_and_normalising(dtype: str) -> None:
    scenes = [
        scaled("a", random_values((3, 30, 41), dtype), 1e-4, -0.1),
        scaled("b", random_values((3, 25, 19), dtype, seed=5), 3e-4, 0.2),
    ]
    samples = samples_of(scenes, 8, 5)
    grids = [PatchGrid.of(scene.source.shape[1:], 8, 5) for scene in scenes]
    assert len(samples) == len(grids[0]) + len(grids[1])
    batch = samples.gather(torch.arange(len(samples)))
    assert batch.dtype == torch.float32 and batch.shape[1:] == (3, 8, 8)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    wanted = [
        by_hand(samples, scene, grid.window(number))
        for scene, grid in zip(scenes, grids, strict=True)
        for number in range(len(grid))
    ]
    np.testing.assert_allclose(batch.numpy(), np.stack(wanted), atol=2e-5)
    assert abs(float(batch.double().mean())) < 0.3


def test_scenes_of_different_types_share_one_that_holds_both() -> None:
    scenes = [scene_of(random_values((1, 16, 16), "uint16")), scene_of(random_values((1, 16, 16), "int16"))]
    samples = samples_of(scenes)
    wanted = [by_hand(samples, scene, Window(0, 0, 8, 8)) for scene in scenes]
    np.testing.assert_allclose(samples.gather(torch.tensor([0, 4])).numpy(), np.stack(wanted), atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_invalid_pixels_are_at_the_mean_and_the_source_is_left_alone(dtype: str) -> None:
    values = random_values((2, 20, 20), dtype)
    valid = np.ones((20, 20), bool)
    valid[4, 7] = valid[19, 19] = False
    if dtype == "float32":
        values[:, ~valid] = np.nan
    before = values.copy()
    samples = samples_of(scaled("a", values, 1e-4, -0.1, valid), 10, 10)
    patch = samples.gather(torch.tensor([0]))[0]
    np.testing.assert_allclose(patch[:, 4, 7].numpy(), 0, atol=1e-4)
    assert np.array_equal(values, before, equal_nan=dtype == "float32")


def test_a_single_bands_source_is_left_alone() -> None:
    values, valid = random_values((1, 20, 20), "float32"), np.ones((20, 20), bool)
    valid[4, 7] = False
    values[:, ~valid] = np.nan
    samples_of(scene_of(values, valid), 10, 10)
    assert np.isnan(values[0, 4, 7])


def test_a_scene_is_read_by_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scaled("a", random_values((3, 30, 41)), 1e-4, -0.1)
    at_once = samples_of(scene, 8, 5).arena.flat
    monkeypatch.setattr(arena, "STRIP_PIXELS", 41 * 7)
    assert torch.equal(samples_of(scene, 8, 5).arena.flat, at_once)


def test_larger_and_shifted_windows_stay_inside_the_scene() -> None:
    scene = scene_of(random_values((3, 30, 41)))
    samples = samples_of(scene, 8, 5)
    grid = PatchGrid.of((30, 41), 8, 5)
    every = torch.arange(len(samples))
    for size, offset in [(8, (8, 0)), (8, (-8, -8)), (16, (0, 0)), (13, (3, -4)), (4, (0, 0)), (30, (0, 0))]:
        batch = samples.gather(every, size, offset).numpy()
        for number in range(len(grid)):
            window, margin = grid.window(number), (size - 8) // 2
            row = min(max(window.row + offset[0] - margin, 0), 30 - size)
            col = min(max(window.col + offset[1] - margin, 0), 41 - size)
            wanted = by_hand(samples, scene, Window(row, col, size, size))
            np.testing.assert_allclose(batch[number], wanted, atol=1e-5)


def test_a_window_larger_than_the_scene_is_refused() -> None:
    with pytest.raises(TrainingError, match="windows of 31 pixels"):
        samples_of(scene_of(random_values((3, 30, 41))), 8, 5).gather(torch.tensor([0]), 31)


# scenes larger than memory


LARGE_ROWS, LARGE_COLS = 240, 30


def large_samples(memory: int, seed: int = 0) -> tuple[SceneSamples, SceneInput]:
    """A scene whose pixels tell where they lie: the value is the row, of band 2 the column."""
    rows, cols = np.mgrid[:LARGE_ROWS, :LARGE_COLS].astype(np.uint16)
    scene = scene_of(np.stack([rows, cols]))
    patches, moments = find_patches([scene], 8, 4)
    return SceneSamples(patches, moments, device=CPU, memory=memory, seed=seed), scene


def positions(samples: SceneSamples) -> set[tuple[int, int]]:
    """Row and column in the scene of every patch in memory, by its pixels."""
    batch = samples.gather(torch.arange(len(samples))).double()
    n = samples.normalisation
    first = batch[:, :, 0, 0].numpy() * np.array(n.spread) + np.array(n.centre)
    return {(round(row), round(col)) for row, col in first}


def test_a_draw_respects_the_limit_and_holds_the_right_pixels() -> None:
    memory = LARGE_ROWS * LARGE_COLS * 4 // 3
    samples, scene = large_samples(memory)
    assert not samples.whole
    grid = PatchGrid.of((LARGE_ROWS, LARGE_COLS), 8, 4)
    starts = {(window.row, window.col) for window in map(grid.window, range(len(grid)))}
    for epoch in range(4):
        samples.redraw(epoch)
        assert samples.arena.flat.numel() * samples.arena.flat.element_size() <= memory
        found = positions(samples)
        assert len(found) == len(samples) and found <= starts
        assert len(samples) > len(grid) // 6
        batch = samples.gather(torch.arange(len(samples))).numpy()
        n = samples.normalisation
        for patch, (row, col) in zip(batch, in_order(samples), strict=True):
            np.testing.assert_allclose(patch, by_hand(samples, scene, Window(row, col, 8, 8)), atol=1e-5)
        assert n == samples.normalisation


def in_order(samples: SceneSamples) -> list[tuple[int, int]]:
    tops = torch.tensor([piece.window.row for piece in samples.arena.pieces])
    piece, row, col = samples._position(torch.arange(len(samples)))
    return list(zip((tops[piece] + row).tolist(), col.tolist(), strict=True))


def test_draws_differ_between_epochs_and_are_repeatable() -> None:
    memory = LARGE_ROWS * LARGE_COLS * 4 // 4
    samples, _ = large_samples(memory)
    again, _ = large_samples(memory)
    other, _ = large_samples(memory, seed=1)
    draws = []
    for epoch in range(3):
        for drawn in (samples, again, other):
            drawn.redraw(epoch)
        draws.append(positions(samples))
        assert torch.equal(samples.arena.flat, again.arena.flat)
        assert positions(other) != draws[-1]
    assert draws[0] != draws[1] != draws[2] != draws[0]
    samples.redraw(0)
    assert positions(samples) == draws[0]


def test_over_the_epochs_every_patch_has_its_turn() -> None:
    samples, _ = large_samples(LARGE_ROWS * LARGE_COLS * 4 // 3)
    seen: set[tuple[int, int]] = set()
    for epoch in range(80):
        samples.redraw(epoch)
        seen |= positions(samples)
    assert len(seen) == len(PatchGrid.of((LARGE_ROWS, LARGE_COLS), 8, 4))


def test_scenes_that_fit_are_loaded_once() -> None:
    samples, _ = large_samples(LARGE_ROWS * LARGE_COLS * 4)
    assert samples.whole
    before = samples.arena
    samples.redraw(7)
    assert samples.arena is before and len(samples) == len(PatchGrid.of((LARGE_ROWS, LARGE_COLS), 8, 4))


# normalisation by range


def test_range_takes_the_2nd_to_98th_percentile_to_0_and_1() -> None:
    values = random_values((2, 64, 64), "uint16")
    samples = samples_of(scaled("a", values, 1e-4, -0.1), 8, 8, kind="range")
    batch = samples.gather(torch.arange(len(samples))).numpy()
    np.testing.assert_allclose(np.percentile(batch, 2, axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(np.percentile(batch, 98, axis=(0, 2, 3)), 1, atol=1e-4)
    assert samples.normalisation.kind == "range"


def test_range_is_not_stretched_by_clouds() -> None:
    rng = np.random.default_rng(3)
    clear = rng.normal(0.2, 0.05, (1, 80, 80)).astype(np.float32)
    cloudy = clear.copy()
    cloudy[0, :8, :8] = 1e6  # 1 % of the pixels
    plain, covered = (samples_of(scene_of(values), 8, 8, kind="range").normalisation for values in (clear, cloudy))
    assert covered.spread[0] == pytest.approx(plain.spread[0], rel=0.15)
    assert samples_of(scene_of(cloudy), 8, 8).normalisation.spread[0] > 1000


def test_the_range_of_a_constant_band_is_one() -> None:
    moments = Moments(1)
    moments.add(4, np.array([8.0]), np.array([16.0]), [1.0], [0.0])
    assert robust_range(moments, np.full((4, 1), 2.0)).spread == (1.0,)


def test_robust_normalisation_is_not_moved_by_clouds() -> None:
    values = np.random.default_rng(0).normal(0.2, 0.05, (2, 64, 64))
    cloudy = values.copy()
    cloudy[:, :8] = 0.9
    samples = samples_of(scene_of(cloudy), kind="robust")
    sample = samples.gather(torch.arange(len(samples))).permute(0, 2, 3, 1).reshape(-1, 2).numpy()
    low, middle, high = np.percentile(sample, [25, 50, 75], axis=0)
    np.testing.assert_allclose(middle, 0, atol=1e-5)
    np.testing.assert_allclose(high - low, 1.349, atol=1e-4)
    clear = samples.normalisation
    assert clear.kind == "robust" and clear.mean == clear.centre
    np.testing.assert_allclose(clear.centre, 0.2, atol=0.015)
    np.testing.assert_allclose(clear.spread, 0.05, atol=0.015)


def test_the_quartile_range_of_a_constant_band_is_one() -> None:
    found = robust(Moments(1), np.full((4, 1), 2.0))
    assert (found.centre, found.spread) == ((2.0,), (1.0,))


# images


def test_images_are_standardised_over_the_data_set() -> None:
    images = random_values((50, 3, 8, 8), "uint8")  # type: ignore[arg-type]
    samples = ImageSamples(images, CPU)
    batch = samples.gather(torch.arange(50))
    wide = images.astype(np.float64)
    wanted = (wide - wide.mean(axis=(0, 2, 3), keepdims=True)) / wide.std(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(batch.numpy(), wanted, atol=1e-5)
    assert len(samples) == 50 and batch.is_contiguous(memory_format=torch.channels_last)
    samples.redraw(3)
    with pytest.raises(TrainingError, match="no surroundings"):
        samples.gather(torch.arange(2), 16)
    with pytest.raises(TrainingError, match="no surroundings"):
        samples.gather(torch.arange(2), None, (1, 0))
