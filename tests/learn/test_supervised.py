"""A linear head trained on labels: it learns them, leaves a frozen trunk alone, and a resumed training is the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dense import tiny_trunk
from tiny import CPU, blocks_scene, quiet_build, samples_of, scene_of, thin_vgg, tiny_model
from torch import Tensor
from torch.nn import functional

from rsseg.errors import ModelError, TrainingError, UsageError
from rsseg.learn.initial import starting
from rsseg.learn.methods import settings_of
from rsseg.learn.methods.supervised import Supervised, SupervisedPhase, SupervisedSettings, cross_entropy, head_of
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.vote import labels_of
from rsseg.learn.samples import SceneSamples
from rsseg.learn.subset import Subset
from rsseg.learn.training import Trained, Trainer, TrainingSettings

SIDE = 96


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch), tiny_trunk(monkeypatch):
        yield


@pytest.fixture(scope="module")
def kinds() -> np.ndarray:
    return blocks_scene(SIDE, SIDE, block=8)[1]


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(SIDE, SIDE, block=8)[0]))


@pytest.fixture(scope="module")
def labels(kinds: np.ndarray) -> Tensor:
    return torch.from_numpy(kinds[::8, ::8].reshape(-1))


def trunk(seed: int = 0) -> PatchNetwork:
    network = tiny_model(seed=seed).network
    assert isinstance(network, PatchNetwork)
    return network


def settings(**options: Any) -> SupervisedSettings:
    return SupervisedSettings(**{"classes": 4, "epochs": 20, **options})


def trained_on(
    samples: Any, labels: Tensor, start: Any = None, folder: Path | None = None, resume: bool = False, **options: Any
) -> Trained:
    chosen, network = settings(**options), start or trunk()
    checkpoint = folder / "c.safetensors" if folder else None
    return Trainer(
        lambda: Supervised(chosen, 3, network, labels), samples, TrainingSettings(), CPU, checkpoint=checkpoint
    ).train(resume)


def accuracy(trained: Trained, samples: Any, labels: Tensor) -> float:
    found = labels_of(trained.network, samples, torch.arange(len(samples)))
    return float((found == labels.reshape(-1).numpy()).mean())


def test_a_head_learns_the_fields_and_answers_for_those_it_never_saw(samples: SceneSamples, labels: Tensor) -> None:
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    known, other = order[:60], order[60:]
    trained = trained_on(Subset(samples, known), labels[known])
    assert accuracy(trained, Subset(samples, other), labels[other]) > 0.95
    assert trained.history[-1]["training_accuracy"] > 0.95
    assert trained.history[-1]["score"] < 0.5 * trained.history[0]["score"]


def test_a_frozen_trunk_stays_to_the_bit_and_a_tuned_one_moves_but_for_its_statistics(
    samples: SceneSamples, labels: Tensor
) -> None:
    start = trunk()
    before = {name: tensor.clone() for name, tensor in start.features.state_dict().items()}
    frozen = trained_on(samples, labels, start, epochs=2).network.features.state_dict()
    tuned = trained_on(samples, labels, start, epochs=2, freeze=False, learning_rate=1e-3).network.features.state_dict()
    for name, tensor in before.items():
        assert torch.equal(frozen[name], tensor)
        assert torch.equal(tuned[name], tensor) == ("running" in name or "num_batches" in name)
        assert torch.equal(start.features.state_dict()[name], tensor)  # the model that it started from


def test_features_kept_from_the_first_epoch_give_the_same_gradients(samples: SceneSamples, labels: Tensor) -> None:
    torch.manual_seed(0)
    made = Supervised(settings(), 3, trunk(), labels)
    (phase,) = made.phases
    assert isinstance(phase, SupervisedPhase)
    phase.start_of_epoch(samples, 0)
    assert phase.features is not None and phase.features.shape == (len(samples), made.network.features.width)
    gradients = []
    for features in (phase.features, None):
        phase.features = features
        made.network.zero_grad()
        phase.step(samples, torch.arange(10))
        gradients.append(made.network.head.linear.weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_the_loss_of_pixels_is_the_mean_over_those_with_a_label() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 3, (2, 4, 4), generator=generator)
    total, count = 0.0, 0
    for n in range(2):
        for row in range(4):
            for col in range(4):
                if labels[n, row, col] >= 0:
                    total -= float(scores[n, :, row, col].log_softmax(dim=0)[labels[n, row, col]])
                    count += 1
    assert float(cross_entropy(scores, labels)) == pytest.approx(total / count)
    coarse = functional.avg_pool2d(scores, 2)
    stretched = functional.interpolate(coarse, size=(4, 4), mode="bilinear", align_corners=False)
    assert float(cross_entropy(coarse, labels)) == pytest.approx(float(cross_entropy(stretched, labels)))


def test_a_dense_network_learns_from_a_few_labelled_pixels(kinds: np.ndarray) -> None:
    tiles = samples_of(scene_of(blocks_scene(SIDE, SIDE, block=16)[0]), 32, 32)
    truth = blocks_scene(SIDE, SIDE, block=16)[1].reshape(3, 32, 3, 32).swapaxes(1, 2).reshape(9, 32, 32)
    known = np.random.default_rng(0).random(truth.shape) < 0.05
    labels = torch.from_numpy(np.where(known, truth, -1).astype(np.int16))
    torch.manual_seed(0)
    start = DenseNetwork(DenseNetworkSpec(trunk="tiny", heads=2, width=24), 3, 7)
    trained = trained_on(tiles, labels, start, patch=32, batch=4)
    assert isinstance(trained.network, DenseNetwork) and len(trained.network.heads) == 1
    assert isinstance(head_of(trained.network), torch.nn.Conv2d)
    assert accuracy(trained, tiles, torch.from_numpy(truth)) > 0.8


def test_equal_trainings_and_resumed_ones_give_equal_heads(
    samples: SceneSamples, labels: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trained_on(samples, labels, epochs=4).network.state_dict()
    again = trained_on(samples, labels, epochs=4).network.state_dict()
    complete = SupervisedPhase.start_of_epoch

    def stopping(self: SupervisedPhase, samples: Any, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        complete(self, samples, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SupervisedPhase, "start_of_epoch", stopping)
        trained_on(samples, labels, folder=tmp_path, epochs=4)
    resumed = trained_on(samples, labels, folder=tmp_path, epochs=4, resume=True).network.state_dict()
    other = trained_on(samples, labels.flip(0), epochs=4).network.state_dict()
    for name, tensor in wanted.items():
        assert torch.equal(again[name], tensor) and torch.equal(resumed[name], tensor)
    assert not torch.equal(other["head.linear.weight"], wanted["head.linear.weight"])


def test_a_subset_needs_all_samples_in_memory() -> None:
    part = samples_of(scene_of(blocks_scene(160, 40, block=8)[0]), 8, 4, memory=160 * 40 * 3 // 2)
    with pytest.raises(TrainingError, match="give more --memory"):
        Subset(part, torch.arange(3))


def test_a_method_starts_from_the_tensors_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    make = starting(model, "recal", settings_of("recal", classes=5))
    first, second = make(), make()
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(first.network.state_dict()[name], tensor)
    with torch.no_grad():
        first.network.head.linear.weight.zero_()
    assert torch.equal(second.network.head.linear.weight, model.network.head.linear.weight)  # type: ignore[union-attr]
    assert not torch.equal(
        quiet_build("recal", classes=5).network.head.linear.weight,
        model.network.head.linear.weight,  # type: ignore[union-attr]
    )


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        ("recal", {"classes": 4}, ModelError, "classes 5 but here 4; give the method and the options"),
        ("recal", {"patch": 16}, ModelError, "patch 8 but here 16"),
        ("recal", {"cut": "input"}, ModelError, "made by recal with cut scene but here input"),
        ("ddc", {}, ModelError, "features vgg16-bn but here"),
        ("wce", {}, ModelError, "trunk None but here"),
        ("kmeans", {}, UsageError, "kmeans is fitted at once and starts from no model"),
    ],
)
def test_another_network_cannot_start_from_a_model(
    method: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    chosen = settings_of(method, **{"classes": 5, **options})
    with pytest.raises(error, match=message):
        starting(tiny_model(), method, chosen)


def test_a_new_head_is_described_in_the_model_file(labels: Tensor) -> None:
    made = Supervised(settings(classes=4), 3, trunk(), labels)
    assert made.network.spec == PatchNetworkSpec(features="vgg16-bn", head="linear") and made.network.classes == 4
