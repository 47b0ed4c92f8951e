"""GAN + IMSAT as a method: gradients of the game, cached features, the head that answers, and a resumed training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor, nn

from rsseg.errors import TrainingError
from rsseg.learn.losses.imsat import activation_penalty, discriminator_loss, entropy, generator_loss, head_losses
from rsseg.learn.methods import gan_phases
from rsseg.learn.methods.gan_imsat import GanImsat
from rsseg.learn.methods.gan_phases import ClassifierPhase, GanPhase, all_features
from rsseg.learn.methods.gan_settings import GanImsatSettings
from rsseg.learn.networks.heads import CentreHead
from rsseg.learn.samples import SceneSamples
from rsseg.learn.training import Trained, Trainer, TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(72, 72, block=8)[0]))


def settings(**options: Any) -> GanImsatSettings:
    given = {
        "classes": 4,
        "epochs": 2,
        "gan_epochs": 2,
        "gan_batch": 16,
        "batch": 20,
        "width": 4,
        "copies": 2,
        "units": 24,
    }
    return GanImsatSettings(**{**given, "noise": 8, "heads": 3, "deviation": 0.3, **options})


def method(**options: Any) -> GanImsat:
    torch.manual_seed(0)
    return GanImsat(settings(**options), 3, 8)


def game(made: GanImsat) -> GanPhase:
    phase = made.phases[0]
    assert isinstance(phase, GanPhase)
    return phase


def classifier(made: GanImsat) -> ClassifierPhase:
    phase = made.phases[1]
    assert isinstance(phase, ClassifierPhase)
    return phase


# settings


def test_presets_give_what_is_not_set() -> None:
    def numbers(**options: Any) -> list[float]:
        chosen = GanImsatSettings(**options)
        sizes, constants = chosen.sizes, chosen.numbers
        return [constants.balance_weight, constants.gan_rate, sizes.noise, sizes.alpha_random, sizes.alpha_adversarial]

    assert numbers(constants="paper", layout="dense") == [1, 1e-4, 200, 0.3, 0.15]
    assert numbers(constants="code", layout="flat") == [4, 2e-4, 100, 1.0, 0.2]
    assert numbers(constants="code", layout="flat", balance_weight=0, noise=7) == [0, 2e-4, 7, 1.0, 0.2]


def test_each_head_has_its_tolerance() -> None:
    loss = settings(heads=2, over_heads=1, delta=0.1, over_delta=0.2).loss
    assert list(loss.deltas) == [0.1, 0.1, 0.2]


def test_over_cluster_heads_have_more_clusters_and_stay_out_of_the_model() -> None:
    made = method(over_heads=2)
    shapes = [scores.shape[1] for scores in made.responses(torch.zeros(2, made.network.features.width))]
    assert shapes == [4, 4, 4, 20, 20]
    assert sum(p.numel() for p in made.module.parameters()) > sum(p.numel() for p in made.network.parameters())
    assert not any("over" in name or "generator" in name for name in made.network.state_dict())
    assert method(over_heads=0).responses(torch.zeros(2, made.network.features.width))[-1].shape[1] == 4


# the game


@pytest.mark.parametrize("layout", ["dense", "flat"])
def test_each_network_has_the_gradient_of_its_own_loss(layout: str, samples: SceneSamples) -> None:
    made = method(layout=layout, penalty=0.5)
    phase, x = game(made), samples.gather(torch.arange(16))
    with torch.no_grad():
        for parameter in made.critic.parameters():
            parameter.mul_(20)  # else the generator's gradient would be too small to be missed
    made.module.train()
    torch.manual_seed(4)
    loss = phase.step(samples, torch.arange(16))
    found = {name: p.grad for name, p in made.module.named_parameters() if p.grad is not None}
    made.module.zero_grad()

    torch.manual_seed(4)
    noise = torch.rand(16, 8) * 2 - 1
    real = made.network.features(x)
    fake = made.network.features.extract(made.generator(noise))
    judged = discriminator_loss(made.critic(real), made.critic(fake))
    penalty = 0.5 * (activation_penalty(real) + activation_penalty(fake))
    made_loss = generator_loss(made.critic(fake))
    (judged + penalty).backward(retain_graph=True)
    wanted = {name: p.grad.clone() for name, p in made.module.named_parameters() if p.grad is not None}
    made.module.zero_grad()
    made_loss.backward()
    wanted |= {
        name: p.grad
        for name, p in made.module.named_parameters()
        if name.startswith("generator") and p.grad is not None
    }
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], msg=name)
    torch.testing.assert_close(loss, (judged + made_loss).detach())
    assert any(bool(p.grad.any()) for p in made.critic.parameters() if p.grad is not None)


def test_the_game_leaves_the_classifier_alone(samples: SceneSamples) -> None:
    made = method()
    game(made).step(samples, torch.arange(16))
    assert all(parameter.grad is None for parameter in [*made.network.head.parameters(), *made.over.parameters()])


def test_a_single_patch_is_refused() -> None:
    with pytest.raises(TrainingError, match="--stride"):
        list(game(method()).batches(1, torch.Generator()))


def test_few_samples_make_one_batch() -> None:
    batches = list(classifier(method()).batches(7, torch.Generator()))
    assert [len(batch) for batch in batches] == [7]


# features


def settled(**options: Any) -> tuple[GanImsat, ClassifierPhase, SceneSamples]:
    made, samples = method(**options), samples_of(scene_of(blocks_scene(72, 72, block=8)[0]))
    made.module.train()
    phase = classifier(made)
    phase.start_of_epoch(samples, 0)
    return made, phase, samples


def test_batch_norm_is_settled_on_real_samples_without_dropout() -> None:
    made, _, samples = settled()
    features = made.network.features
    x = features.scaled(samples.gather(torch.arange(len(samples))))
    x = torch.cat([features.sobel(x / 2), x], dim=1)
    stored = features.layers[1]
    with torch.no_grad():
        torch.testing.assert_close(stored.running_mean, features.layers[0](x).mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)
        first = features.layers[:4](x)
        torch.testing.assert_close(features.layers[4](first).mean(dim=(0, 2, 3)), features.layers[5].running_mean)
    assert not any(module.training for module in features.modules())


def count_features(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []

    def counting(*arguments: Any) -> Tensor:
        calls.append(1)
        return all_features(*arguments)

    monkeypatch.setattr(gan_phases, "all_features", counting)
    return calls


def test_features_are_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_features(monkeypatch)
    _, phase, samples = settled()
    for epoch in (1, 2):
        phase.start_of_epoch(samples, epoch)
    assert len(calls) == 1


def test_features_of_changing_samples_are_taken_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_features(monkeypatch)
    made, phase = method(), None
    samples = samples_of(scene_of(blocks_scene(160, 40, block=8)[0]), 8, 4, memory=160 * 40 * 3 // 2)
    phase = classifier(made)
    for epoch in range(3):
        samples.redraw(epoch)
        phase.start_of_epoch(samples, epoch)
    assert not samples.whole and len(calls) == 3


def test_features_that_do_not_fit_are_taken_batch_by_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    _, phase, samples = settled()
    indices = torch.arange(3, 15)
    torch.manual_seed(1)
    kept, kept_copies = phase._inputs(samples, indices)
    monkeypatch.setattr(gan_phases, "CACHE_BYTES", 100)
    calls = count_features(monkeypatch)
    phase.start_of_epoch(samples, 1)
    torch.manual_seed(1)
    taken, taken_copies = phase._inputs(samples, indices)
    assert not calls and phase._cached is None
    torch.testing.assert_close(taken, kept)
    torch.testing.assert_close(taken_copies, kept_copies)


def test_copies_differ_by_dropout_and_without_their_loss_none_are_drawn() -> None:
    made, phase, samples = settled()
    m, copies = phase._inputs(samples, torch.arange(10))
    assert copies is not None and copies.shape == (20, made.network.features.width)
    assert not torch.equal(copies[:10], copies[10:]) and not torch.equal(copies[:10], m)
    _, plain, samples = settled(dropout_divergence=False)
    assert plain._inputs(samples, torch.arange(10))[1] is None


def test_the_classifier_has_the_mean_of_the_heads_losses_and_the_discriminator_no_gradient() -> None:
    made, phase, samples = settled()
    indices = torch.arange(20)
    torch.manual_seed(2)
    loss = phase.step(samples, indices)
    torch.manual_seed(2)
    m, copies = phase._inputs(samples, indices)
    wanted = head_losses(made.responses, m, copies, 2, made.settings.loss)
    assert len(wanted) == 4
    torch.testing.assert_close(loss, wanted.mean().detach())
    assert all(parameter.grad is None for parameter in made.network.features.parameters())
    assert all(parameter.grad is not None for parameter in [*made.network.head.parameters(), *made.over.parameters()])


# the score and the answer


def test_the_head_of_the_lowest_loss_answers() -> None:
    made, _, samples = settled(vat=False, dropout_divergence=False, balance_weight=0)
    x = samples.gather(torch.arange(40))
    with torch.no_grad():
        for number, linear in enumerate(made.network.head.linears):
            linear.weight.mul_(30 if number == 1 else 0.1)
        scores = made.network.head.all(made.network.features(x))
        doubts = [float(entropy(head.softmax(1)).mean()) for head in scores]
    assert min(doubts) == doubts[1] < 0.9 * sorted(doubts)[1]
    for before in (0, 2):
        made.network.head.chosen.fill_(before)
        assert made.score(x)[0] == pytest.approx(0.2 * doubts[1], rel=1e-4)
        assert int(made.network.head.chosen) == 1
    torch.testing.assert_close(made.network(x), scores[1])


def test_over_cluster_heads_never_answer() -> None:
    made, _, samples = settled(vat=False, dropout_divergence=False, balance_weight=0, over_classes=2)
    with torch.no_grad():
        made.over[0].weight.mul_(1000)
    made.score(samples.gather(torch.arange(40)))
    assert int(made.network.head.chosen) < 3


def test_the_score_is_the_same_each_time_and_leaves_the_generator_where_it_was() -> None:
    made, _, samples = settled()
    x = samples.gather(torch.arange(40))
    state = torch.get_rng_state()
    first = made.score(x)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert made.score(x) == first
    before = {name: tensor.clone() for name, tensor in made.module.state_dict().items()}
    made.score(x)
    made.settle(samples, torch.arange(40))
    assert all(torch.equal(before[name], tensor) for name, tensor in made.module.state_dict().items())


# through the trainer


def train(
    samples: SceneSamples,
    folder: Path | None = None,
    resume: bool = False,
    how: TrainingSettings | None = None,
    **options: Any,
) -> Trained:
    def make() -> GanImsat:
        return GanImsat(settings(**options), 3, 8)

    places = {"checkpoint": folder / "c.safetensors"} if folder else {}
    return Trainer(make, samples, how or TrainingSettings(), CPU, **places).train(resume=resume)


class Killed(Exception):
    """Stands for a process that ends."""


@pytest.mark.parametrize(("kind", "step"), [(GanPhase, 7), (ClassifierPhase, 1), (ClassifierPhase, 5)])
def test_a_resumed_training_is_the_uninterrupted_one(
    kind: type[GanPhase | ClassifierPhase], step: int, samples: SceneSamples, tmp_path: Path
) -> None:
    wanted = train(samples)
    complete, steps = kind.step, iter(range(100))

    def stepping(self: Any, *arguments: Any) -> Tensor:
        if next(steps) == step:
            raise Killed
        return complete(self, *arguments)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(kind, "step", stepping)
        train(samples, tmp_path)
    found = train(samples, tmp_path, resume=True)
    for name, tensor in wanted.method.module.state_dict().items():
        assert torch.equal(tensor, found.method.module.state_dict()[name]), name
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in run.history] for run in (wanted, found)]
    assert rows[0] == rows[1]


def test_the_history_shows_both_losses_of_the_game(samples: SceneSamples) -> None:
    history = train(samples).history
    assert [row["phase"] for row in history] == ["gan", "gan", "classifier", "classifier"]
    for row in history:
        assert ("discriminator_loss" in row) == ("generator_loss" in row) == (row["phase"] == "gan")
    row = history[0]
    assert row["discriminator_loss"] + row["generator_loss"] == pytest.approx(row["loss"], abs=1e-5)


def test_the_tiny_scenes_fields_are_found() -> None:
    values, kinds = blocks_scene(96, 96, block=8)
    samples = samples_of(scene_of(values))
    trained = train(samples, epochs=20, learning_rate=3e-3, gan_epochs=4, alpha_random=0.3, alpha_adversarial=0.15)
    scores = [row["score"] for row in trained.history if row["phase"] == "classifier"]
    assert scores[-1] < scores[0] and trained.shares["clusters_used"] == 4
    with torch.no_grad():
        found = trained.method.network(samples.gather(torch.arange(len(samples)))).argmax(dim=1)
    table = torch.zeros(4, 4).index_put_((found, torch.from_numpy(kinds[::8, ::8].ravel())), torch.tensor(1.0), True)
    assert float(table.max(dim=1).values.sum()) > 0.7 * len(samples)


def test_no_phase_ends_on_the_plateau_that_it_starts_on(samples: SceneSamples) -> None:
    history = train(samples, how=TrainingSettings(patience=1, tolerance=10.0), epochs=3, gan_epochs=3).history
    assert [row["epoch"] for row in history] == [1, 2, 3, 1, 2, 3]


def test_bfloat16_trains(samples: SceneSamples) -> None:
    trained = train(samples, how=TrainingSettings(precision="bf16"))
    assert all(tensor.dtype != torch.bfloat16 for tensor in trained.method.module.state_dict().values())


def test_kmeans_answers_from_the_features(samples: SceneSamples) -> None:
    trained = train(samples, labels_from="kmeans")
    network = trained.method.network
    assert isinstance(network.head, CentreHead) and network.spec.head == "centres"
    x = samples.gather(torch.arange(30))
    with torch.no_grad():
        distances = torch.cdist(network.features.eval()(x), network.head.centres)
        assert torch.equal(network(x).argmax(dim=1), distances.argmin(dim=1))
    assert trained.shares["clusters_used"] == 4


def test_values_in_a_range_fill_the_generators_range() -> None:
    ends = torch.tensor([0.0, 1.0])
    assert method(normalise="range").network.features.scaled(ends).tolist() == [-1, 1]
    assert method().network.features.scaled(torch.tensor([-3.0, 3.0])).tolist() == [-1, 1]


def test_nothing_of_training_is_needed_to_label() -> None:
    assert isinstance(method().network, nn.Module)
    assert {name.split(".")[0] for name in method().network.state_dict()} == {"features", "head"}
