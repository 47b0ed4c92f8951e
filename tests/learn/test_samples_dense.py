"""What dense methods ask of samples: valid pixels, superpixels, windows moved one by one."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, scene_of

from rsseg.errors import TrainingError
from rsseg.learn.images import ImageSamples
from rsseg.learn.inputs import SceneInput
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.scene.grid import Window

HEIGHT, WIDTH, TILE = 40, 52, 16


def holed() -> tuple[NDArray, NDArray[np.bool_]]:
    rng = np.random.default_rng(2)
    valid = rng.random((HEIGHT, WIDTH)) > 0.2
    return rng.integers(1, 200, (3, HEIGHT, WIDTH)).astype("uint8"), valid


def made(memory: int = 1 << 20, **options: object) -> SceneSamples:
    values, valid = holed()
    patches, moments = find_patches([scene_of(values, valid)], TILE, 12, valid_share=0.5)
    return SceneSamples(patches, moments, device=CPU, memory=memory, masks=True, **options)  # type: ignore[arg-type]


def test_tiles_may_be_half_valid_where_that_is_asked_for() -> None:
    values, valid = holed()
    valid[:, :26] = False
    with pytest.raises(TrainingError, match="99% valid"):
        find_patches([scene_of(values, valid)], TILE, 12)
    found, _ = find_patches([scene_of(values, valid)], TILE, 12, valid_share=0.5)
    windows = [found[0].grid.window(number) for number in found[0].numbers]
    assert windows and all(valid[window.slices].mean() >= 0.5 for window in windows)


@pytest.mark.parametrize("memory", [1 << 20, 16 * HEIGHT * WIDTH // 7])
def test_the_valid_pixels_are_those_of_the_gathered_window(memory: int) -> None:
    samples, (values, _) = made(memory), holed()
    mean = np.array(samples.normalisation.mean)
    samples.redraw(3)
    every = torch.arange(len(samples))
    mask, x = samples.valid(every).numpy(), samples.gather(every).numpy()
    assert mask.shape == (len(samples), TILE, TILE) and mask.dtype == bool and not mask.all()
    spread = np.array(samples.normalisation.spread)[:, None, None]
    for tile, inside in zip(x, mask, strict=True):
        pixels = tile * spread + mean[:, None, None]
        assert np.abs(pixels[:, ~inside] - mean[:, None]).max() <= 0.5 + 1e-3
        assert np.isin(np.rint(pixels[:, inside]), values).all()
    assert mask.sum() > 0.7 * mask.size


def test_windows_are_moved_one_by_one_and_stay_inside() -> None:
    samples = made()
    indices = torch.tensor([0, 0, 3, 3, len(samples) - 1])
    offset = torch.tensor([[0, 0], [5, 7], [-4, 2], [0, 0], [90, 90]])
    moved, mask = samples.gather(indices, offset=offset), samples.valid(indices, offset=offset)
    for place, (down, right) in enumerate(offset.tolist()):
        one = indices[place : place + 1]
        assert torch.equal(moved[place], samples.gather(one, offset=(down, right))[0])
        assert torch.equal(mask[place], samples.valid(one, offset=(down, right))[0])
    assert not torch.equal(moved[0], moved[1])
    assert torch.equal(moved[4], samples.gather(indices[4:])[0])
    assert samples.window == HEIGHT
    assert samples.gather(indices, samples.window).shape == (5, 3, HEIGHT, HEIGHT)


def test_superpixels_are_made_once_a_tile_from_its_own_pixels() -> None:
    asked: list[Window] = []

    def columns(pixels: NDArray, valid: NDArray, scene: SceneInput | None, window: Window) -> NDArray[np.int32]:
        asked.append(window)
        assert pixels.shape == (3, TILE, TILE) and valid.shape == (TILE, TILE) and scene is not None
        assert np.array_equal(valid, holed()[1][window.slices])
        return np.broadcast_to(np.arange(window.col, window.col + TILE, dtype=np.int32), (TILE, TILE))

    samples = made(regions=columns)
    first = samples.regions(torch.tensor([1, 0, 1]))
    assert first.shape == (3, TILE, TILE) and first.dtype == torch.int64
    assert torch.equal(first[0], first[2]) and int(first[1, 0, 0]) == 0 and int(first[0, 0, 0]) == 12
    samples.regions(torch.tensor([1, 2]))
    assert [window.col for window in asked] == [12, 0, 24]


def test_superpixels_that_nobody_can_make_are_said() -> None:
    with pytest.raises(TrainingError, match="needs superpixels"):
        made().regions(torch.tensor([0]))


def test_images_have_regions_and_no_invalid_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 255, (5, 2, 6, 6)).astype("uint8")
    samples = ImageSamples(images, CPU, lambda pixels, valid, scene, window: np.full((6, 6), 7, np.int32))
    assert samples.valid(torch.tensor([1, 2])).all() and samples.window == samples.patch == 6 and samples.whole
    assert samples.regions(torch.tensor([4, 0])).unique().tolist() == [7]
    with pytest.raises(TrainingError, match="no surroundings"):
        samples.gather(torch.tensor([0]), offset=torch.tensor([[1, 1]]))


def test_a_low_last_chunk_joins_the_one_above() -> None:
    values = np.random.default_rng(0).integers(1, 200, (1, 16 * 65, 32)).astype("uint8")
    patches, moments = find_patches([scene_of(values)], 16, 16)
    for epoch in range(12):
        samples = SceneSamples(patches, moments, device=CPU, memory=34000, masks=True)
        samples.redraw(epoch)
        assert not samples.whole and samples.window >= 32, epoch


def test_no_sample_is_of_the_first_scene_where_it_was_not_drawn() -> None:
    rng = np.random.default_rng(0)
    scenes = [scene_of(rng.integers(1, 200, (1, rows, 64)).astype("uint8"), name=str(rows)) for rows in (32, 1280)]
    patches, moments = find_patches(scenes, 16, 16)
    samples = SceneSamples(patches, moments, device=CPU, memory=20000)
    counts = []
    for epoch in range(8):
        samples.redraw(epoch)
        counts.append(len(samples.of_first(1)))
    assert set(counts) == {0, 8}


def test_range_takes_valid_pixels_only() -> None:
    values = np.random.default_rng(0).uniform(0, 1000, (1, 64, 64)).astype("float32")
    valid = np.ones((64, 64), bool)
    valid[::2, ::4] = valid[1::2, 1::4] = valid[::2, 2::4] = False
    patches, moments = find_patches([scene_of(values, valid)], 16, 16, valid_share=0.5)
    found = SceneSamples(patches, moments, device=CPU, memory=1 << 20, masks=True, kind="range").normalisation
    low, high = np.percentile(values[0][valid], [2, 98])
    assert found.centre[0] == pytest.approx(low, abs=0.01) and found.spread[0] == pytest.approx(high - low, abs=0.01)
