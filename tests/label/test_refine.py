"""Refined maps: the vote of alike neighbours is the formula's, and no tile, strip or gap leaves a trace."""

from math import exp
from pathlib import Path

import numpy as np
import pytest
from labelmaps import write_map
from numpy.typing import NDArray
from tiny import scene_of

from rsseg.label import refine
from rsseg.label.maps import LabelMap
from rsseg.label.refine import STEPS, edge_vote, refined_by_edges, refined_by_superpixels, superpixel_vote
from rsseg.learn.channels.pixels import ScenePixels
from rsseg.learn.channels.smooth import Bilateral
from rsseg.learn.inputs import SceneInput

SHAPE = (40, 52)


def likeness(radius: int = 2, passes: int = 1, sigma: float = 0.5) -> Bilateral:
    return Bilateral(mean=(0.1, 0.0), sigma=(sigma, 2 * sigma), radius=radius, passes=passes)


def noisy(shape: tuple[int, int] = SHAPE, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.bool_]]:
    """A map (h, w) of two halves with noise and gaps, its scene (2, h, w), and the scene's valid pixels."""
    rng = np.random.default_rng(seed)
    half = (np.arange(shape[1]) * 2 // shape[1]) * np.ones(shape, int)
    values = (half + rng.normal(0, 0.3, (2, *shape))).astype(np.float32)
    labels = np.where(rng.random(shape) < 0.4, rng.choice([3, 9, 200], shape), np.array([3, 9])[half])
    labels[rng.random(shape) < 0.05] = 0
    valid = rng.random(shape) > 0.05
    return labels.astype(np.uint8), np.where(valid, values, 0), valid


def slow(labels: NDArray, values: NDArray, valid: NDArray, r: int, sigma: NDArray) -> NDArray[np.uint8]:
    """One vote, pixel by pixel."""
    height, width = labels.shape
    found = labels.copy()
    voters = valid & (labels > 0)
    for row, col in zip(*np.nonzero(voters), strict=True):
        sums: dict[int, int] = {}
        for i in range(max(0, row - r), min(height, row + r + 1)):
            for j in range(max(0, col - r), min(width, col + r + 1)):
                if voters[i, j]:
                    unlike = (((values[:, i, j] - values[:, row, col]) / sigma) ** 2).mean()
                    far = ((i - row) ** 2 + (j - col) ** 2) / (0.8 * r) ** 2
                    label = int(labels[i, j])
                    sums[label] = sums.get(label, 0) + round(STEPS * exp(-0.5 * unlike - 0.5 * far))
        found[row, col] = min(sums, key=lambda label: (-sums[label], label))
    return found


def voted(labels: NDArray, values: NDArray, valid: NDArray, chosen: Bilateral) -> NDArray[np.uint8]:
    """``edge_vote`` of a whole map: with a margin that has no label."""
    sides = (chosen.reach, chosen.reach)
    return edge_vote(np.pad(labels, sides), np.pad(values, ((0, 0), sides, sides)), np.pad(valid, sides), chosen)


@pytest.mark.parametrize(("radius", "passes"), [(1, 1), (2, 1), (3, 1), (2, 2)])
def test_the_vote_is_the_slow_one(radius: int, passes: int) -> None:
    labels, values, valid = noisy()
    chosen = likeness(radius, passes)
    wanted = labels
    for _ in range(passes):
        wanted = slow(wanted, values, valid, radius, np.array(chosen.sigma))
    found = voted(labels, values, valid, chosen)
    assert np.array_equal(found, wanted)
    assert (found != labels).mean() > 0.1


def test_pixels_without_label_or_values_neither_vote_nor_change() -> None:
    labels, values, valid = noisy()
    found = voted(labels, values, valid, likeness())
    assert np.array_equal(found[~valid], labels[~valid])
    assert np.array_equal(found == 0, labels == 0)
    other = np.where(valid, labels, 77).astype(np.uint8)
    other[labels == 0] = 0
    strange = np.where(valid, values, np.float32(1e6))
    assert np.array_equal(voted(other, strange, valid, likeness())[valid], found[valid])


@pytest.mark.parametrize(("across", "down"), [(4, 9), (9, 4)])
def test_equal_votes_go_to_the_smaller_label(across: int, down: int) -> None:
    """Two labels whose pixels weigh the same, though they are added in another order, outvote the centre's own."""
    labels = np.array([[down, down, across], [across, 200, across], [across, down, down]], np.uint8)
    weight = exp(-0.5 / 0.8**2)
    assert 2 * weight + 2 * weight**2 > 1
    found = voted(labels, np.zeros((2, 3, 3), np.float32), labels > 0, likeness(1))
    assert found[1, 1] == 4


def test_the_own_label_counts_as_one_neighbour_at_no_distance() -> None:
    labels = np.array([[0, 9, 0], [4, 200, 4], [0, 9, 0]], np.uint8)
    assert 2 * exp(-0.5 / 0.8**2) < 1
    found = voted(labels, np.zeros((2, 3, 3), np.float32), labels > 0, likeness(1))
    assert found[1, 1] == 200


def test_one_label_stays_one_label_and_an_edge_stays_where_it_is() -> None:
    _, values, valid = noisy()
    single = np.full(SHAPE, 7, np.uint8)
    assert np.array_equal(voted(single, values, valid, likeness(3, 2)), single)
    half = np.where(np.arange(SHAPE[1]) < 26, 3, 9) * np.ones(SHAPE, np.uint8)
    clean = np.stack([half, half]).astype(np.float32)
    salted = half.copy()
    salted[5::7, 4::9] = 200
    found = voted(salted.astype(np.uint8), clean, np.ones(SHAPE, bool), likeness(3, 2))
    assert np.array_equal(found, half)
    assert np.array_equal(voted(found, clean, np.ones(SHAPE, bool), likeness(3, 2)), found)


def scene_and_map(folder: Path, seed: int = 0) -> tuple[SceneInput, LabelMap]:
    labels, values, valid = noisy((70, 90), seed)
    return scene_of(values, valid), LabelMap(write_map(folder / f"map{seed}.tif", labels))


@pytest.mark.parametrize("tile", [16, 33, 256])
def test_strips_and_tiles_leave_no_trace(tmp_path: Path, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = likeness(3, 2)
    labels, values, valid = noisy((70, 90))
    scene, source = scene_and_map(tmp_path)
    monkeypatch.setattr(refine, "TILE", tile)
    with source:
        strips = list(refined_by_edges(source, ScenePixels(scene), chosen))
    found = np.concatenate([strip for _, strip in strips])
    assert np.array_equal(found, voted(labels, values, valid, chosen))
    assert [window.height for window, _ in strips] == [min(tile, 70 - row) for row in range(0, 70, tile)]


def test_a_crop_votes_as_the_whole_but_for_its_border() -> None:
    labels, values, valid = noisy()
    chosen = likeness(2, 2)
    whole = voted(labels, values, valid, chosen)
    part = (slice(11, 31), slice(9, 40))
    crop = edge_vote(labels[part], np.ascontiguousarray(values[:, *part]), valid[part], chosen)
    assert np.array_equal(crop, whole[part][4:-4, 4:-4])


def test_a_superpixel_takes_its_most_frequent_label(monkeypatch: pytest.MonkeyPatch) -> None:
    regions = np.array([[0, 0, 0, 1, 1, 2], [0, 0, 3, 1, 1, 2]], np.int32)
    monkeypatch.setattr(refine, "superpixels", lambda values, voters, size: regions)
    labels = np.array([[5, 2, 5, 9, 4, 0], [5, 7, 0, 4, 9, 8]], np.uint8)
    valid = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]], bool)
    found = superpixel_vote(labels, np.zeros((2, 2, 6)), valid, 3)
    # ties to the smaller; pixels without label or without values stay
    assert found.tolist() == [[5, 5, 5, 4, 4, 0], [5, 5, 0, 4, 4, 8]]


def test_superpixels_follow_the_scene(tmp_path: Path) -> None:
    source = scene_and_map(tmp_path)[1]
    half = (np.arange(90) >= 45) * np.ones((70, 1), int)
    strong = scene_of(np.stack([half, half]).astype(np.float32))
    with source:
        before = source.read(source.grid.window)
        found = np.concatenate([strip for _, strip in refined_by_superpixels(source, strong, 9)])
    assert np.array_equal(found == 0, before == 0)
    truth = np.array([3, 9])[half]
    known = before > 0
    assert (found == truth)[known].mean() > 0.95 > 0.8 > (before == truth)[known].mean()
