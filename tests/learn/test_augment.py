"""Random changes of patches: where pixels come from, how values change, and which patches make a pair."""

from dataclasses import replace
from math import pi, radians

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor

from rsseg.errors import TrainingError
from rsseg.learn.augment import ColourJitter, Geometry, Pairs, gain_offset, hue_rotation, surroundings, warp
from rsseg.learn.images import ImageSamples
from rsseg.learn.samples import SceneSamples

STILL = Geometry(rotation=0, scale=0, shear=0, shift=0, flips=False)
STRONG = Geometry(rotation=180, scale=0.5, shear=30, shift=0.3)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(size: int, patch: int, count: int = 1) -> Tensor:
    """Windows (count, 2, size, size) whose bands are row and column, from the centre of the patch in their middle."""
    step = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.stack(torch.meshgrid(step, step, indexing="ij")).expand(count, 2, size, size)


# geometry


@pytest.mark.parametrize("patch", [1, 2, 7, 8, 16])
@pytest.mark.parametrize("geometry", [STILL, Geometry(), STRONG, Geometry(rotation=90, scale=0, shear=0, shift=0)])
def test_pixels_come_from_where_the_affine_map_says_and_never_from_outside(patch: int, geometry: Geometry) -> None:
    """A window whose values are its own coordinates gives the map itself, as long as no pixel is filled."""
    count, size = 300, patch + 2 * geometry.margin(patch)
    matrix, shift = geometry.draw(count, patch, CPU, seeded())
    matrix, shift = matrix.double(), shift.double()
    found = warp(ramp(size, patch, count), matrix, shift, patch)
    wanted = torch.einsum("nij,jhw->nihw", matrix, ramp(patch, patch)[0]) + shift[:, :, None, None]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_the_margin_is_no_wider_than_the_largest_change_needs() -> None:
    for geometry in (Geometry(shear=0), replace(STRONG, shear=0), Geometry(rotation=0, shear=0)):
        turns = torch.linspace(-geometry.rotation, geometry.rotation, 721) * pi / 180
        reach = 7.5 * (1 + geometry.scale) * (turns.cos().abs() + turns.sin().abs()).max() + 16 * geometry.shift
        assert float(reach) - 7.5 <= geometry.margin(16) < float(reach) - 7.5 + 1
    assert STILL.margin(16) == 0 and Geometry().margin(1) == 1


def test_no_change_gives_the_patch_itself() -> None:
    window = torch.randn(5, 3, 16, 16)
    found = warp(window, *STILL.draw(5, 8, CPU), 8)
    torch.testing.assert_close(found, window[:, :, 4:12, 4:12], rtol=0, atol=1e-5)


def test_a_quarter_turn_and_flips_are_those_of_the_array() -> None:
    x, still = torch.randn(1, 2, 6, 6), torch.zeros(1, 2)
    turned = warp(x, torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]), still, 6)
    torch.testing.assert_close(turned, x.rot90(-1, (2, 3)), rtol=0, atol=1e-5)
    flipped = warp(x, torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]), still, 6)
    torch.testing.assert_close(flipped, x.flip(3), rtol=0, atol=1e-5)
    moved = warp(torch.nn.functional.pad(x, (2, 2, 2, 2)), torch.eye(2)[None], torch.tensor([[1.0, 0.0]]), 6)
    torch.testing.assert_close(moved[:, :, :5], x[:, :, 1:], rtol=0, atol=1e-5)


def test_each_kind_of_change_stays_within_its_amount() -> None:
    def matrices(geometry: Geometry) -> Tensor:
        return geometry.draw(2000, 10, CPU, seeded(1))[0]

    turned = matrices(replace(STILL, rotation=25.0))
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0])
    assert radians(24.5) < float(angle.abs().max()) <= radians(25) + 1e-6
    torch.testing.assert_close(turned.det(), torch.ones(2000))
    scaled = matrices(replace(STILL, scale=0.2))
    assert float(scaled[:, 0, 1].abs().max()) < 1e-6 and torch.equal(scaled[:, 0, 0], scaled[:, 1, 1])
    assert 0.8 <= float(scaled[:, 0, 0].min()) < 0.81 and 1.19 < float(scaled[:, 0, 0].max()) <= 1.2
    flips = matrices(replace(STILL, flips=True)).diagonal(dim1=1, dim2=2).sign()
    share = [(flips == torch.tensor(pair)).all(dim=1).float().mean() for pair in ([1, 1], [1, -1], [-1, 1], [-1, -1])]
    assert all(0.2 < float(part) < 0.3 for part in share)
    shift = replace(STILL, shift=0.1).draw(2000, 10, CPU, seeded())[1]
    assert 0.98 < float(shift.abs().max()) <= 1.0


