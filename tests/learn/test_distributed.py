"""Several processes train as one: their gradients and models, who writes, and how they end."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import pytest
import torch
from processes import in_processes
from scenes import write_scene
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor, nn

from rsseg.errors import TrainingError, UsageError
from rsseg.learn import distributed as together_module
from rsseg.learn.batch_norm import synchronise
from rsseg.learn.distributed import average, by_first, device_of, is_first, refuse_several, together
from rsseg.learn.gather import alone, own_part, processes, summed
from rsseg.learn.inputs import TILE_VALID_SHARE
from rsseg.learn.losses.imsat import activation_penalty
from rsseg.learn.losses.recal import Accumulator
from rsseg.learn.methods import build, settings_of
from rsseg.learn.model import load_model
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trainer, TrainingSettings
from rsseg.pipeline.stages.train import train

METHODS: dict[str, dict[str, Any]] = {
    "ddc": {"patch": 8, "batch": 16},
    "recal": {"patch": 8, "batch": 16},
    "iic": {"patch": 8, "batch": 16, "width": 4, "pairs": "transform", "photometric": "none", "flips": False}
    | {"rotation": 0.0, "zoom": 0.0, "shear": 0.0, "shift": 0.0, "heads": 2},
    "iic-dense": {"patch": 16, "stride": 1, "batch": 4, "width": 4, "displacement": 2, "photometric": "none"}
    | {"flips": "none"},
    "wce": {"patch": 16, "stride": 16, "batch": 4, "width": 4, "superpixel_size": 4, "classes": 6},
    "context": {"patch": 16, "stride": 16, "batch": 4, "width": 4, "crop": 16, "noise": 0.0, "fine": 8}
    | {"channels": ("bands",), "denoise": False},
}
"""Each method with nothing drawn at random in a step, so that processes see what one alone would see."""


def thin_vgg() -> None:
    from rsseg.learn.networks import vgg

    vgg.BLOCKS = tuple((width // 16, convolutions) for width, convolutions in vgg.BLOCKS)


def scene() -> Any:
    return scene_of(blocks_scene(96, 96, block=8)[0])


def samples_for(settings: Any) -> SceneSamples:
    from rsseg.pipeline.regions import region_maker

    share = TILE_VALID_SHARE if settings.dense else 1.0
    patches, moments = find_patches([scene()], settings.patch, settings.stride, valid_share=share)
    with region_maker(settings, []) as regions:
        options = {"kind": settings.normalise, "masks": settings.masks, "regions": regions}
        return SceneSamples(patches, moments, device=CPU, memory=1 << 24, **options)


def gradients(name: str) -> Tensor:
    """The first step's gradients and, last, its loss."""
    settings = settings_of(name, **{"classes": 4, **METHODS[name]})
    torch.manual_seed(0)
    with catch_warnings():
        simplefilter("ignore")
        method = build(name, settings, 3)
    if name == "iic":  # its small first weights give nearly equal answers, and a gradient of rounding errors
        with torch.no_grad():
            for linear in [*method.network.head.linears, *method.over.linears]:  # type: ignore[attr-defined]
                linear.weight *= 50
    method.module.train()
    if processes() > 1:
        synchronise(method.module)
    phase, samples = method.phases[-1], samples_for(settings)
    with alone():
        torch.manual_seed(1)
        phase.start_of_epoch(samples, 0)
    batch = next(iter(phase.batches(len(samples), torch.Generator().manual_seed(2))))
    loss = average(phase.optimiser, phase.step(samples, own_part(batch)))
    found = [p.grad.flatten() for p in method.module.parameters() if p.grad is not None]
    return torch.cat([*found, loss.reshape(1)]).detach()


