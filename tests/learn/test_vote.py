"""Votes of several runs: aligned, by majority, in one model file."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from dense import tiny_dense_model, tiny_trunk
from tiny import CPU, blocks_scene, samples_of, scene_of, thin_vgg, tiny_model

from rsseg.errors import UsageError
from rsseg.label.segment import Labeller
from rsseg.learn.methods import build, settings_of
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.vote import aligned, decided, labels_of, vote_of
from rsseg.learn.training import Trained, Trainer, TrainingSettings

pytestmark = pytest.mark.filterwarnings("ignore::rsseg.errors.RssegWarning")


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch), tiny_trunk(monkeypatch):
        yield


def renumbered(model: Model, order: list[int]) -> Model:
    """The same answers under other cluster numbers."""
    other = tiny_model(seed=0)
    other.network.load_state_dict(model.network.state_dict())
    head = other.network.head  # type: ignore[union-attr]
    with torch.no_grad():
        for tensor in (head.linear.weight, head.linear.bias, head.norm.weight, head.norm.bias):
            tensor.copy_(tensor[order])
        head.norm.running_mean.copy_(head.norm.running_mean[order])
        head.norm.running_var.copy_(head.norm.running_var[order])
    return other


def test_alignment_undoes_a_renumbering() -> None:
    labels = np.random.default_rng(0).integers(0, 6, 500)
    order = np.array([3, 5, 0, 1, 4, 2])
    partner = aligned(labels, order[labels], 6)
    assert np.array_equal(partner[order], np.arange(6))


def test_two_of_three_win_whatever_their_numbers() -> None:
    first, odd = tiny_model(seed=0), tiny_model(seed=5)
    twin = renumbered(first, [4, 2, 0, 1, 3])
    samples = samples_of(scene_of(blocks_scene(96, 96, block=8)[0]))
    every = torch.arange(len(samples))
    members = [odd.network, first.network, twin.network]
    vote = vote_of(
        [first.network, odd.network, twin.network],
        [labels_of(m, samples, every) for m in (members[1], members[0], members[2])],
    )
    shares, means = vote.predict(samples.gather(every))
    winner = decided(shares, means)
    assert torch.equal(winner, torch.from_numpy(labels_of(first.network, samples, every)))
    assert set(np.unique((shares * 3).round().int().numpy())) <= {0, 1, 2, 3}
    assert float(shares.max(dim=1).values.min()) > 0.6


def test_a_dense_vote_of_equals_is_the_member() -> None:
    network = tiny_dense_model().network
    samples = samples_of(scene_of(blocks_scene(64, 64, block=7)[0]), 16, 16)
    labels = labels_of(network, samples, torch.arange(4))
    vote = vote_of([network, network, network], [labels] * 3)
    assert torch.equal(vote.predict(samples.gather(torch.arange(4))).argmax(dim=1).flatten(), torch.from_numpy(labels))


def trained(folder: Path, vote: int, resume_after: int | None = None) -> Trained:
    scene = scene_of(blocks_scene(96, 96, block=8)[0])
    settings = settings_of("recal", classes=4, epochs=2, batch=32, learning_rate=0.05)
    training = TrainingSettings(restarts=4, vote=vote)

    def make() -> Trainer:
        return Trainer(
            lambda: build("recal", settings, 3), samples_of(scene), training, CPU, checkpoint=folder / "c.safetensors"
        )

    if resume_after is not None:
        trainer = make()
        judge, seen = trainer._judge, []

        def stop(method: object) -> None:
            judge(method)  # type: ignore[arg-type]
            seen.append(1)
            if len(seen) == resume_after:
                raise KeyboardInterrupt

        trainer._judge = stop  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            trainer.train()
    return make().train(resume=resume_after is not None)


def test_the_best_runs_vote_and_the_model_file_keeps_them(tmp_path: Path) -> None:
    found = trained(tmp_path, vote=3)
    assert found.network.spec.members == 3  # type: ignore[union-attr]
    alone = trained(tmp_path, vote=1)
    assert alone.run == found.run and alone.score == found.score
    best = found.network.members[0].state_dict()  # type: ignore[union-attr, operator]
    assert all(torch.equal(tensor, best[name]) for name, tensor in alone.network.state_dict().items())

    inference = tiny_model(classes=4).inference.model_copy(update={"network": found.network.spec, "classes": 4})
    model = Model(inference, found.network)
    model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.identity == model.identity
    scene = scene_of(blocks_scene(40, 40, block=8)[0])
    maps = [np.concatenate([b.labels for b in Labeller(m, scene, stride=4).blocks()]) for m in (model, again)]
    assert np.array_equal(*maps) and maps[0].min() > 0


def test_a_vote_that_was_stopped_ends_the_same(tmp_path: Path) -> None:
    whole, resumed = trained(tmp_path / "a", 2), trained(tmp_path / "b", 2, resume_after=2)
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True)
    )


def test_more_votes_than_runs_are_refused() -> None:
    with pytest.raises(UsageError, match="give --restarts 3 or more"):
        TrainingSettings(vote=3, restarts=2)
