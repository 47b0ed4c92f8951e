"""Boundaries given back to the spectrum: the choice is the formula's, and no tile, strip or gap leaves a trace."""

from math import log
from pathlib import Path

import numpy as np
import pytest
from labelmaps import write_map
from numpy.typing import NDArray
from tiny import scene_of

from rsseg.label import refine_spectrum
from rsseg.label.maps import LabelMap
from rsseg.label.refine_spectrum import INSIDE, LEAST, Looks, looks_of, refined_by_spectrum, spectral_choice
from rsseg.learn.channels.pixels import ScenePixels

SHAPE = (40, 52)


def blurred(shape: tuple[int, int] = SHAPE, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.bool_]]:
    """A map (h, w) whose boundary is off, with wrong pixels and gaps, its scene (2, h, w), and the valid pixels."""
    rng = np.random.default_rng(seed)
    half = (np.arange(shape[1]) * 2 // shape[1]) * np.ones(shape, int)
    values = (half + rng.normal(0, 0.3, (2, *shape))).astype(np.float32)
    labels = np.roll(np.array([3, 9])[half], 2, axis=1)
    labels[rng.random(shape) < 0.05] = 200
    labels[rng.random(shape) < 0.05] = 0
    valid = rng.random(shape) > 0.05
    return labels.astype(np.uint8), np.where(valid, values, 0), valid


def some_looks() -> Looks:
    rng = np.random.default_rng(7)
    return Looks(rng.normal(0.5, 0.5, (256, 2)), rng.uniform(0.2, 1, (256, 2)))


def slow(labels: NDArray, values: NDArray, valid: NDArray, looks: Looks, r: int, weight: float) -> NDArray[np.uint8]:
    """The choice, pixel by pixel."""
    found, voters = labels.copy(), valid & (labels > 0)
    for row, col in zip(*np.nonzero(voters), strict=True):
        square = slice(max(0, row - r), row + r + 1), slice(max(0, col - r), col + r + 1)
        beside = slice(max(0, row - 1), row + 2), slice(max(0, col - 1), col + 2)
        scores = {}
        for label in set(labels[square][voters[square]].tolist()):
            off = (values[:, row, col] - looks.means[label]) / looks.deviations[label]
            likelihood = -0.5 * (off**2).sum() - sum(log(deviation) for deviation in looks.deviations[label])
            scores[label] = likelihood + weight * int((labels[beside][voters[beside]] == label).sum())
        found[row, col] = max(scores, key=lambda label: scores[label])
    return found


def chosen(labels: NDArray, values: NDArray, valid: NDArray, looks: Looks, r: int, weight: float) -> NDArray[np.uint8]:
    """``spectral_choice`` of a whole map: with a margin that has no label."""
    return spectral_choice(
        np.pad(labels, r), np.pad(values, ((0, 0), (r, r), (r, r))), np.pad(valid, r), looks, r, weight
    )


@pytest.mark.parametrize(("radius", "weight"), [(1, 0.25), (2, 0.0), (3, 0.25), (2, 1.0)])
def test_the_choice_is_the_slow_one(radius: int, weight: float) -> None:
    labels, values, valid = blurred()
    found = chosen(labels, values, valid, some_looks(), radius, weight)
    assert np.array_equal(found, slow(labels, values, valid, some_looks(), radius, weight))
    assert (found != labels).mean() > 0.02


def test_looks_are_those_of_the_insides(tmp_path: Path) -> None:
    labels, values, valid = blurred()
    with LabelMap(write_map(tmp_path / "map.tif", labels)) as source:
        looks = looks_of(source, ScenePixels(scene_of(values, valid)))
    padded = np.pad(labels, 1)
    known = valid & (labels > 0)
    spread = values[:, known].std(axis=1)
    for label in (3, 9, 200):
        own = known & (labels == label)
        inside = own.copy()
        for rows, cols in ((slice(0, -2), slice(1, -1)), (slice(2, None), slice(1, -1)),
                           (slice(1, -1), slice(0, -2)), (slice(1, -1), slice(2, None))):  # fmt: skip
            inside &= padded[rows, cols] == label
        pixels = values[:, inside if inside.sum() >= INSIDE else own]
        assert (label == 200) == (inside.sum() < INSIDE)  # scattered pixels have no inside
        assert np.allclose(looks.means[label], pixels.mean(axis=1))
        assert np.allclose(looks.deviations[label], pixels.std(axis=1) + LEAST * spread)


def test_a_boundary_that_is_off_moves_to_where_the_scene_changes(tmp_path: Path) -> None:
    labels, values, valid = blurred()
    truth = np.array([3, 9])[(np.arange(52) >= 26) * np.ones(SHAPE, int)]
    with LabelMap(write_map(tmp_path / "map.tif", labels)) as source:
        pixels = ScenePixels(scene_of(values, valid))
        found = np.concatenate([strip for _, strip in refined_by_spectrum(source, pixels, 2, 0.25)])
    known = valid & (labels > 0)
    assert (labels == truth)[known].mean() < 0.92
    assert (found == truth)[known].mean() > 0.97
    assert np.array_equal(found[~known], labels[~known])


def test_no_label_comes_from_farther_than_the_radius() -> None:
    labels = np.full((9, 9), 3, np.uint8)
    labels[4, 0] = 9
    values, looks = np.ones((1, 9, 9), np.float32), Looks(np.zeros((256, 1)), np.ones((256, 1)))
    looks.means[9] = 1  # every pixel looks like label 9
    found = chosen(labels, values, labels > 0, looks, 2, 0.0)
    assert np.array_equal(np.argwhere(found == 9), [(row, col) for row in range(2, 7) for col in range(3)])


def test_equal_scores_go_to_the_smaller_label() -> None:
    labels = np.array([[9, 4, 9]], np.uint8)
    looks = Looks(np.zeros((256, 1)), np.ones((256, 1)))
    assert chosen(labels, np.zeros((1, 1, 3), np.float32), labels > 0, looks, 1, 0.0).tolist() == [[4, 4, 4]]


def test_one_constant_label_and_none_at_all_stay(tmp_path: Path) -> None:
    for value in (0, 7):
        labels = np.full(SHAPE, value, np.uint8)
        with LabelMap(write_map(tmp_path / f"{value}.tif", labels)) as source:
            pixels = ScenePixels(scene_of(np.full((2, *SHAPE), 5, np.float32), np.ones(SHAPE, bool)))
            found = np.concatenate([strip for _, strip in refined_by_spectrum(source, pixels, 3, 0.25)])
        assert np.array_equal(found, labels)


@pytest.mark.parametrize("tile", [16, 33, 256])
def test_strips_and_tiles_leave_no_trace(tmp_path: Path, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, values, valid = blurred((70, 90))
    pixels = ScenePixels(scene_of(values, valid))
    monkeypatch.setattr(refine_spectrum, "TILE", tile)
    with LabelMap(write_map(tmp_path / "map.tif", labels)) as source:
        looks = looks_of(source, pixels)
        found = np.concatenate([strip for _, strip in refined_by_spectrum(source, pixels, 3, 0.25)])
    assert np.array_equal(found, chosen(labels, values, valid, looks, 3, 0.25))
