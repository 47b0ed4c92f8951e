"""IIC on patches: networks for any patch, heads that take turns, the sub-head that answers, and resuming."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score
from tiny import CPU, blocks_scene, samples_of, scene_of
from torch import Tensor, nn

from rsseg.errors import TrainingError, UsageError
from rsseg.learn.augment import ColourJitter
from rsseg.learn.images import ImageSamples
from rsseg.learn.losses.iic import iic_loss
from rsseg.learn.methods.iic import Iic, IicPhase, IicSettings, probabilities
from rsseg.learn.networks.fuse import fused
from rsseg.learn.networks.heads import SubHeads
from rsseg.learn.networks.iic import ClusterNet
from rsseg.learn.networks.patch import PatchNetwork, settle
from rsseg.learn.networks.resnet import ResNetFeatures
from rsseg.learn.samples import SceneSamples
from rsseg.learn.training import Trained, Trainer, TrainingSettings

SMALL: Mapping[str, Any] = {"classes": 4, "patch": 8, "batch": 16, "repeats": 2, "heads": 3, "width": 4}


def method(**options: Any) -> Iic:
    torch.manual_seed(0)
    settings = IicSettings(**{**SMALL, **options})
    return Iic(settings, 3, settings.patch)


def phase_of(made: Iic) -> IicPhase:
    phase = made.phases[0]
    assert isinstance(phase, IicPhase)
    return phase


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(80, 80, block=16)[0]), 8, 8)


# networks


@pytest.mark.parametrize(
    ("patch", "side"), [(1, 1), (2, 2), (3, 3), (4, 2), (8, 2), (16, 2), (24, 3), (28, 3), (40, 5)]
)
def test_the_vgg_like_network_flattens_no_less_than_two_by_two(patch: int, side: int) -> None:
    features = ClusterNet(3, patch, width=2)
    assert features.width == 16 * side**2
    assert features(torch.randn(3, 3, patch, patch)).shape == (3, features.width)


def test_the_paper_s_network_for_digits_has_its_size() -> None:
    features = ClusterNet(1, 24)
    assert features.width == 4608
    assert [layer.weight.shape[:3] for layer in features.layers if isinstance(layer, nn.Conv2d)] == [
        (64, 1, 5),
        (128, 64, 5),
        (256, 128, 5),
        (512, 256, 5),
    ]


@pytest.mark.parametrize(("patch", "side"), [(1, 1), (4, 2), (8, 2), (16, 2), (24, 3), (32, 2), (64, 4)])
def test_the_residual_network_takes_the_mean_of_a_map_of_two_by_two_or_more(patch: int, side: int) -> None:
    features = ResNetFeatures(3, patch, width=1).eval()
    x = torch.randn(2, 3, patch, patch)
    assert features.blocks(features.pooling(features.stem(x))).shape == (2, 8, side, side)
    assert features(x).shape == (2, features.width)


def test_the_residual_network_is_resnet34() -> None:
    convolutions = [m for m in ResNetFeatures(3, 64, width=1).modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.kernel_size == (3, 3) for m in convolutions) == 33  # and one linear layer, the head
    assert sum(m.kernel_size == (1, 1) for m in convolutions) == 3


@pytest.mark.parametrize("network", ["vgg", "resnet"])
def test_labelling_s_joined_layers_answer_as_the_network_does(network: str) -> None:
    made = method(network=network).network
    settle(made, [torch.randn(64, 3, 8, 8)])
    x = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(fused(made)(x), made.eval()(x), rtol=1e-4, atol=1e-5)


# a step


def frozen_step(made: Iic, samples: SceneSamples, indices: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Value and gradients of one step with batch norm by stored statistics."""
    made.module.eval()
    torch.manual_seed(3)
    value = float(phase_of(made).step(samples, indices))
    return value, {name: p.grad.clone() for name, p in made.module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pairs", ["transform", "neighbour", "both"])
@pytest.mark.parametrize("weight", [1.0, 1.5])
def test_a_step_is_the_mean_loss_of_the_sub_heads_over_all_repeats(
    samples: SceneSamples, pairs: str, weight: float
) -> None:
    made = method(pairs=pairs, entropy_weight=weight)
    indices = torch.arange(10)
    found, gradients = frozen_step(made, samples, indices)
    made.module.zero_grad()
    torch.manual_seed(3)
    second = made.settings.pairing().draw(samples, indices.repeat(2))
    first = samples.gather(indices.repeat(2))
    losses = []
    for head in made.over.linears:
        p, q = (torch.softmax(head(made.network.embed(x)), dim=1) for x in (first, second))
        losses.append(iic_loss(p, q, weight))
    mean = sum(losses) / 3
    mean.backward()
    assert found == pytest.approx(float(mean.detach()), abs=1e-6)
    for name, p in made.module.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-3, atol=1e-6)


