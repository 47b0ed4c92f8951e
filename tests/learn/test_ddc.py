"""DDC trains: the paper's disc in a ring, spectra, several processes, and settings that say what is wrong."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from processes import in_processes
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor

from rsseg.errors import TrainingError, UsageError
from rsseg.learn.images import ImageSamples
from rsseg.learn.losses.ddc import ddc_loss
from rsseg.learn.methods.ddc import Ddc, DdcPhase, DdcSettings
from rsseg.learn.samples import Samples
from rsseg.learn.training import Trained, Trainer, TrainingSettings


def made(bands: int = 3, **options: Any) -> Ddc:
    settings = DdcSettings(**{"classes": 4, "patch": 4, "batch": 16, **options})
    return Ddc(settings, bands, settings.patch)


def trained(samples: Samples, bands: int, training: TrainingSettings, **options: Any) -> Trained:
    return Trainer(lambda: made(bands, **options), samples, training, CPU).train()


@torch.no_grad()
def labels_of(result: Trained, samples: Samples) -> NDArray[np.int64]:
    network = result.method.network.eval()
    return network.predict(samples.gather(torch.arange(len(samples))))[0].argmax(dim=1).numpy()


def agreement(labels: NDArray, truth: NDArray) -> float:
    """The share that two clusters have right, by the better of both matchings."""
    right = float((labels == truth).mean())
    return max(right, 1 - right)


def disc_in_a_ring(count: int = 400, seed: int = 0) -> tuple[NDArray, NDArray[np.int64]]:
    """Points (count, 2) of figure 3a, and which lie in the disc."""
    rng = np.random.default_rng(seed)
    disc = np.arange(count) < count // 2
    angle = rng.uniform(0, 2 * np.pi, count)
    radius = np.where(disc, 0.5 * np.sqrt(rng.uniform(0, 1, count)), rng.uniform(1.4, 1.7, count))
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return points.astype(np.float32), disc.astype(np.int64)


@pytest.mark.parametrize(("sigma", "prefactor"), [("paper", "paper"), ("reference", "reference")])
def test_a_disc_in_a_ring_is_separated_where_k_means_fails(sigma: str, prefactor: str) -> None:
    """Figure 3, with the fully connected network; a larger rate than the paper's makes it quick."""
    points, disc = disc_in_a_ring()
    samples = ImageSamples(points[:, :, None, None], CPU)
    settings = {"patch": 1, "classes": 2, "batch": 100, "learning_rate": 1e-3, "epochs": 15}
    training = TrainingSettings(restarts=2, patience=0)
    result = trained(samples, 2, training, **settings, sigma=sigma, prefactor=prefactor)
    assert agreement(labels_of(result, samples), disc) > 0.95
    from sklearn.cluster import KMeans  # here, for the processes that import this file have no use for it

    by_distance = KMeans(2, n_init=5, random_state=0).fit_predict(points)
    assert agreement(by_distance, disc) < 0.8


def test_spectra_of_single_pixels_are_clustered() -> None:
    values, kinds = blocks_scene(24, 24, block=6)
    samples = samples_of(scene_of(values), 1, 1)
    settings = {"patch": 1, "stride": 1, "classes": 4, "batch": 96, "learning_rate": 1e-3, "epochs": 8}
    result = trained(samples, 3, TrainingSettings(restarts=3, patience=0), **settings)
    assert result.method.network.spec.features == "mlp"
    found = labels_of(result, samples)
    table = np.zeros((4, 4), np.int64)
    np.add.at(table, (found, kinds.ravel()), 1)
    assert table.max(axis=1).sum() > 0.95 * table.sum() and result.shares["clusters_used"] == 4


def test_training_lowers_the_score() -> None:
    samples = samples_of(scene_of(blocks_scene(48, 48, block=8)[0]), 4, 4)
    result = trained(samples, 3, TrainingSettings(patience=0), epochs=6)
    scores = [row["score"] for row in result.history]
    assert scores[-1] < scores[0] - 0.1
    assert {"divergence", "orthogonality", "corners"} <= set(result.history[0])


