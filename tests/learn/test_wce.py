"""Superpixel weighted cross entropy: what is trained on, which classifier answers, when it stops, and what it finds."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import CPU, blocks_scene, scene_of
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.learn.losses.superpixels import class_weights, continuity, mumford_shah, refine, weighted_cross_entropy
from rsseg.learn.methods.wce import Tiles, Wce, WcePhase, WceSettings, targets_of, turned, wce
from rsseg.learn.networks.dense import DenseNetwork
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trained, Trainer, TrainingSettings
from rsseg.scene.superpixels import superpixels

SMALL: dict[str, Any] = {"patch": 32, "stride": 32, "classes": 12, "width": 6, "batch": 4, "superpixel_size": 6}


def settings(**options: Any) -> WceSettings:
    return WceSettings(**{**SMALL, **options})


def samples(used: WceSettings, values: NDArray | None = None, valid: NDArray[np.bool_] | None = None) -> SceneSamples:
    values = blocks_scene(64, 96)[0] if values is None else values
    patches, moments = find_patches([scene_of(values, valid)], used.patch, used.stride, valid_share=0.5)
    return SceneSamples(
        patches,
        moments,
        device=CPU,
        memory=1 << 24,
        kind=used.normalise,
        masks=True,
        regions=lambda pixels, seen, scene, window: superpixels(pixels, seen, **used.superpixel_options()),
    )


def method(used: WceSettings, seed: int = 0) -> Wce:
    torch.manual_seed(seed)
    return Wce(used, 3, used.patch)


def phase_of(made: Wce) -> WcePhase:
    phase = made.phases[0]
    assert isinstance(phase, WcePhase)
    return phase


def trained(used: WceSettings, drawn: SceneSamples, seed: int = 0) -> Trained:
    return Trainer(lambda: Wce(used, 3, used.patch), drawn, TrainingSettings(seed=seed), CPU).train()


def fields_accuracy(network: DenseNetwork, drawn: SceneSamples, kinds: NDArray) -> float:
    """Many-to-one accuracy: every label counts as the kind that most of its pixels have."""
    labels = network.eval().predict(drawn.gather(torch.arange(len(drawn)))).argmax(dim=1)
    truth = torch.from_numpy(kinds).unfold(0, 32, 32).unfold(1, 32, 32).reshape(labels.shape)
    table = np.zeros((labels.max() + 1, kinds.max() + 1), int)
    np.add.at(table, (labels.numpy(), truth.numpy()), 1)
    return float(table.max(axis=1).sum() / table.sum())


@pytest.mark.parametrize("extractor", ["dic", "kanezaki", "seek"])
def test_fields_are_found(extractor: str) -> None:
    values, kinds = blocks_scene(64, 96, noise=20.0)
    used = settings(extractor=extractor, epochs=8, learning_rate=1e-2)
    drawn = samples(used, values)
    start = method(used)
    start.settle(drawn, torch.arange(len(drawn)))
    found = fields_accuracy(trained(used, drawn).method.network, drawn, kinds)
    assert found > max(0.85, 0.1 + fields_accuracy(start.network, drawn, kinds))


def test_the_loss_is_the_sum_over_both_classifiers_of_their_own_refined_labels() -> None:
    used = settings(classifiers=2)
    made, drawn, chosen = method(used), samples(used), torch.arange(4)
    made.network.train()
    expected = torch.zeros(())
    for scores in made.network.responses(drawn.gather(chosen)):
        targets = refine(scores.argmax(dim=1), drawn.regions(chosen), 12)
        expected = expected + weighted_cross_entropy(scores, targets, class_weights(targets, 12))
    found = phase_of(made).step(drawn, chosen)
    assert float(found) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert not found.requires_grad


@pytest.mark.parametrize("term", ["continuity", "mumford_shah"])
def test_further_terms_are_added_with_their_weight(term: str) -> None:
    plain, used = settings(classifiers=1), settings(classifiers=1, **{term: 0.5})
    drawn, chosen = samples(used), torch.arange(4)
    x = drawn.gather(chosen)
    made = method(used)
    made.network.train()
    scores = made.network.responses(x)[0].detach()
    extra = continuity(scores) if term == "continuity" else sum(mumford_shah(x, scores.softmax(dim=1), mean=True))
    without, found = (float(phase_of(m).step(drawn, chosen)) for m in (method(plain), made))
    assert found - without == pytest.approx(0.5 * float(extra), rel=1e-4)


def test_targets_carry_no_gradient() -> None:
    scores = torch.randn(1, 4, 8, 8, requires_grad=True)
    tiles = Tiles(
        torch.zeros(1, 3, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool), torch.zeros(1, 8, 8, dtype=torch.int64)
    )
    assert not targets_of(scores, tiles).requires_grad
    wce(scores, tiles, "inverse").backward()
    assert scores.grad is not None


def test_weights_are_renewed_in_every_batch() -> None:
    scores = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    regions = torch.arange(64).view(1, 8, 8).expand(2, -1, -1)
    both = Tiles(torch.zeros(2, 3, 8, 8), torch.ones(2, 8, 8, dtype=torch.bool), regions)
    each = [wce(s, t, "inverse") for s, t in zip(scores.split(1), both.split(1), strict=True)]
    assert float(wce(scores, both, "inverse")) != pytest.approx(float(sum(each)) / 2, rel=1e-6)
    plain = [wce(s, t, "none") for s, t in zip(scores.split(1), both.split(1), strict=True)]
    assert float(wce(scores, both, "none")) == pytest.approx(float(sum(plain)) / 2, rel=1e-6)


def test_invalid_pixels_are_not_learned_and_not_counted() -> None:
    used = settings()
    valid = np.ones((64, 96), bool)
    valid[:20, :24] = False
    drawn = samples(used, valid=valid)
    tiles = Tiles.of(drawn, torch.arange(len(drawn)))
    assert int((~tiles.valid).sum()) == 480
    scores = torch.randn(len(drawn), 12, 32, 32, generator=torch.Generator().manual_seed(1))
    other = scores.clone()
    other.permute(0, 2, 3, 1)[~tiles.valid] = 50.0
    assert torch.equal(targets_of(scores, tiles)[tiles.valid], targets_of(other, tiles)[tiles.valid])
    assert float(wce(scores, tiles, "inverse")) == pytest.approx(float(wce(other, tiles, "inverse")))


class Answers(torch.nn.Module):
    """A head that gives the same scores whatever it sees."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.register_buffer("scores", scores)

    def forward(self, features: Tensor) -> Tensor:
        scores: Tensor = self.scores.expand(len(features), -1, -1, -1)  # type: ignore[operator]
        return scores