def test_batch_norm_sees_patches_and_their_pairs_as_one_batch(samples: SceneSamples) -> None:
    made = method()
    norm = next(m for m in made.network.modules() if isinstance(m, nn.BatchNorm2d))
    sizes = []
    norm.register_forward_hook(lambda module, given, result: sizes.append(len(given[0])))
    phase_of(made).step(samples, torch.arange(10))
    assert sizes == [10 + 2 * 10]


def moved_by(made: Iic, samples: SceneSamples, heads: int) -> set[str]:
    """Which parts have gradients in the first batch of each of the first passes."""
    phase, found = phase_of(made), set()
    for number, indices in enumerate(phase.batches(16, torch.Generator().manual_seed(0))):
        made.module.zero_grad(set_to_none=True)
        phase.step(samples, indices)
        if number == heads:
            names = [name for name, p in made.module.named_parameters() if p.grad is not None]
            found = {"main" if "network.head" in name else name.split(".")[0] for name in names}
    return found


@pytest.mark.parametrize(("first", "turns"), [("over", ["over", "main"]), ("main", ["main", "over"])])
def test_heads_take_turns_and_the_other_one_rests(samples: SceneSamples, first: str, turns: list[str]) -> None:
    for number, head in enumerate(turns):
        assert moved_by(method(first=first), samples, number) == {"network", head}


@pytest.mark.parametrize(("main", "over", "wanted"), [(1, 1, "om"), (2, 1, "omm"), (1, 3, "ooom"), (2, 0, "mm")])
def test_each_pass_visits_every_patch_once(main: int, over: int, wanted: str) -> None:
    made = method(main_passes=main, over_passes=over)
    phase, seen, heads = phase_of(made), [], []
    for indices in phase.batches(48, torch.Generator().manual_seed(0)):
        seen.append(indices)
        heads.append("o" if phase.head is made.over else "m")
    assert "".join(heads[::3]) == wanted and "".join(heads) == "".join(3 * turn for turn in wanted)
    visits = torch.cat(seen).view(len(wanted), 48)
    assert torch.equal(visits.sort(dim=1).values, torch.arange(48).expand(len(wanted), 48))
    assert len(visits.unique(dim=0)) == len(wanted)


def test_fewer_patches_than_a_batch_train_together_and_one_alone_does_not() -> None:
    phase = phase_of(method())
    assert [len(block) for block in phase.batches(5, torch.Generator())] == [5, 5]
    with pytest.raises(TrainingError, match="--stride"):
        list(phase.batches(1, torch.Generator()))


# the answer


def test_the_sub_head_of_lowest_loss_answers(samples: SceneSamples) -> None:
    made = method(heads=4)
    settle(made.network, [samples.gather(torch.arange(64))])
    with torch.no_grad():
        made.network.head.linears[2].weight.mul_(100)  # the only one that is sure of anything
    sample = made.fixed(samples, torch.arange(60))
    score, shares = made.score(sample)
    p, q = (probabilities(made.network.head, made.network.embed(x)).double() for x in sample)
    losses = [float(iic_loss(p[head], q[head]).detach()) for head in range(4)]
    assert int(made.network.head.chosen) == 2 == int(np.argmin(losses))
    assert score == pytest.approx(min(losses), abs=1e-9)
    labels = made.network.predict(sample[0])[0].argmax(dim=1)
    assert torch.equal(labels, p[2].argmax(dim=1))
    assert shares["clusters_used"] == len(labels.unique())


def test_the_fixed_pairs_do_not_depend_on_the_global_generator(samples: SceneSamples) -> None:
    first = method().fixed(samples, torch.arange(20))
    torch.manual_seed(99)
    second = method().fixed(samples, torch.arange(20))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.allclose(first[0], first[1])


def test_labels_of_the_auxiliary_head_are_scored_and_kept(samples: SceneSamples) -> None:
    made = method(labels_from="over", over_classes=7)
    settle(made.network, [samples.gather(torch.arange(64))])
    sample = made.fixed(samples, torch.arange(60))
    score, _ = made.score(sample)
    p, q = (probabilities(made.over, made.network.embed(x)).double() for x in sample)
    assert score == pytest.approx(float(iic_loss(p, q).min().detach()), abs=1e-9)
    made.finish(samples, 0)
    assert made.network.classes == 7 and made.score(sample)[0] == score
    rebuilt = PatchNetwork(made.network.spec, 3, 8, 7)
    rebuilt.load_state_dict(made.network.state_dict())
    assert torch.equal(rebuilt.eval()(sample[0]), made.network(sample[0]))


def test_the_main_head_stays_where_it_labels(samples: SceneSamples) -> None:
    made = method()
    head = made.network.head
    made.finish(samples, 0)
    assert made.network.head is head and made.network.classes == 4


# settings


def test_the_auxiliary_head_has_five_times_the_clusters() -> None:
    assert isinstance(method().over, SubHeads) and method().over.linears[0].out_features == 20
    assert method(over_classes=9).over.linears[0].out_features == 9


@pytest.mark.parametrize("options", [{"classes": 60}, {"over_classes": 256}, {"over_passes": 0}])
def test_an_auxiliary_head_that_cannot_label_is_refused(options: dict[str, int]) -> None:
    IicSettings(**{**SMALL, **options}).check()
    with pytest.raises(UsageError, match="--over"):
        IicSettings(**{**SMALL, **options, "labels_from": "over"}).check()


