"""Compiled training: the same names, nearly the same weights, and none at all where there is no compiler."""

from typing import Any

import pytest
import torch
from heard import Heard
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor

from rsseg.learn import compiling
from rsseg.learn.methods import build, settings_of
from rsseg.learn.samples import SceneSamples
from rsseg.learn.training import Trained, Trainer, TrainingSettings


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(72, 72, block=8)[0]))


def trained(samples: SceneSamples, heard: Heard, compile: bool = True) -> Trained:
    settings = settings_of("ddc", classes=3, batch=20, epochs=2)
    chosen = TrainingSettings(patience=0, compile=compile)
    return Trainer(lambda: build("ddc", settings, 3), samples, chosen, CPU, reporter=heard).train()


def state(found: Trained) -> dict[str, Tensor]:
    return found.method.module.state_dict()


@pytest.mark.parametrize("backend", ["eager", "missing"])
def test_the_trunk_is_compiled_in_training_alone_and_goes_without_a_compiler(
    backend: str, samples: SceneSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dynamo's own backend, which needs no compiler, stands for the real one."""
    ran: list[torch.Size] = []
    complete = torch.compile

    def compiler(graph: Any, inputs: Any) -> Any:
        if backend == "missing":
            raise OSError("no C++ compiler was found")

        def run(*given: Tensor) -> Any:
            ran.append(given[-1].shape)
            return graph.forward(*given)

        return run

    monkeypatch.setattr(compiling.torch, "compile", lambda function, **how: complete(function, backend=compiler, **how))
    heard, plain = Heard(), Heard()
    found, wanted = trained(samples, heard), trained(samples, plain, compile=False)
    assert state(found).keys() == state(wanted).keys()
    for name, tensor in state(wanted).items():
        torch.testing.assert_close(state(found)[name], tensor, rtol=1e-3, atol=1e-4)
    if backend == "missing":
        assert len(heard.said) == 1 and "goes on without --compile: " in heard.said[0]
        assert "no C++ compiler was found" in heard.said[0] and ran == []
    else:
        assert heard.said == [] and len(ran) == 2 * 4, "eight steps, and no score"


def test_settings_without_it_are_described_as_before() -> None:
    assert "compile" not in TrainingSettings().described()
    assert TrainingSettings(compile=True).described()["compile"] is True
