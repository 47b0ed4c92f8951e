"""The network at work on several devices, with too little memory, and in threads: the same votes in the same order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from dense import tiny_dense_model, tiny_trunk
from numpy.typing import NDArray
from tiny import blocks_scene, scene_of, tiny_model
from torch import Tensor, nn

from rsseg.errors import MemoryWarning, RssegError, UsageError
from rsseg.label.segment import Labeller
from rsseg.label.tiles import TileLabeller
from rsseg.label.workers import Workers
from rsseg.learn.devices import choose_devices
from rsseg.learn.steps import is_shortage

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Job:
    number: int


def numbers(job: Job, device: torch.device) -> Tensor | None:
    """Eight samples that tell whose they are; every third job has none."""
    return None if job.number % 3 == 0 else torch.full((8, 1), float(job.number), device=device)


def double(network: Any, inputs: Tensor) -> Tensor:
    return network(inputs)


class Doubling(nn.Module):
    """Doubles its input, of at most ``largest`` samples; more raise what torch raises."""

    def __init__(self, largest: int = 99, message: str = "CUDA out of memory. Tried to allocate 2 GiB") -> None:
        super().__init__()
        self.largest, self.message = largest, message
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        if len(x) > self.largest:
            raise RuntimeError(self.message)
        return 2 * x


def run(network: nn.Module, devices: int = 1, slots: int = 1) -> tuple[list[float | None], Workers[Job]]:
    workers: Workers[Job] = Workers(network, [CPU] * devices, double, slots)
    with workers.running():
        found = list(workers.in_order([Job(n) for n in range(20)], numbers))
    assert [job.number for job, _ in found] == list(range(20))
    return [None if votes is None else float(votes.unique()) for _, votes in found], workers


@pytest.mark.parametrize(("devices", "slots"), [(1, 1), (1, 4), (2, 2), (3, 4)])
def test_answers_come_in_the_order_of_the_jobs(devices: int, slots: int) -> None:
    answers, _ = run(Doubling(), devices, slots)
    assert answers == [None if n % 3 == 0 else 2.0 * n for n in range(20)]


def test_batches_are_halved_where_memory_is_too_small_and_stay_so() -> None:
    with pytest.warns(MemoryWarning, match="parts of 4 and fewer") as warned:
        answers, workers = run(Doubling(largest=3))
    assert answers == [None if n % 3 == 0 else 2.0 * n for n in range(20)]
    assert len(warned) == 1 and workers.workers[0].largest == 2
    sizes = workers.workers[0].network.seen
    assert sizes[:2] == [8, 4] and set(sizes[2:]) == {2}


def test_a_single_sample_that_does_not_fit_ends_it_with_a_sentence() -> None:
    with pytest.warns(MemoryWarning), pytest.raises(RssegError, match="too little memory for a single patch"):
        run(Doubling(largest=0))


def test_other_failures_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        run(Doubling(largest=3, message="the shapes do not fit"))


@pytest.mark.parametrize(
    "problem",
    [MemoryError(), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
)
def test_a_lack_of_memory_is_known_by_its_kind_or_its_words(problem: Exception) -> None:
    assert is_shortage(problem) and not is_shortage(ValueError("memory"))


def test_threads_are_as_before_when_all_is_done() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run(Doubling(), slots=2)
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError):
            run(Doubling(largest=3, message="broken"))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def maps(make: Callable[..., Labeller | TileLabeller], **options: Any) -> list[NDArray]:
    blocks = list(make(**options).blocks())
    return [np.concatenate([getattr(block, name) for block in blocks]) for name in ("labels", "confidence")]


@pytest.mark.parametrize("threads", [1, 3])
def test_several_devices_give_the_map_of_one(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(blocks_scene(53, 61, block=7)[0])
    model = tiny_model(patch=4, stride=4)
    with tiny_trunk(monkeypatch):
        dense = tiny_dense_model()
        before = torch.get_num_threads()
        for make in (
            lambda **given: Labeller(model, scene, batch=37, stride=2, **given),
            lambda **given: TileLabeller(dense, scene, **given),
        ):
            one = maps(make, device=CPU)
            try:
                torch.set_num_threads(threads)
                several = maps(make, device=[CPU, CPU])
            finally:
                torch.set_num_threads(before)
            assert all(np.array_equal(a, b) for a, b in zip(one, several, strict=True))
            assert one[0].max() > 2


def test_a_model_that_runs_out_of_memory_labels_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    scene, model = scene_of(blocks_scene(53, 61, block=7)[0]), tiny_model(patch=4, stride=4)
    whole, _ = maps(lambda: Labeller(model, scene, batch=64))
    kind = type(model.network)
    predict = kind.predict

    def small(self: Any, x: Tensor) -> Any:
        if len(x) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(self, x)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "predict", small)
    with pytest.warns(MemoryWarning, match="may change labels"):
        parts, _ = maps(lambda: Labeller(model, scene, batch=64))
    assert (parts != whole).mean() < 0.01  # near-ties


def test_devices_are_named_with_commas() -> None:
    assert choose_devices("cpu,cpu") == [CPU, CPU]
    with pytest.raises(UsageError, match="no device 'gpu'"):
        choose_devices("cpu,gpu")
