"""How much is done at a time: what cannot change the answer shrinks first, and the process stays within its memory."""

import pytest
import torch
from tiny import blocks_scene, scene_of, tiny_model

from rsseg.errors import MemoryWarning
from rsseg.label import limits as module
from rsseg.label.limits import BLOCKS, FILES, ROWS, Limits, Need, limits, resident, sample_bytes
from rsseg.label.segment import Labeller
from rsseg.scene.raster import BLOCK, CACHE_BYTES

MIB = 1 << 20
NEED = Need(sample=MIB // 4, votes=0, row=MIB, width=1000)
USUAL = Limits(slots=8, batch=64, rows=10)
CPU = [torch.device("cpu")]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "resident", lambda: 100 * MIB)


def given(mib: int) -> Limits:
    base = 100 * MIB + FILES + 4 * ROWS * NEED.width
    return limits(base + mib * MIB, USUAL, CPU, lambda: NEED)


def test_what_files_hold_is_what_the_writer_says() -> None:
    assert (FILES, ROWS) == (CACHE_BYTES, BLOCK)


def test_without_a_limit_nothing_is_looked_at() -> None:
    assert limits(None, USUAL, CPU, lambda: pytest.fail("not needed")) == USUAL


def test_rows_and_batches_beside_one_another_go_before_the_batch() -> None:
    assert given(10_000) == USUAL
    assert given(80 + 2 * 32) == Limits(3, 64, 10)
    assert given(16 + 4 * BLOCKS) == Limits(1, 32, 4)
    found = [given(mib) for mib in range(12, 400)]
    for name in ("slots", "batch", "rows"):
        values = [getattr(limit, name) for limit in found]
        assert values[-1] > values[0]
    assert all(limit.slots == 1 for limit in found if limit.batch < 64)


def test_too_little_is_said_with_what_it_takes() -> None:
    with pytest.warns(MemoryWarning, match=r"takes about \d+ MiB .* more than --memory"):
        assert given(8) == Limits(1, 16, 1)


def test_a_layers_memory_is_found_by_a_try(monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_model(patch=8).network
    with torch.no_grad():
        wanted = 4 * (2 * 64 * 64)  # the second convolution: 64 channels of 8 x 8 in, and out
    assert sample_bytes(network.eval(), 3, 8) == wanted


def test_memory_bounds_the_work_and_not_the_answer() -> None:
    scene, model = scene_of(blocks_scene(53, 61)[0]), tiny_model(patch=4, stride=4)
    free, bound = Labeller(model, scene), Labeller(model, scene, memory=100 * MIB + FILES + 8 * MIB)
    assert bound.limits.batch < free.limits.batch
    with pytest.warns(MemoryWarning, match="--memory"):
        Labeller(model, scene, memory=MIB)


def test_resident_memory_is_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert 50 * MIB < resident() < (64 << 30)