def test_settings_choose_the_changes() -> None:
    assert IicSettings(pairs="neighbour").pairing().geometry is None
    assert IicSettings(pairs="neighbour").pairing().photometry is None
    assert not IicSettings(pairs="transform").pairing().neighbours
    made = IicSettings(pairs="both", rotation=5, flips=False, photometric="none").pairing()
    assert made.neighbours and made.photometry is None
    assert made.geometry is not None and made.geometry.rotation == 5 and not made.geometry.flips
    jitter = IicSettings(photometric="rgb-jitter", normalise="range", visible=2).pairing().photometry
    assert jitter == ColourJitter(0.0, 1.0, visible=2)


def test_sobel_gives_the_network_two_more_channels(samples: SceneSamples) -> None:
    made = method(sobel=True)
    assert next(m for m in made.network.modules() if isinstance(m, nn.Conv2d)).in_channels == 5
    phase_of(made).step(samples, torch.arange(4))


def test_images_train_on_changed_copies_only() -> None:
    images = ImageSamples(np.random.default_rng(0).integers(0, 255, (30, 3, 8, 8)).astype("uint8"), CPU)
    phase_of(method(pairs="transform")).step(images, torch.arange(9))
    with pytest.raises(TrainingError, match="--pairs transform"):
        phase_of(method(pairs="both")).step(images, torch.arange(9))


# training


class Killed(Exception):
    """Stands for a process that ends."""


def trained(
    samples: SceneSamples, folder: Path | None = None, die: int = 0, resume: bool = False, **options: Any
) -> Trained:
    """A training that ends within epoch ``die``, before its checkpoint; 0: that runs to its end."""

    def on_epoch(made: Any, row: Mapping[str, Any]) -> None:
        if row["epoch"] == die:
            raise Killed

    checkpoint = folder / "checkpoint.safetensors" if folder else None
    settings = TrainingSettings(patience=0)
    trainer = Trainer(lambda: method(**options), samples, settings, CPU, checkpoint=checkpoint, on_epoch=on_epoch)
    return trainer.train(resume)


@pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")
@pytest.mark.parametrize("options", [{}, {"labels_from": "over", "main_passes": 2}])
def test_a_resumed_training_has_the_weights_of_the_uninterrupted_one(
    samples: SceneSamples, tmp_path: Path, options: dict[str, Any]
) -> None:
    wanted = trained(samples, epochs=3, **options)
    with pytest.raises(Killed):
        trained(samples, tmp_path, die=2, epochs=3, **options)
    found = trained(samples, tmp_path, resume=True, epochs=3, **options)
    assert found.score == wanted.score and found.shares == wanted.shares
    expected = wanted.method.module.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.method.module.state_dict().items())


def test_kinds_of_land_are_found_by_the_best_of_three_runs() -> None:
    values, kinds = blocks_scene(160, 160, block=16, seed=1)
    samples = samples_of(scene_of(values), 8, 8)
    settings = IicSettings(**{**SMALL, "batch": 40, "epochs": 2, "learning_rate": 5e-3, "pairs": "transform"})
    best = Trainer(lambda: Iic(settings, 3, 8), samples, TrainingSettings(restarts=3, patience=0), CPU).train()
    with torch.no_grad():
        labels = best.method.network.predict(samples.gather(torch.arange(len(samples))))[0].argmax(dim=1)
    assert best.score < -0.8  # of -ln 4 = -1.39
    assert normalized_mutual_info_score(kinds[4::8, 4::8].ravel(), labels) > 0.8


@pytest.mark.parametrize("certain", [True, False])
def test_a_collapse_is_reported_by_the_shares(samples: SceneSamples, certain: bool) -> None:
    made = method()
    settle(made.network, [samples.gather(torch.arange(64))])
    with torch.no_grad():
        for linear in made.network.head.linears:
            linear.weight.mul_(50.0)
            linear.bias[0] = 1e4 * certain
    shares = made.score(made.fixed(samples, torch.arange(60)))[1]
    assert made.collapsed(shares) == certain


def test_the_main_head_may_have_scenes_of_its_own() -> None:
    scenes = [scene_of(blocks_scene(40, 40, block=8, seed=seed)[0], name=str(seed)) for seed in range(3)]
    samples = samples_of(scenes)
    phase = Iic(IicSettings(patch=8, classes=4, width=4, batch=5, heads=1, main_scenes=2), 3, 8).phases[0]
    phase.start_of_epoch(samples, 0)
    seen: dict[str, set[int]] = {"main": set(), "over": set()}
    for indices in phase.batches(len(samples), torch.Generator().manual_seed(0)):
        seen["over" if phase.head is phase.over else "main"] |= set(indices.tolist())  # type: ignore[attr-defined]
    assert seen["over"] == set(range(75)) and seen["main"] == set(range(50))
    assert samples.of_first(1).tolist() == list(range(25))
