"""Labelling a scene: against a loop over patches, and equal bit for bit however the scene is cut."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import blocks_scene, scene_of, tiny_model

from rsseg.errors import GridError, UsageError
from rsseg.label import layout
from rsseg.label.layout import output_window
from rsseg.label.segment import Labeller, default_batch
from rsseg.label.stitch import STEPS, Resolution
from rsseg.learn.inputs import ArraySource, SceneInput
from rsseg.learn.model import Model
from rsseg.learn.networks.fuse import fused
from rsseg.scene.grid import PatchGrid, Window

HEIGHT, WIDTH = 53, 66


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(patch=4, stride=4)


@pytest.fixture(scope="module")
def values() -> NDArray:
    return blocks_scene(HEIGHT, WIDTH, block=7)[0]


@pytest.fixture(scope="module")
def valid() -> NDArray[np.bool_]:
    """Holes: single pixels, a block, a corner, a whole band of rows, and one lone pixel within the block."""
    mask = np.random.default_rng(4).random((HEIGHT, WIDTH)) > 0.02
    mask[:9, :13] = False
    mask[20:38, 30:60] = False
    mask[30, 45] = True
    mask[44:49] = False
    return mask


def labelled(model: Model, scene: SceneInput, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Labels and confidence of all blocks, which must follow one another from the top."""
    blocks = list(Labeller(model, scene, **options).blocks())
    row = 0
    for block in blocks:
        assert (block.window.row, block.window.col) == (row, 0)
        assert block.labels.shape == block.confidence.shape == (block.window.height, block.window.width)
        assert block.labels.dtype == block.confidence.dtype == np.uint8
        row += block.window.height
    return np.concatenate([b.labels for b in blocks]), np.concatenate([b.confidence for b in blocks])


def slow_probabilities(model: Model, scene: SceneInput, grid: PatchGrid) -> tuple[NDArray, NDArray]:
    """Each patch sliced and normalised by hand, through the network with batch norm of its own: (n, classes), voted."""
    assert isinstance(scene.source, ArraySource)
    n = model.inference.normalisation
    normal = (scene.source.values - np.array(n.centre)[:, None, None]) / np.array(n.spread)[:, None, None]
    mask = np.ones(normal.shape[1:], bool) if scene.source.valid is None else scene.source.valid
    normal = np.where(mask, normal, 0.0)
    windows = [grid.window(number).slices for number in range(len(grid))]
    patches = torch.from_numpy(np.stack([normal[:, rows, cols] for rows, cols in windows])).float()
    with torch.no_grad():
        probabilities = model.network.eval().predict(patches)[0].double().numpy()
    return probabilities, np.array([mask[rows, cols].any() for rows, cols in windows])