def normed(rank: int, count: int) -> dict[str, Tensor]:
    """Batch norm of an image and of rows: what comes out, the gradients, and the stored statistics."""
    found = {}
    for name, norm, x in (
        ("image", nn.BatchNorm2d(3), torch.randn(8, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * 4 + 7),
        ("rows", nn.BatchNorm1d(3, affine=False), torch.randn(8, 3, generator=torch.Generator().manual_seed(2))),
        ("plain", nn.BatchNorm1d(3, momentum=None), torch.randn(8, 3, generator=torch.Generator().manual_seed(3))),
    ):
        module = nn.Sequential(norm)
        if count > 1:
            synchronise(module)
        part = x[rank::count].clone().requires_grad_()
        out = module(part)
        (out**3).sum().backward()
        found[name] = torch.cat([out.detach().flatten(), part.grad.flatten()])
        found[f"{name} state"] = torch.cat([value.double().flatten() for value in module.state_dict().values()])
        module.eval()
        found[f"{name} labels"] = module(x).detach()
    return found


def recal_trainer(folder: Path | None, accumulate: int = 1) -> Trainer:
    settings = settings_of("recal", classes=4, patch=8, epochs=2, batch=16, learning_rate=0.02, accumulate=accumulate)
    places = {"checkpoint": folder / "c.safetensors", "history": folder / "h.jsonl"} if folder else {}

    def make() -> Any:
        with catch_warnings():
            simplefilter("ignore")
            return build("recal", settings, 3)

    return Trainer(make, samples_of(scene()), TrainingSettings(patience=0), CPU, **places)


class Killed(Exception):
    pass


def trainings(rank: int, count: int, folder: str) -> dict[str, Tensor]:
    """A training, and one that all processes stop after its first epoch and resume."""
    simplefilter("ignore")
    place = Path(folder) / str(rank)
    whole = recal_trainer(place / "whole").train()
    stopped = recal_trainer(Path(folder) / "shared")

    def stop(method: Any, row: Any) -> None:
        if row["epoch"] == 2:
            raise Killed

    stopped.on_epoch = stop
    try:
        stopped.train()
    except Killed:
        by_first(lambda: None)
    resumed = recal_trainer(Path(folder) / "shared").train(resume=True)
    score = torch.tensor([whole.score, resumed.score, whole.run, resumed.run], dtype=torch.float64)
    states = {"whole": whole, "resumed": resumed}
    return {"score": score} | {
        name: torch.cat([value.double().flatten() for value in trained.method.module.state_dict().values()])
        for name, trained in states.items()
    }


def accumulated(rank: int, count: int) -> dict[str, Tensor]:
    """RECAL's accumulated batch, in both ways, and the penalty of GAN + IMSAT: values and mean gradients."""
    rows = torch.randn(3, 8, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = torch.eye(4, dtype=torch.float64).requires_grad_()
    chunks = [(chunk[rank::count] @ weight).softmax(dim=1) for chunk in rows]
    sums = Accumulator(4, CPU)
    for chunk in chunks[:2]:
        sums.add(chunk)
    values = {"last": sums.loss(chunks[2], 0.7), "penalty": activation_penalty(9 * (rows[0, rank::count] @ weight), 10)}
    sums.add(chunks[2])
    values["exact"] = torch.stack([sums.surrogate(chunk, 0.7) for chunk in chunks]).sum()
    found = {}
    for name, value in values.items():
        (gradient,) = torch.autograd.grad(value, weight, retain_graph=True)
        found[name] = summed(torch.cat([gradient.flatten(), value.detach().reshape(1)])) / count
    return found


def everything(rank: int, count: int, folder: str) -> dict[str, dict[str, Tensor]]:
    thin_vgg()
    return {
        "gradients": {name: gradients(name) for name in METHODS},
        "normed": normed(rank, count),
        "accumulated": accumulated(rank, count),
        "trained": trainings(rank, count, folder),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Tensor]]]:
    from rsseg.learn.networks import vgg

    before = vgg.BLOCKS
    yield everything(0, 1, str(tmp_path_factory.mktemp("alone")))
    vgg.BLOCKS = before


@pytest.fixture(scope="module")
def two(folder: Path) -> list[dict[str, dict[str, Tensor]]]:
    return in_processes(everything, str(folder))  # type: ignore[return-value,arg-type]


Answers = dict[str, dict[str, Tensor]]


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_have_one_process_gradient_and_loss(name: str, one: Answers, two: list[Answers]) -> None:
    wanted = one["gradients"][name]
    assert wanted.abs().max() > 1e-4
    for found in two:
        torch.testing.assert_close(found["gradients"][name], wanted, rtol=1e-4, atol=5e-6 * float(wanted.abs().max()))
    assert torch.equal(two[0]["gradients"][name], two[1]["gradients"][name])


def test_accumulated_batches_are_those_of_all_processes(one: Answers, two: list[Answers]) -> None:
    for name in ("last", "exact", "penalty"):
        assert one["accumulated"][name].abs().max() > 1e-3
        torch.testing.assert_close(two[1]["accumulated"][name], one["accumulated"][name])


def test_batch_norm_sees_all_processes(one: Answers, two: list[Answers]) -> None:
    wanted, found = one["normed"], [part["normed"] for part in two]
    for name in ("image", "rows", "plain"):
        both = torch.stack([part[name].view(2, 4, -1) for part in found], dim=2).reshape(2, 8, -1)
        torch.testing.assert_close(both, wanted[name].view(2, 8, -1), rtol=1e-4, atol=1e-4)
        for part in found:
            torch.testing.assert_close(part[f"{name} state"], wanted[f"{name} state"])
            torch.testing.assert_close(part[f"{name} labels"], wanted[f"{name} labels"])