def banded(labels: int, certainty: float) -> Tensor:
    """Scores (1, 12, 32, 32) that give ``labels`` labels in stripes of equal size."""
    stripes = torch.arange(32)[:, None].expand(32, 32) * labels // 32
    return certainty * torch.nn.functional.one_hot(stripes, 12).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("better", [0, 1])
def test_the_classifier_with_the_lower_loss_answers(better: int) -> None:
    used = settings(superpixel_size=2)
    made, drawn = method(used), samples(used)
    heads = [Answers(banded(4, 1.0)), Answers(banded(4, 1.0))]
    heads[better] = Answers(banded(8, 5.0))
    made.network.heads = torch.nn.ModuleList(heads)
    score, shares = made.score(made.fixed(drawn, torch.arange(4)))
    assert int(made.network.chosen) == better
    assert shares["clusters_used"] == 8
    assert torch.equal(made.network(drawn.gather(torch.arange(2)))[:1], banded(8, 5.0))
    assert 0 < score < math.log(12)


def test_a_collapsed_classifier_is_never_chosen_over_another() -> None:
    """One label for everything is learned without loss; it must not win by that."""
    used = settings()
    made, drawn = method(used), samples(used)
    made.network.heads = torch.nn.ModuleList([Answers(banded(1, 20.0)), Answers(banded(6, 2.0))])
    tiles = made.fixed(drawn, torch.arange(4))
    score, shares = made.score(tiles)
    assert int(made.network.chosen) == 1 and shares["clusters_used"] == 6 and not made.collapsed(shares)
    made.network.heads = torch.nn.ModuleList([Answers(banded(1, 20.0)), Answers(banded(2, 20.0))])
    collapsed_score, shares = made.score(tiles)
    assert made.collapsed(shares) and collapsed_score == pytest.approx(math.log(12)) and collapsed_score > score


def test_the_score_is_the_loss_in_evaluation_mode() -> None:
    used = settings(classifiers=1)
    made, drawn = method(used), samples(used)
    tiles = made.fixed(drawn, torch.arange(6))
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    score, shares = made.score(tiles)
    made.network.eval()
    with torch.no_grad():
        parts = [wce(made.network(part.pixels), part, "inverse") for part in tiles.split(4)]
    expected = float(torch.stack(parts).mean())
    assert score == pytest.approx(math.log(12) if made.collapsed(shares) else expected, rel=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.network.state_dict().items())


def test_statistics_of_both_classifiers_are_settled() -> None:
    used = settings(classifiers=2)
    made, drawn = method(used), samples(used)
    made.settle(drawn, torch.arange(4))
    made.network.train()
    x = drawn.gather(torch.arange(4))
    for head in made.network.heads:
        seen = head.conv(made.network.embed(x))
        torch.testing.assert_close(head.norm.running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-4, rtol=1e-3)


def test_the_learning_rate_falls_exponentially_over_the_whole_run() -> None:
    used = settings(epochs=5)
    phase = phase_of(method(used))
    rates = []
    for epoch in range(5):
        phase.start_of_epoch(None, epoch)  # type: ignore[arg-type]
        rates.append(phase.optimiser.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1e-4) and rates[-1] == pytest.approx(1e-5)
    ratios = [b / a for a, b in pairwise(rates)]
    assert ratios == pytest.approx([ratios[0]] * 4)
    assert not phase.patient


