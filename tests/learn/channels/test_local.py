"""Channels of the pixels around, against slow loops."""

import numpy as np
import pytest
from channelled import fitted, gappy_scene, physical, whole
from tiny import scene_of


def around(row: int, col: int) -> tuple[slice, slice]:
    return slice(max(0, row - 3), row + 4), slice(max(0, col - 3), col + 4)


def test_texture_is_the_logarithm_of_the_local_deviation() -> None:
    scene = gappy_scene()
    channels = fitted(scene, "texture")
    (found,), valid = whole(scene, channels)
    bright, floor = physical(scene).mean(axis=0), channels.parts[0].floor  # type: ignore[union-attr]
    rows, cols = np.nonzero(valid)
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        place = around(row, col)
        wanted = np.log(max(floor, bright[place][valid[place]].std()))
        assert found[row, col] == pytest.approx(wanted, abs=1e-4)
    assert (found[valid] > np.log(floor) + 0.1).any()


def test_flat_ground_has_the_textures_floor() -> None:
    values = np.full((1, 30, 30), 0.25)
    values[:, 15:] += np.random.default_rng(0).normal(0, 0.1, (1, 15, 30))
    scene = scene_of(values)
    channels = fitted(scene, "texture", bands=("a",))
    found = whole(scene, channels)[0][0]
    assert channels.parts[0].floor > 0  # type: ignore[union-attr]
    assert np.allclose(found[:11], np.log(channels.parts[0].floor))  # type: ignore[union-attr]
    assert np.isfinite(whole(scene_of(np.ones((1, 9, 9))), fitted(scene_of(np.ones((1, 9, 9))), "texture"))[0]).all()


def test_means_are_the_mean_of_the_valid_pixels_around() -> None:
    scene = gappy_scene()
    found, valid = whole(scene, fitted(scene, "means"))
    values = physical(scene)
    rows, cols = np.nonzero(valid)
    for row, col in zip(rows.tolist(), cols.tolist(), strict=True):
        place = around(row, col)
        wanted = values[:, *place][:, valid[place]].mean(axis=1)
        assert np.allclose(found[:, row, col], wanted, atol=1e-6)