def test_two_processes_train_one_process_model_and_go_on_where_they_stopped(
    one: Answers, two: list[Answers], folder: Path
) -> None:
    wanted = one["trained"]
    for found in (part["trained"] for part in two):
        torch.testing.assert_close(found["score"], wanted["score"], rtol=1e-3, atol=1e-3)
        assert torch.equal(found["score"][::2], found["score"][1::2])
    torch.testing.assert_close(two[0]["trained"]["whole"], wanted["whole"], rtol=2e-2, atol=2e-3)
    assert torch.equal(two[0]["trained"]["resumed"], two[0]["trained"]["whole"])
    written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert written == [f"{name}/{file}" for name in ("0/whole", "shared") for file in ("c.safetensors", "h.jsonl")]


# the command


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def commands(folder: Path, *words: str, last: tuple[str, ...] = ()) -> list[tuple[int, str, str]]:
    """What ``rsseg`` returns and writes in two processes, started as torchrun does; ``last``: of the second alone."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "rsseg", *words, *(last if rank else ())],
            cwd=folder,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, out, err) for process, (out, err) in zip(started, told, strict=True)]


DDC = {"classes": 3, "batch": 20, "epochs": 2}
WORDS = [word for name, value in DDC.items() for word in (f"--{name}", str(value))]


def test_the_command_trains_one_process_model_and_one_process_writes(tmp_path: Path) -> None:
    scene_path = write_scene(tmp_path / "scene.tif", 80, 96)
    (code, out, err), other = commands(tmp_path, "train", "ddc", "scene.tif", "-o", "m.safetensors", *WORDS, "--json")
    assert code == 0, err
    assert other == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.history.jsonl", "m.safetensors", "scene.tif"]
    alone_ = train([scene_path], tmp_path / "one.safetensors", settings_of("ddc", **DDC))
    told = json.loads(out)
    assert told["score"] == pytest.approx(alone_.score, abs=1e-3) and told["patches"] == alone_.patches
    patches = samples_of(scene_of(blocks_scene(96, 96)[0])).gather(torch.arange(144))
    labels, wanted = (
        load_model(tmp_path / f"{name}.safetensors").network.eval().predict(patches)[0].argmax(dim=1)
        for name in ("m", "one")
    )
    assert (labels == wanted).double().mean() > 0.98


def test_a_process_that_fails_ends_all_with_its_message_and_code(tmp_path: Path) -> None:
    write_scene(tmp_path / "scene.tif")
    words = ("train", "ddc", "scene.tif", "-o", "m.safetensors", *WORDS)
    first, second = commands(tmp_path, *words, last=("--device", "nosuch"))
    assert second[0] == 2 and second[2].startswith("rsseg: this machine has no device 'nosuch'")
    assert first == (2, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]


@pytest.fixture
def as_one_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_PORT", str(free_port()))
    return monkeypatch


def test_processes_that_were_not_started_by_torchrun_are_refused(as_one_of_two: pytest.MonkeyPatch) -> None:
    as_one_of_two.delenv("RANK")
    with pytest.raises(UsageError, match="start them with torchrun, or unset WORLD_SIZE"), together("cpu"):
        pass


def test_processes_that_do_not_meet_are_told(as_one_of_two: pytest.MonkeyPatch) -> None:
    as_one_of_two.setattr(together_module, "MEET", timedelta(seconds=1))
    with pytest.raises(TrainingError, match=r"the 2 processes did not find each other at 127\.0"), together("cpu"):
        pass


def test_a_process_takes_the_gpu_of_its_number(as_one_of_two: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    as_one_of_two.setattr(torch.cuda, "is_available", lambda: True)
    as_one_of_two.setattr(torch.cuda, "set_device", chosen.append)
    as_one_of_two.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_of("auto") == "cuda:1" and chosen == [1] and device_of("cpu") == "cpu"
    with pytest.raises(UsageError, match="give --device cuda instead of cuda:0"):
        device_of("cuda:0")
    as_one_of_two.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="has 1 GPUs, too few for process 2 on it; give torchrun --nproc-per-node 1"):
        device_of("cuda")


def test_what_takes_one_process_refuses_several(as_one_of_two: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="training on labels takes one process, and 2 were started"):
        refuse_several("training on labels")


def test_without_torchrun_nothing_is_connected() -> None:
    with together("cpu") as device:
        assert device == "cpu" and processes() == 1 and is_first()