def slow_map(model: Model, scene: SceneInput, stride: int, resolution: Resolution) -> tuple[NDArray, NDArray]:
    """Mean probabilities (H, W, classes) of every pixel or cell, and where there is a label."""
    grid = PatchGrid.of(scene.source.shape[1:], model.inference.patch, stride)
    probabilities, voted = slow_probabilities(model, scene, grid)
    step = 1 if resolution == "pixel" else stride
    shape = tuple(-(-size // step) for size in scene.source.shape[1:])
    sums, counts = np.zeros((*shape, probabilities.shape[1])), np.zeros(shape)
    for number in np.flatnonzero(voted):
        window = grid.window(int(number))
        rows, cols = (
            slice(window.row // step, -(-window.end[0] // step)),
            slice(window.col // step, -(-window.end[1] // step)),
        )
        sums[rows, cols] += probabilities[number]
        counts[rows, cols] += 1
    mask = np.ones(scene.source.shape[1:], bool) if scene.source.valid is None else scene.source.valid  # type: ignore[attr-defined]
    padded = np.zeros((shape[0] * step, shape[1] * step), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    seen = padded.reshape(shape[0], step, shape[1], step).any(axis=(1, 3))
    return sums / np.maximum(counts, 1)[..., None], seen & (counts > 0)


def real_flips(means: NDArray, labels: NDArray, where: NDArray) -> int:
    """Places whose label is not the best one, by more than a near-tie."""
    chosen = np.take_along_axis(means, labels[..., None].astype(int) - 1, axis=2)[..., 0]
    return int((where & (means.max(axis=2) - chosen > 1e-3)).sum())


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_pixels_are_labelled_as_by_a_loop_over_patches(
    model: Model, values: NDArray, valid: NDArray[np.bool_], stride: int
) -> None:
    scene = scene_of(values, valid)
    labels, confidence = labelled(model, scene, stride=stride, batch=64, block_rows=3)
    means, where = slow_map(model, scene, stride, "pixel")
    assert np.array_equal(where, valid)
    assert np.array_equal(labels > 0, valid)
    assert len(set(labels[valid])) > 2
    assert real_flips(means, np.maximum(labels, 1), where) == 0
    np.testing.assert_allclose(confidence[where], 254 * means.max(axis=2)[where], atol=0.6)
    assert set(confidence[~where]) == {255}


@pytest.mark.parametrize("stride", [2, 3, 4, 7, 11])
def test_cells_are_labelled_as_by_a_loop_over_patches(
    model: Model, values: NDArray, valid: NDArray[np.bool_], stride: int
) -> None:
    scene = scene_of(values, valid)
    labels, confidence = labelled(model, scene, stride=stride, resolution="patch", block_rows=2)
    assert labels.shape == (-(-HEIGHT // stride), -(-WIDTH // stride))
    means, where = slow_map(model, scene, stride, "patch")
    assert np.array_equal(labels > 0, where)
    assert real_flips(means, np.maximum(labels, 1), where) == 0
    np.testing.assert_allclose(confidence[where], 254 * means.max(axis=2)[where], atol=0.6)


@pytest.mark.parametrize(
    ("stride", "resolution"), [(3, "pixel"), (4, "pixel"), (3, "patch"), (4, "patch"), (7, "patch")]
)
def test_the_rows_read_at_a_time_change_nothing(
    model: Model, values: NDArray, valid: NDArray[np.bool_], stride: int, resolution: Resolution
) -> None:
    scene = scene_of(values, valid)
    whole = labelled(model, scene, stride=stride, resolution=resolution, batch=37, block_rows=1000)
    for rows in (1, 3):
        cut = labelled(model, scene, stride=stride, resolution=resolution, batch=37, block_rows=rows)
        assert all(np.array_equal(a, b) for a, b in zip(cut, whole, strict=True))


def test_the_rows_read_at_a_time_change_nothing_for_a_single_band() -> None:
    """One band lies in memory in both orders at once, of which convolutions may choose either."""
    model = tiny_model(patch=4, stride=4, bands=("pan",), centre=(80.0,), spread=(50.0,))
    scene = scene_of(blocks_scene(HEIGHT, WIDTH, block=7, bands=1)[0])
    whole = labelled(model, scene, stride=2, batch=64, block_rows=1000)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(labelled(model, scene, stride=2, batch=64, block_rows=1), whole, strict=True)
    )


WINDOWS = [
    Window(0, 0, HEIGHT, WIDTH),
    Window(0, 0, 1, 1),
    Window(HEIGHT - 1, WIDTH - 1, 1, 1),
    Window(3, 5, 17, 23),
    Window(0, 40, HEIGHT, 26),
    Window(31, 0, 22, WIDTH),
    Window(2, 3, 5, 7),  # within the corner without data
    Window(44, 10, 5, 30),  # the rows without data
    Window(25, 40, 9, 11),
    Window(50, 60, 3, 6),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize(("stride", "resolution"), [(3, "pixel"), (4, "pixel"), (3, "patch"), (7, "patch")])
def test_a_window_is_the_crop_of_the_whole(
    model: Model, values: NDArray, valid: NDArray[np.bool_], window: Window, stride: int, resolution: Resolution
) -> None:
    scene = scene_of(values, valid)
    options: dict[str, Any] = {"stride": stride, "resolution": resolution, "batch": 64}
    whole = labelled(model, scene, **options)
    part = labelled(model, scene, window=window, block_rows=2, **options)
    cells = output_window(window, stride, resolution)
    for found, complete in zip(part, whole, strict=True):
        assert np.array_equal(found, complete[cells.slices])


def test_batch_sizes_and_threads_flip_near_ties_only(model: Model, values: NDArray) -> None:
    scene = scene_of(values)
    means, where = slow_map(model, scene, 3, "pixel")
    threads = torch.get_num_threads()
    try:
        for batch, used in [(16, 1), (64, 1), (1024, 1), (64, 2)]:
            torch.set_num_threads(used)
            labels, _ = labelled(model, scene, stride=3, batch=batch)
            assert real_flips(means, labels, where) == 0
    finally:
        torch.set_num_threads(threads)


def test_bfloat16_changes_few_labels(model: Model, values: NDArray) -> None:
    scene = scene_of(values)
    exact, rounded = labelled(model, scene)[0], labelled(model, scene, precision="bf16")[0]
    assert (exact != rounded).mean() < 0.1


def test_a_patch_with_one_valid_pixel_is_labelled(model: Model, values: NDArray) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[17, 22] = True
    labels, confidence = labelled(model, scene_of(values, mask), stride=4)
    assert np.array_equal(labels > 0, mask) and np.array_equal(confidence < 255, mask)


@pytest.mark.parametrize("resolution", ["pixel", "patch"])
def test_a_scene_without_a_valid_pixel_has_no_label(model: Model, values: NDArray, resolution: Resolution) -> None:
    scene = scene_of(values, np.zeros((HEIGHT, WIDTH), bool))
    labels, confidence = labelled(model, scene, resolution=resolution, block_rows=2)
    assert not labels.any() and set(confidence.ravel()) == {255}


def test_values_of_invalid_pixels_do_not_matter(model: Model, values: NDArray, valid: NDArray[np.bool_]) -> None:
    other = np.where(valid, values, 255 - values)
    plain = labelled(model, scene_of(values, valid), stride=3)
    assert all(
        np.array_equal(a, b) for a, b in zip(plain, labelled(model, scene_of(other, valid), stride=3), strict=True)
    )
    floats = values.astype(np.float32)
    floats[:, ~valid] = np.nan
    with_nan = labelled(model, scene_of(floats, valid), stride=3)
    assert np.array_equal(with_nan[0] > 0, valid)
    assert (with_nan[0] != plain[0]).mean() < 0.02  # integers store the mean of invalid pixels rounded


def test_a_patch_of_no_positive_score_is_decided_by_its_scores() -> None:
    model = tiny_model(patch=4, stride=4)
    with torch.no_grad():
        model.network.head.norm.bias.fill_(-1000.0)  # type: ignore[union-attr]
    scene = scene_of(blocks_scene(24, 24, block=4)[0])
    labels, confidence = labelled(model, scene, stride=4)
    grid = PatchGrid.of((24, 24), 4, 4)
    patches = [scene.source.read(grid.window(i))[0] for i in range(len(grid))]
    n = model.inference.normalisation
    normal = (np.stack(patches) - np.array(n.centre)[:, None, None]) / np.array(n.spread)[:, None, None]
    with torch.no_grad():
        scores = model.network(torch.from_numpy(normal).float())
    assert np.array_equal(labels[::4, ::4].ravel(), scores.argmax(dim=1).numpy() + 1)
    assert len(set(labels.ravel())) > 1
    assert set(confidence.ravel()) == {round(254 * round(STEPS / 5) / STEPS)}


def test_a_scene_smaller_than_a_patch_is_refused(model: Model) -> None:
    with pytest.raises(GridError, match="3 x 40 pixels"):
        Labeller(model, scene_of(np.zeros((3, 3, 40), np.uint8)))


def test_a_stride_that_leaves_pixels_out_is_refused_at_pixel_resolution(model: Model, values: NDArray) -> None:
    with pytest.raises(UsageError, match="--resolution patch"):
        Labeller(model, scene_of(values), stride=5)
    Labeller(model, scene_of(values), stride=5, resolution="patch")


def test_a_scene_of_one_patch(model: Model) -> None:
    labels, _ = labelled(model, scene_of(blocks_scene(4, 4)[0]))
    assert labels.shape == (4, 4) and len(set(labels.ravel())) == 1 and labels[0, 0] > 0


def test_progress_counts_the_rows_of_patches(model: Model, values: NDArray) -> None:
    labeller = Labeller(model, scene_of(values), stride=3, block_rows=4)
    rows: list[int] = []
    assert sum(block.window.height for block in labeller.blocks(rows.append)) == HEIGHT
    assert sum(rows) == labeller.rows == PatchGrid.of((HEIGHT, WIDTH), 4, 3).rows.count


def test_the_model_is_left_as_it_was(model: Model, values: NDArray) -> None:
    before = model.identity
    model.network.train()
    labelled(model, scene_of(values))
    assert model.identity == before and model.network.training


def test_default_blocks_and_batches_are_bounded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_batch(8, torch.device("cpu")) == 512
    assert default_batch(1000, torch.device("cpu")) == 16
    wide = SceneInput.of_array("wide", np.broadcast_to(np.uint8(1), (3, 400, 60000)))
    labeller = Labeller(model, wide, stride=4)
    assert labeller.layout.block_rows * 4 * 60000 <= layout.BLOCK_PIXELS
    monkeypatch.setattr(layout, "BLOCK_PIXELS", 1)
    assert Labeller(model, wide, stride=4).layout.block_rows == 1


def test_a_reading_that_fails_ends_the_labelling(model: Model, values: NDArray) -> None:
    class Broken(ArraySource):
        def read(self, window: Window) -> tuple[NDArray, NDArray[np.bool_]]:
            if window.row > 20:
                raise OSError("the disk is gone")
            return super().read(window)

    scene = SceneInput("broken", Broken(values), (1.0,) * 3, (0.0,) * 3)
    with pytest.raises(OSError, match="the disk is gone"):
        list(Labeller(model, scene, block_rows=1).blocks())


def test_fused_layers_answer_as_separate_ones(model: Model, values: NDArray) -> None:
    patches = torch.from_numpy(values[:, :40, :40]).float().unfold(1, 4, 4).unfold(2, 4, 4)
    patches = patches.reshape(3, -1, 4, 4).permute(1, 0, 2, 3) / 128 - 1
    joined = fused(model.network)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in joined.features.modules())
    with torch.no_grad():
        for found, wanted in zip(joined.predict(patches), model.network.eval().predict(patches), strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
