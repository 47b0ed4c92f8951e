"""The bilateral filter is the formula's, keeps edges, and never looks at invalid pixels."""

from math import exp

import numpy as np
import pytest
from channelled import fitted, gappy_scene, physical, whole
from numpy.typing import NDArray
from tiny import scene_of

from rsseg.learn.channels.smooth import BLOCK, Bilateral, noise
from rsseg.scene.grid import Window


def slow(values: NDArray, valid: NDArray[np.bool_], sigma: NDArray, r: int) -> NDArray:
    """One pass, pixel by pixel."""
    bands, height, width = values.shape
    found = np.zeros((bands, height, width))
    for row in range(height):
        for col in range(width):
            if not valid[row, col]:
                continue
            total, weights = np.zeros(bands), 0.0
            for i in range(max(0, row - r), min(height, row + r + 1)):
                for j in range(max(0, col - r), min(width, col + r + 1)):
                    if valid[i, j]:
                        unlike = (((values[:, i, j] - values[:, row, col]) / sigma) ** 2).mean()
                        far = ((i - row) ** 2 + (j - col) ** 2) / (0.8 * r) ** 2
                        weight = exp(-0.5 * unlike) * exp(-0.5 * far)
                        total, weights = total + weight * values[:, i, j], weights + weight
            found[:, row, col] = total / weights
    return found


def test_noise_is_1_4826_times_the_median_difference() -> None:
    differences = np.array([[0.1, -5.0], [-0.2, 5.0], [0.4, 5.0]])
    assert noise(differences, np.array([1.0, 1.0])) == pytest.approx([1.4826 * 0.2, 1.4826 * 5.0])
    assert noise(differences, np.array([20.0, 20.0])) == pytest.approx(
        [0.6, 1.4826 * 5.0]
    )  # at least 3 % of a deviation
    assert noise(np.zeros((3, 1)), np.zeros(1)) == pytest.approx([1.0])


def test_sigma_is_twice_the_noise_of_valid_neighbours() -> None:
    scene = gappy_scene()
    channels = fitted(scene, "bands", denoise=True)
    values, valid = physical(scene), whole(scene)[1]
    for band, (mean, sigma) in enumerate(zip(channels.smoothing.mean, channels.smoothing.sigma, strict=True)):  # type: ignore[union-attr]
        pairs = valid[:, 1:] & valid[:, :-1]
        median = np.median(np.abs(np.diff(values[band], axis=1)[pairs]))
        assert mean == pytest.approx(values[band][valid].mean(), rel=1e-5)
        assert sigma == pytest.approx(2 * max(1.4826 * median, 0.03 * values[band][valid].std()), rel=1e-4)


@pytest.mark.parametrize(("radius", "passes"), [(1, 1), (2, 1), (3, 1), (2, 2)])
def test_smoothed_pixels_are_the_slow_filters(radius: int, passes: int) -> None:
    scene = gappy_scene(20, 24)
    channels = fitted(scene, "bands", denoise=True)
    smoothing = channels.smoothing.model_copy(update={"radius": radius, "passes": passes})  # type: ignore[union-attr]
    found, valid = whole(scene, channels.model_copy(update={"smoothing": smoothing}))
    wanted = physical(scene)
    for _ in range(passes):
        wanted = slow(wanted, valid, np.array(smoothing.sigma), radius)
    assert np.allclose(found, np.where(valid, wanted, 0), atol=2e-6)


def test_an_edge_stays_and_noise_goes() -> None:
    rng = np.random.default_rng(0)
    clean = np.repeat([[0.1] * 30 + [0.4] * 30], 60, axis=0)
    scene = scene_of((clean + rng.normal(0, 0.01, clean.shape))[None])
    found = whole(scene, fitted(scene, "bands", denoise=True, bands=("a",)))[0][0]
    assert np.abs(found - clean).std() < 0.5 * 0.01
    assert np.allclose(found[:, 28:32].mean(axis=0), [0.1, 0.1, 0.4, 0.4], atol=0.005)


def test_blocks_of_rows_leave_no_trace() -> None:
    values = np.random.default_rng(0).normal(size=(2, 64, 1500)).astype(np.float32)
    assert values[0].size > 2 * BLOCK
    smoothing = Bilateral(mean=(0.0, 0.1), sigma=(0.5, 0.7), radius=2)
    valid = np.random.default_rng(1).random(values.shape[1:]) > 0.1
    found = smoothing.smooth(values, valid)
    part = Window(17, 301, 20, 40)
    rows, cols = part.slices
    alone = smoothing.smooth(values[:, rows, cols], valid[rows, cols])
    assert np.array_equal(found[:, 17:33, 301:337], alone)
