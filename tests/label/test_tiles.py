"""Dense labelling: blended tiles on a fixed grid, against a slow reference; crops are crops."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from dense import tiny_dense_model, tiny_trunk
from numpy.typing import NDArray
from tiny import blocks_scene, scene_of

from rsseg.errors import GridError, UsageError
from rsseg.label.blending import RAMP, STEPS, default_stride, weights
from rsseg.label.tiles import TileLabeller
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.scene.grid import PatchGrid, Window

HEIGHT, WIDTH = 53, 61


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tiny_trunk(monkeypatch):
        yield


@pytest.fixture
def model() -> Model:
    return tiny_dense_model()


def with_holes() -> SceneInput:
    values, _ = blocks_scene(HEIGHT, WIDTH, block=7)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:20, :20], valid[40:, 30:33] = False, False
    return scene_of(values, valid)


def labels_of(labeller: TileLabeller) -> tuple[NDArray, NDArray]:
    blocks = list(labeller.blocks())
    rows = [block.window.row for block in blocks]
    assert rows == sorted(rows) and rows[0] == 0
    return np.concatenate([b.labels for b in blocks]), np.concatenate([b.confidence for b in blocks])


def reference(model: Model, scene: SceneInput, stride: int) -> tuple[NDArray, NDArray]:
    """Every tile alone, summed into one array of all pixels and classes."""
    values, valid = scene.source.read(Window(0, 0, HEIGHT, WIDTH))
    numbers = model.inference.normalisation
    filled = np.where(valid, values, np.array(numbers.mean)[:, None, None].round())
    x = (filled - np.array(numbers.centre)[:, None, None]) / np.array(numbers.spread)[:, None, None]
    grid = PatchGrid.of((HEIGHT, WIDTH), model.inference.patch, stride)
    total = np.zeros((model.inference.classes, HEIGHT, WIDTH), np.int64)
    weight = np.zeros((HEIGHT, WIDTH), np.int64)
    for number in range(len(grid)):
        rows, cols = grid.window(number).slices
        if not valid[rows, cols].any():
            continue
        tile = torch.from_numpy(x[None, :, rows, cols].astype(np.float32))
        with torch.no_grad():
            p = model.network.predict(tile)[0].numpy()  # type: ignore[operator, union-attr]
        line = weights(grid.patch, stride).astype(np.int64)
        blend = line[:, None] * line
        total[:, rows, cols] += np.rint(p * STEPS).astype(np.int64) * blend
        weight[rows, cols] += blend
    share = total.max(axis=0) / np.maximum(weight, 1) / STEPS
    labels = np.where(valid, total.argmax(axis=0) + 1, 0)
    return labels, np.where(valid, share, np.nan)


@pytest.mark.parametrize("stride", [4, 9, 12, 16])
def test_labels_are_those_of_a_slow_reference(model: Model, stride: int) -> None:
    scene = with_holes()
    labels, confidence = labels_of(TileLabeller(model, scene, stride=stride))
    wanted, share = reference(model, scene, stride)
    assert labels.shape == (HEIGHT, WIDTH)
    assert np.mean(labels == wanted) > 0.999  # fused batch norm rounds otherwise
    assert len(np.unique(wanted)) > 3
    seen = wanted > 0
    assert np.abs(confidence[seen] / 254 - share[seen]).max() < 0.004
    assert np.all(confidence[~seen] == 255) and np.all(labels[~seen] == 0)


@pytest.mark.parametrize(
    "window", [Window(0, 0, 53, 61), Window(17, 23, 20, 9), Window(30, 2, 1, 59), Window(52, 60, 1, 1)]
)
def test_a_crop_labels_as_the_crop_of_the_whole(model: Model, window: Window) -> None:
    scene = with_holes()
    whole = labels_of(TileLabeller(model, scene))
    crop = labels_of(TileLabeller(model, scene, window=window))
    for all_of_it, part in zip(whole, crop, strict=True):
        assert np.array_equal(all_of_it[window.slices], part)


def test_tiles_overlap_beyond_their_padding_and_never_weigh_nothing() -> None:
    assert [default_stride(patch) for patch in (200, 128, 64, 16, 1)] == [150, 88, 24, 6, 1]
    line = weights(200, 150)
    assert np.all(line[:18] == 1) and line[33] == RAMP
    assert line.min() == 1 and line.max() == RAMP and np.array_equal(line, line[::-1])
    assert np.array_equal(weights(8, 8), np.array([1, *[RAMP] * 6, 1]))


def test_what_cannot_be_labelled_is_refused(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="labels pixels"):
        TileLabeller(model, with_holes(), resolution="patch")
    with pytest.raises(UsageError, match="gaps"):
        TileLabeller(model, with_holes(), stride=17)
    monkeypatch.setattr("rsseg.label.tiles.LARGEST", 20)
    with pytest.raises(UsageError, match="too many tiles"):
        TileLabeller(model, with_holes(), stride=1)
    with pytest.raises(GridError):
        TileLabeller(tiny_dense_model(patch=64), with_holes())


def test_progress_counts_rows_of_tiles(model: Model) -> None:
    labeller, steps = TileLabeller(model, with_holes()), []
    list(labeller.blocks(steps.append))
    assert sum(steps) == labeller.rows == PatchGrid.of((HEIGHT, WIDTH), 16, 6).rows.count