def test_each_patch_has_its_own_change_and_a_generator_repeats_them() -> None:
    window = torch.randn(1, 3, 20, 20).expand(8, -1, -1, -1)
    first = warp(window, *Geometry().draw(8, 8, CPU, seeded(4)), 8)
    assert len(first.flatten(1).unique(dim=0)) == 8
    assert torch.equal(first, warp(window, *Geometry().draw(8, 8, CPU, seeded(4)), 8))


# photometry


def test_gain_and_offset_are_drawn_for_each_band_of_each_patch() -> None:
    x = torch.randn(50, 3, 6, 6)
    y = gain_offset(x, 0.2, 0.5, seeded())
    for before, after in zip(x.flatten(0, 1).flatten(1), y.flatten(0, 1).flatten(1), strict=True):
        gain = float((after.max() - after.min()) / (before.max() - before.min()))
        assert 0.8 - 1e-4 <= gain <= 1.2 + 1e-4
        offset = after - gain * before
        assert float(offset.std()) < 1e-4 and abs(float(offset.mean())) <= 0.5 + 1e-3
    constant = gain_offset(torch.zeros(50, 3, 2, 2), 0.2, 0.5)[:, :, 0, 0]
    assert len(constant.unique()) == 150


def test_no_gain_and_offset_change_nothing() -> None:
    x = torch.randn(4, 2, 3, 3)
    assert torch.equal(gain_offset(x, 0, 0), x)