@pytest.mark.parametrize("count", [1, 4, 5, 7, 23])
def test_an_epoch_visits_nearly_every_tile_once(count: int) -> None:
    phase = phase_of(method(settings()))
    batches = list(phase.batches(count, torch.Generator().manual_seed(0)))
    seen = torch.cat(batches)
    assert len(seen.unique()) == len(seen) > count - len(batches)
    assert len({len(batch) for batch in batches}) == 1 and len(batches[0]) <= 4


def test_one_image_is_fitted_until_few_labels_are_left() -> None:
    used = settings(per_image=True, epochs=2, steps=60, min_labels=6, stride=64, classifiers=1, weights="none")
    drawn = samples(used)
    made = method(used)
    phase, counts = phase_of(made), []
    made.network.train()
    for epoch in range(2):
        phase.start_of_epoch(drawn, epoch)
        for indices in phase.batches(len(drawn), torch.Generator().manual_seed(epoch)):
            phase.optimiser.zero_grad(set_to_none=True)
            phase.step(drawn, indices)
            counts.append(len(made.network(drawn.gather(indices)).argmax(dim=1).unique()))
            if phase.finished:
                assert all(parameter.grad is None for parameter in made.network.parameters())
            phase.optimiser.step()
        if phase.finished:
            break
    assert isinstance(phase.optimiser, torch.optim.SGD)
    assert phase.finished and len(counts) < 60
    assert counts[-1] <= 6


def test_steps_of_one_image_are_spread_over_the_epochs() -> None:
    phase = phase_of(method(settings(per_image=True, epochs=3, steps=10)))
    steps = []
    for epoch in range(3):
        phase.start_of_epoch(None, epoch)  # type: ignore[arg-type]
        steps.append(len(list(phase.batches(2, torch.Generator()))))
    assert sum(steps) == 10 and max(steps) - min(steps) <= 1


def test_orientations_are_alike_in_pixels_mask_and_regions() -> None:
    numbers = torch.arange(16 * 64).view(16, 8, 8)
    turned_tiles = turned(Tiles(numbers[:, None].float(), numbers % 3 == 0, numbers))
    assert torch.equal(turned_tiles.pixels[:, 0].long(), turned_tiles.regions)
    assert torch.equal(turned_tiles.valid, turned_tiles.regions % 3 == 0)
    for before, after in zip(numbers, turned_tiles.regions, strict=True):
        assert torch.equal(before.flatten().sort()[0], after.flatten().sort()[0])


def test_all_eight_orientations_are_drawn() -> None:
    torch.manual_seed(0)
    corner = torch.tensor([[1, 2], [3, 4]])
    tiles = Tiles(torch.zeros(200, 1, 2, 2), torch.ones(200, 2, 2, dtype=torch.bool), corner.expand(200, 2, 2))
    assert len({tuple(tile.flatten().tolist()) for tile in turned(tiles).regions}) == 8


@pytest.mark.parametrize("augmentation", ["geometric", "colour", "all"])
def test_augmentation_changes_what_is_learned_from(augmentation: str) -> None:
    drawn, chosen = samples(settings()), torch.arange(4)
    plain = float(phase_of(method(settings())).step(drawn, chosen))
    made = method(settings(augmentation=augmentation))
    assert float(phase_of(made).step(drawn, chosen)) != pytest.approx(plain, rel=1e-6)


def test_resumed_training_reaches_the_same_weights(tmp_path: Any) -> None:
    used = settings(epochs=3, augmentation="all")
    whole = trained(used, samples(used)).method.network.state_dict()

    class Stopped(Exception):
        pass

    def stop(made: object, row: Any) -> None:
        if row["epoch"] == 2 and not list(tmp_path.glob("stopped")):
            (tmp_path / "stopped").touch()
            raise Stopped

    def trainer() -> Trainer:
        make = lambda: Wce(used, 3, used.patch)  # noqa: E731
        return Trainer(make, samples(used), TrainingSettings(), CPU, checkpoint=tmp_path / "c", on_epoch=stop)

    with pytest.raises(Stopped):
        trainer().train()
    found = trainer().train(resume=True).method.network.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in whole.items())


def test_superpixels_larger_than_a_tile_are_refused() -> None:
    with pytest.raises(UsageError, match="--superpixel-size"):
        settings(superpixel_size=40).check()
    settings().check()


def test_superpixel_options_are_arguments_of_superpixels() -> None:
    options = settings(superpixels="felzenszwalb", compactness=0.5).superpixel_options()
    regions = superpixels(blocks_scene(32, 32)[0].astype(np.float32), np.ones((32, 32), bool), **options)
    assert regions.shape == (32, 32) and options["size"] == 6
