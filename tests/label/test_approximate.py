"""Leaving out patches between others that agree: against a slow reference, and independent of how a scene is cut."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import blocks_scene, scene_of, tiny_model

from rsseg.errors import UsageError
from rsseg.label.approximate import _neighbours, coarse_layout
from rsseg.label.layout import Layout
from rsseg.label.segment import Labeller
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.scene.grid import PatchGrid, Window

HEIGHT, WIDTH = 53, 66


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(patch=4, stride=4)


@pytest.fixture(scope="module")
def scene() -> SceneInput:
    """Fields larger than patches, with holes and rows without data."""
    valid = np.random.default_rng(4).random((HEIGHT, WIDTH)) > 0.02
    valid[:9, :13] = valid[20:38, 30:60] = valid[44:49] = False
    valid[30, 45] = True
    return scene_of(blocks_scene(HEIGHT, WIDTH, block=13)[0], valid)


def labelled(model: Model, scene: SceneInput, **options: Any) -> tuple[NDArray, NDArray]:
    blocks = list(Labeller(model, scene, **options).blocks())
    return np.concatenate([b.labels for b in blocks]), np.concatenate([b.confidence for b in blocks])


@pytest.mark.parametrize("count", range(1, 12))
def test_neighbours_are_the_nearest_coarse_patches(count: int) -> None:
    size, stride = 4 + 3 * (count - 1) - (count > 2), 3
    fine, coarse = (PatchGrid.of((size, size), 4, step).rows for step in (stride, 2 * stride))
    assert fine.count == count
    before, after = _neighbours(np.arange(count), count)
    for index in range(count):
        at, low, high = fine.start(index), coarse.start(int(before[index])), coarse.start(int(after[index]))
        assert low <= at <= high and high - low <= 2 * stride
        assert (low == high) == (at in coarse.starts)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("resolution", ["pixel", "patch"])
def test_the_rows_read_at_a_time_change_nothing(model: Model, scene: SceneInput, stride: int, resolution: str) -> None:
    options: dict[str, Any] = {"stride": stride, "resolution": resolution, "batch": 37, "approximate": True}
    whole = labelled(model, scene, **options, block_rows=1000)
    for rows in (1, 3):
        assert all(map(np.array_equal, labelled(model, scene, **options, block_rows=rows), whole))


@pytest.mark.parametrize(
    "window", [Window(0, 0, 1, 1), Window(3, 5, 17, 23), Window(52, 65, 1, 1), Window(31, 0, 22, 66)], ids=str
)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_window_is_the_crop_of_the_whole(model: Model, scene: SceneInput, window: Window, stride: int) -> None:
    options: dict[str, Any] = {"stride": stride, "batch": 16, "approximate": True}
    whole = labelled(model, scene, **options)
    part = labelled(model, scene, **options, window=window, block_rows=2)
    assert all(np.array_equal(a, b[window.slices]) for a, b in zip(part, whole, strict=True))


def test_fields_that_agree_save_patches_and_change_no_label_within_them(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(blocks_scene(96, 96, block=48, noise=1.0)[0])
    seen: list[int] = []
    kind = type(model.network)
    predict = kind.predict

    def counted(self: Any, x: Any) -> Any:
        seen.append(len(x))
        return predict(self, x)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "predict", counted)
    exact, _ = labelled(model, scene, stride=1)
    whole, seen[:] = sum(seen), []
    found, _ = labelled(model, scene, stride=1, approximate=True)
    assert sum(seen) < 0.5 * whole
    assert np.array_equal(found > 0, exact > 0)
    inside = np.ones((96, 96), bool)
    inside[44:52] = inside[:, 44:52] = False
    assert np.array_equal(found[inside], exact[inside])
    assert (found != exact).mean() < 0.05


def test_patches_that_all_disagree_are_all_computed(model: Model) -> None:
    """Where every patch is in doubt, the map is that of all patches but for the make-up of batches."""
    scene = scene_of(blocks_scene(40, 40, block=2, noise=0.0)[0])
    exact, found = labelled(model, scene, stride=2)[0], labelled(model, scene, stride=2, approximate=True)[0]
    assert (found != exact).mean() < 0.1


def test_a_stride_whose_coarse_patches_leave_gaps_is_refused(model: Model, scene: SceneInput) -> None:
    with pytest.raises(UsageError, match="a stride of at most 2 for patches of 4 pixels, not 3"):
        Labeller(model, scene, stride=3, approximate=True)


def test_the_coarse_patches_are_those_around_what_is_read() -> None:
    grid = PatchGrid.of((53, 66), 4, 2)
    fine = Layout(grid, Window(20, 0, 6, 66), "pixel", 16)
    coarse = coarse_layout(fine, 16)
    first, last = fine.read[0], fine.read[1] - 1
    assert coarse.grid.rows.start(coarse.down[0]) <= grid.rows.start(first)
    assert coarse.grid.rows.start(coarse.down[1] - 1) >= grid.rows.start(last)