def jitter(**amounts: float) -> ColourJitter:
    return ColourJitter(-2.0, 2.0, **{"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, **amounts})


def slow_jitter(x: np.ndarray, numbers: np.ndarray, black: float, white: float) -> np.ndarray:
    """One patch (3, h, w): brightness, contrast and saturation as interpolations with black and with grey."""
    colour = (x - black) / (white - black) * (1 + 0.4 * numbers[0])
    grey = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    contrast = 1 + 0.4 * numbers[1]
    colour = contrast * colour + (1 - contrast) * grey.mean()
    grey = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    saturation = 1 + 0.4 * numbers[2]
    return (saturation * colour + (1 - saturation) * grey) * (white - black) + black


def test_jitter_blends_with_black_with_the_mean_and_with_grey() -> None:
    x = torch.randn(6, 3, 4, 4)
    numbers = (2 * torch.rand(6, 4, generator=seeded()) - 1).numpy()
    y = ColourJitter(-2.0, 2.0, hue=0)(x, seeded())
    for patch, row, found in zip(x.numpy(), numbers, y, strict=True):
        np.testing.assert_allclose(found, slow_jitter(patch, row, -2, 2), rtol=0, atol=1e-5)


def test_further_bands_are_left_alone_by_jitter() -> None:
    x = torch.randn(6, 5, 4, 4)
    y = ColourJitter(-2.0, 2.0)(x)
    assert torch.equal(y[:, 3:], x[:, 3:])
    assert all(not torch.allclose(y[:, band], x[:, band]) for band in range(3))


@pytest.mark.parametrize(("bands", "visible"), [(1, 3), (2, 3), (3, 2), (4, 1)])
def test_without_three_visible_bands_only_brightness_and_contrast_change(bands: int, visible: int) -> None:
    x = torch.randn(6, bands, 4, 4)
    assert torch.allclose(
        jitter(
            saturation=0.4,
            hue=0.125,
        )(x)
        if bands < 3
        else x,
        x,
        atol=1e-6,
    )
    changer = ColourJitter(-2.0, 2.0, visible=visible)
    y, seen = changer(x), min(bands, visible)
    assert torch.equal(y[:, seen:], x[:, seen:])
    for before, after in zip(x[:, :seen].flatten(1), y[:, :seen].flatten(1), strict=True):
        gain = (after[0] - after[1]) / (before[0] - before[1])  # one line for all visible bands of a patch
        torch.testing.assert_close(after - after[0], gain * (before - before[0]), rtol=1e-3, atol=1e-4)


def test_hue_turns_colours_and_leaves_grey() -> None:
    grey = torch.randn(4, 1, 3, 3).expand(-1, 3, -1, -1)
    torch.testing.assert_close(jitter(hue=0.5)(grey), grey, rtol=0, atol=1e-5)
    third = hue_rotation(torch.tensor([2 * pi / 3]))[0]
    torch.testing.assert_close(third @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), rtol=0, atol=1e-6)


# pairs


def coordinates_scene(height: int = 60, width: int = 70) -> SceneSamples:
    """Samples whose values say where they come from: row and column, in pixels."""
    rows, cols = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    return samples_of(scene_of(np.stack([rows, cols]).astype("uint8")), 8, 8)


def places(samples: SceneSamples, x: Tensor) -> Tensor:
    """Row and column (n, 2) of the centres of patches, from their values."""
    spread, centre = (torch.tensor(part) for part in (samples.normalisation.spread, samples.normalisation.centre))
    return x.double().mean(dim=(2, 3)) * spread + centre


def test_pairs_of_a_scene_show_no_fill() -> None:
    """The gradient of the scene goes on through every changed patch: a filled corner would break it."""
    samples = coordinates_scene()
    inner = torch.tensor([9 * 2 + 3, 9 * 3 + 4, 9 * 4 + 5]).repeat(50)
    x = Pairs(STRONG).draw(samples, inner, seeded())
    for step in (x.diff(dim=2), x.diff(dim=3)):
        assert float(step.std(dim=(2, 3)).max()) < 1e-4


def test_neighbours_are_whole_pixels_away_at_most_one_patch() -> None:
    samples = coordinates_scene()
    indices = torch.arange(len(samples))
    moved = places(samples, Pairs(None, neighbours=True).draw(samples, indices, seeded()))
    away = moved - places(samples, samples.gather(indices))
    torch.testing.assert_close(away, away.round(), rtol=0, atol=1e-4)
    assert 7.9 < float(away.abs().max()) < 8.1
    assert len(away.round().unique(dim=0)) > 30


def test_a_changed_neighbour_is_moved_and_changed() -> None:
    samples = coordinates_scene()
    inner = torch.tensor([9 * 3 + 4]).repeat(200)
    x = Pairs(replace(STILL, rotation=40.0), neighbours=True).draw(samples, inner, seeded())
    away = places(samples, x) - places(samples, samples.gather(inner))
    assert float(away.abs().amax(dim=0).min()) > 7
    assert float(x[:, 0].diff(dim=2).abs().amax(dim=(1, 2)).max()) > 0.02  # rows change along columns: it is turned


def holed_scene() -> tuple[SceneSamples, Tensor]:
    """A scene whose right half is invalid, and the patches that touch it."""
    values, _ = blocks_scene(64, 64)
    valid = np.ones((64, 64), bool)
    valid[:, 32:] = False
    samples = samples_of(scene_of(values, valid), 8, 8, masks=True)
    return samples, torch.arange(3, len(samples), 4)


def test_neighbours_that_hold_invalid_pixels_are_not_taken() -> None:
    samples, border = holed_scene()
    for _ in range(20):
        x = Pairs(None, neighbours=True).draw(samples, border)
        assert float((x.abs().amax(dim=1) < 0.02).float().mean()) < 0.01  # invalid pixels hold the mean


def test_surroundings_with_invalid_pixels_repeat_the_patch() -> None:
    samples, border = holed_scene()
    window = surroundings(samples, border, 4)
    patch = samples.gather(border)
    assert torch.equal(window[:, :, 4:-4, 4:-4], patch)
    assert torch.equal(window[:, :, 4:-4, -4:], patch[:, :, :, -1:].expand(-1, -1, -1, 4))
    inner = torch.tensor([4 * 2 + 1])
    assert torch.equal(surroundings(samples, inner, 4), samples.gather(inner, 16))


def test_images_are_changed_within_their_border_and_have_no_neighbours() -> None:
    images = ImageSamples(np.random.default_rng(0).integers(0, 255, (20, 1, 9, 9)).astype("uint8"), CPU)
    indices = torch.arange(20)
    x, before = Pairs(STRONG).draw(images, indices), images.gather(indices)
    assert x.shape == before.shape
    assert bool((x.amax(dim=(1, 2, 3)) <= before.amax(dim=(1, 2, 3)) + 1e-5).all())
    with pytest.raises(TrainingError, match="--pairs transform"):
        Pairs(None, neighbours=True).draw(images, indices)


@given(patch=st.integers(1, 9), seed=st.integers(0, 100))
def test_windows_larger_than_a_scene_are_made_as_large_as_it_has_them(patch: int, seed: int) -> None:
    samples = samples_of(scene_of(blocks_scene(12, 11, block=2, seed=seed)[0]), patch, patch)
    window = surroundings(samples, torch.arange(len(samples)), 10)
    assert window.shape[-1] == patch + 2 * ((11 - patch) // 2)


def test_half_precision_training_moves_no_pixel() -> None:
    window, matrix, shift = (
        torch.randn(2, 3, 40, 40),
        0.9 * torch.eye(2).repeat(2, 1, 1),
        torch.tensor([[0.3, 1.7]] * 2),
    )
    exact = warp(window, matrix, shift, 24)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(warp(window, matrix, shift, 24), exact)