def settled_phase(**options: Any) -> tuple[Ddc, DdcPhase, ImageSamples]:
    """A network in evaluation mode, so that batch norm does not tell batches apart, and samples for it."""
    images = np.random.default_rng(0).normal(size=(24, 3, 4, 4)).astype(np.float32)
    torch.manual_seed(0)
    method = made(**options)
    method.network.eval()
    phase = method.phases[0]
    assert isinstance(phase, DdcPhase)
    return method, phase, ImageSamples(images, CPU)


def gradients(method: Ddc) -> list[Tensor]:
    return [parameter.grad for parameter in method.network.parameters() if parameter.grad is not None]


def loss_and_gradients(rank: int, count: int) -> Tensor:
    """Of one step on a process's part of 24 samples, as one vector."""
    with patch("torch.optim.Adam"):  # a step has no use for it, and it is slow to import
        method, phase, samples = settled_phase()
    loss = phase.step(samples, torch.arange(24).chunk(count)[rank])
    return torch.cat([loss.reshape(1), *(gradient.flatten() for gradient in gradients(method))])


def test_two_processes_give_one_processs_gradient() -> None:
    first, second = in_processes(loss_and_gradients)
    torch.testing.assert_close((first + second) / 2, loss_and_gradients(0, 1), rtol=1e-4, atol=1e-6)
    assert float(first[0]) == float(second[0])
    assert not torch.allclose(first[1:], second[1:])


def test_a_step_has_the_gradient_of_the_loss_of_answer_and_hidden_layer() -> None:
    method, phase, samples = settled_phase(sigma="paper", corner_weight=0.5)
    value = phase.step(samples, torch.arange(10))
    found = [gradient.clone() for gradient in gradients(method)]
    method.network.zero_grad()
    x = samples.gather(torch.arange(10))
    loss = ddc_loss(method.network.predict(x)[0], method.network.embed(x), method.settings.convention)
    loss.backward()
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(found, gradients(method))


def test_the_score_is_the_mean_loss_of_parts_of_a_constant_size() -> None:
    method, _, _ = settled_phase()
    sample = torch.randn(600, 3, 4, 4)
    score, shares = method.score(sample)
    with torch.no_grad():
        parts = [(method.network.predict(x)[0], method.network.embed(x)) for x in sample.split(200)]
    losses = [ddc_loss(p, hidden, method.settings.convention) for p, hidden in parts]
    assert score == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    terms = shares["divergence"] + shares["orthogonality"] + shares["corners"]
    assert score == pytest.approx(terms, rel=1e-9)
    other = made(batch=64)
    other.network.load_state_dict(method.network.state_dict())
    assert other.score(sample) == (score, shares)


@pytest.mark.parametrize("count", [2, 5, 16, 17, 40])
def test_fewer_samples_than_a_batch_make_one(count: int) -> None:
    phase = made().phases[0]
    batches = list(phase.batches(count, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in batches] == [min(count, 16)] * max(1, count // 16)


def test_a_single_patch_is_refused() -> None:
    with pytest.raises(TrainingError, match="two or more patches"):
        list(made().phases[0].batches(1, torch.Generator()))


@pytest.mark.parametrize(
    ("options", "features", "rate"),
    [
        ({"patch": 8}, "lenet", 1e-3),
        ({"patch": 1}, "mlp", 1e-5),
        ({"patch": 3}, "mlp", 1e-5),
        ({"patch": 8, "network": "mlp"}, "mlp", 1e-5),
        ({"patch": 1, "learning_rate": 1e-2}, "mlp", 1e-2),
    ],
)
def test_network_and_rate_follow_the_patch_unless_given(options: dict[str, Any], features: str, rate: float) -> None:
    method = made(**options)
    assert method.network.spec.features == features
    assert method.phases[0].optimiser.param_groups[0]["lr"] == rate


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "lenet", "patch": 2}, "choose --network mlp"),
        ({"divergence_weight": 0, "orthogonality_weight": 0, "corner_weight": 0}, "at least one"),
    ],
)
def test_settings_that_cannot_work_are_refused_early(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DdcSettings(**options).check()
