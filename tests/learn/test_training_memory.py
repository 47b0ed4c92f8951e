"""A training whose batches do not fit in memory goes on with smaller ones, says so, and remembers it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from scenes import write_scene
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor

from rsseg.errors import MemoryWarning, TrainingError
from rsseg.learn.checkpoint import Checkpoint
from rsseg.learn.methods import build, settings_of
from rsseg.learn.methods.base import Method
from rsseg.learn.methods.ddc import DdcPhase
from rsseg.learn.model import load_model
from rsseg.learn.samples import Samples, SceneSamples
from rsseg.learn.steps import cut, is_shortage
from rsseg.learn.training import Trained, Trainer, TrainingSettings
from rsseg.pipeline.stages.train import train

CPU_SHORTAGE = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "1048576000000 bytes. Error code 12 (Cannot allocate memory)"
)


class Memory:
    """Stands for a machine on which steps of up to ``most`` samples fit; notes the steps that were done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int, problem: Callable[[], Exception]) -> None:
        complete = DdcPhase.step
        self.most, self.done = most, list[Tensor]()

        def step(phase: Any, samples: Samples, indices: Tensor) -> Tensor:
            loss = complete(phase, samples, indices)  # gradients are there when memory runs out
            if len(indices) > self.most:
                raise problem()
            self.done.append(indices)
            return loss

        monkeypatch.setattr(DdcPhase, "step", step)


SHORTAGES: dict[str, Callable[[], Exception]] = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "cpu": lambda: RuntimeError(CPU_SHORTAGE),
    "numpy": MemoryError,
}


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(72, 72, block=8)[0]))


def trainer(samples: Samples, folder: Path | None = None, **options: Any) -> Trainer:
    def make() -> Method:
        return build("ddc", settings_of("ddc", **{"classes": 3, "batch": 20, "epochs": 3, **options}), 3)

    places = {"checkpoint": folder / "c.safetensors", "history": folder / "h.jsonl"} if folder else {}
    return Trainer(make, samples, TrainingSettings(patience=0), CPU, **places)


def state(trained: Trained) -> Tensor:
    return torch.cat([tensor.flatten().double() for tensor in trained.method.module.state_dict().values()])


@pytest.mark.parametrize("kind", SHORTAGES)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    kind: str, samples: SceneSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(monkeypatch, 6, SHORTAGES[kind])
    with pytest.warns(MemoryWarning) as told:
        trained = trainer(samples).train()
    assert [str(warning.message) for warning in told] == [
        f"{size} samples do not fit in the memory of cpu (phase train); training goes on with batches cut into {parts},"
        f" next time give --batch {size // 2}"
        for size, parts in ((20, 2), (10, 4))
    ]
    assert [row["steps"] for row in trained.history] == [16] * 3 and trained.parts == {"train": 4}
    assert [row["parts"] for row in trained.history] == [4] * 3
    first = torch.cat(memory.done[:16])  # nothing of the epoch is left out or seen twice
    assert len(first) == 80 and len(first.unique()) == 80


def test_a_step_that_failed_leaves_no_gradient(samples: SceneSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    """The halves are steps of their own: the same weights as of a training that began with them."""
    Memory(monkeypatch, 10, SHORTAGES["cpu"])
    with pytest.warns(MemoryWarning, match="batches cut into 2"):
        found = trainer(samples, epochs=1).train()
    monkeypatch.undo()
    started = trainer(samples, epochs=1)
    started.progress.parts["train"] = 2
    torch.testing.assert_close(state(found), state(started.train()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("number", [1, 2])
def test_a_resumed_training_still_knows(
    number: int, samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception): ...

    Memory(monkeypatch, 10, SHORTAGES["cpu"])
    complete, saves = Checkpoint.save, iter(range(1, 100))

    def saving(*arguments: Any) -> None:
        complete(*arguments)
        if next(saves) == number:
            raise Killed

    with pytest.warns(MemoryWarning, match="batches cut into 2"):
        wanted = trainer(samples).train()
    with monkeypatch.context() as patch, pytest.warns(MemoryWarning, match="cut into 2"), pytest.raises(Killed):
        patch.setattr(Checkpoint, "save", saving)
        trainer(samples, tmp_path).train()
    found = trainer(samples, tmp_path).train(resume=True)  # a warning would be an error
    assert torch.equal(state(found), state(wanted)) and found.parts == {"train": 2}


def test_the_smallest_batch_that_does_not_fit_ends_the_training(
    samples: SceneSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(monkeypatch, 1, SHORTAGES["cpu"])
    with pytest.warns(MemoryWarning), pytest.raises(TrainingError, match=r"no memory for a step of 2 samples on cpu"):
        trainer(samples, batch=8).train()
    assert memory.done == []


def test_memory_that_runs_out_elsewhere_is_said(samples: SceneSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    started = trainer(samples)

    def score(*what: Any) -> Any:
        raise RuntimeError(CPU_SHORTAGE)

    monkeypatch.setattr("rsseg.learn.methods.ddc.Ddc.score", score)
    with pytest.raises(TrainingError, match="memory ran out on cpu while training was prepared or scored"):
        started.train()


def test_other_errors_are_not_taken_for_a_shortage(samples: SceneSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    Memory(monkeypatch, 0, lambda: RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trainer(samples).train()


def test_what_torch_says_of_a_real_shortage_is_known() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_shortage(found.value)


def test_parts_are_about_equal_and_never_single_samples() -> None:
    for count in range(2, 40):
        for parts in range(1, 20):
            made = cut(torch.arange(count), parts)
            assert torch.equal(torch.cat(made), torch.arange(count))
            assert len(made) == max(1, min(parts, count // 2)) and min(map(len, made)) >= 2
            assert max(map(len, made)) - min(map(len, made)) <= 1


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Path]:
    yield write_scene(tmp_path / "scene.tif")


def test_the_model_tells_of_it_and_of_nothing_else(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of("ddc", classes=3, batch=20, epochs=1)
    train([scene], tmp_path / "whole.safetensors", settings)
    Memory(monkeypatch, 10, SHORTAGES["cpu"])
    with pytest.warns(MemoryWarning, match="cut into 2"):
        train([scene], tmp_path / "cut.safetensors", settings)
    assert load_model(tmp_path / "cut.safetensors").provenance["batches_cut_into"] == {"train": 2}
    assert "batches_cut_into" not in load_model(tmp_path / "whole.safetensors").provenance
