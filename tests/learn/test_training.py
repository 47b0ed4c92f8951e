"""The training loop: what it writes, when it stops, and that a resumed training is the uninterrupted one."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CPU, blocks_scene, samples_of, scene_of, thin_vgg
from torch import Tensor, nn

from rsseg.errors import CollapseWarning, ModelError, TrainingError, UsageError
from rsseg.learn.checkpoint import Checkpoint
from rsseg.learn.losses.recal import recal_loss
from rsseg.learn.methods import build, settings_of
from rsseg.learn.methods.base import Method, Phase, cluster_shares, shuffled
from rsseg.learn.methods.recal import RecalPhase
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec, settle
from rsseg.learn.samples import Samples, SceneSamples
from rsseg.learn.tensors import load_tensors
from rsseg.learn.training import Trained, Trainer, TrainingSettings

pytestmark = [
    pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning"),
]


class Killed(Exception):
    """Stands for a process that ends."""


@pytest.fixture(autouse=True)
def thin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with thin_vgg(monkeypatch):
        yield


@pytest.fixture(scope="module")
def samples() -> SceneSamples:
    return samples_of(scene_of(blocks_scene(72, 72, block=8)[0]))


def small_memory() -> SceneSamples:
    """Samples of which each epoch sees a part."""
    made = samples_of(scene_of(blocks_scene(160, 40, block=8)[0]), 8, 4, memory=160 * 40 * 3 // 2)
    assert not made.whole
    return made


def recal(**options: Any) -> Callable[[], Method]:
    given = {"classes": 4, "patch": 8, "stride": 8, "epochs": 3, "batch": 20, "learning_rate": 0.02, **options}
    return lambda: build("recal", settings_of("recal", **given), 3)


class NoisyPhase(Phase):
    """Adam on RECAL's loss of patches with noise from torch's global generator, with a schedule by epochs."""

    def __init__(self, name: str, network: PatchNetwork, parameters: Sequence[nn.Parameter], epochs: int) -> None:
        self.name, self.network, self.epochs = name, network, epochs
        self.optimiser = torch.optim.Adam(parameters, lr=1e-3)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        return shuffled(count, 20, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        x = samples.gather(indices)
        loss = recal_loss(self.network.predict(x + 0.1 * torch.randn_like(x))[0])
        loss.backward()
        return loss.detach()

    def end_of_epoch(self) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] *= 0.5


class TwoPhases(Method):
    """All parameters first, then the head alone: a method that training knows only as phases."""

    def __init__(self) -> None:
        self.network = PatchNetwork(PatchNetworkSpec(features="vgg16-bn", head="entropy"), 3, 8, 4)
        head = list(self.network.head.parameters())
        self.phases = [
            NoisyPhase("all", self.network, list(self.network.parameters()), 2),
            NoisyPhase("head", self.network, head, 2),
        ]

    @torch.no_grad()
    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        p = self.network.eval().predict(sample)[0]
        return float(recal_loss(p)), cluster_shares(p.argmax(dim=1), 4)


def trainer(
    make: Callable[[], Method], samples: Samples, folder: Path | None = None, identity: Any = None, **settings: Any
) -> Trainer:
    places = {"checkpoint": folder / "c.safetensors", "history": folder / "h.jsonl"} if folder else {}
    chosen = TrainingSettings(**{"patience": 0, **settings})
    return Trainer(make, samples, chosen, CPU, identity=identity, **places)


def kill_in_step(patch: pytest.MonkeyPatch, kind: type[Phase], step: int) -> None:
    """Let the ``step``-th step from now (0 is the first) end the training."""
    complete, steps = kind.step, iter(range(1000))

    def stepping(self: Any, samples: Samples, indices: Tensor) -> Tensor:
        loss = complete(self, samples, indices)
        if next(steps) == step:
            raise Killed
        return loss

    patch.setattr(kind, "step", stepping)


def kill_after_checkpoint(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the training end when its ``number``-th checkpoint (1 is the first) is in place."""
    complete, saves = Checkpoint.save, iter(range(1, 1000))

    def saving(*arguments: Any) -> None:
        complete(*arguments)
        if next(saves) == number:
            raise Killed

    patch.setattr(Checkpoint, "save", saving)


def assert_same(found: Trained, wanted: Trained) -> None:
    assert found.score == wanted.score and found.run == wanted.run and found.shares == wanted.shares
    assert without_times(found.history) == without_times(wanted.history)
    tensors, expected = found.method.network.state_dict(), wanted.method.network.state_dict()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.items())
    assert all(tensors[name].stride() == tensor.stride() for name, tensor in expected.items() if tensor.ndim == 4)


def without_times(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


# resuming


CASES = {
    "sgd": (recal(), RecalPhase),
    "sgd-exact": (recal(accumulate=2, batch=10), RecalPhase),
    "sgd-last": (recal(accumulate=2, batch=10, accumulation="last", momentum=0), RecalPhase),
    "kmeans-labels": (recal(labels_from="kmeans", epochs=2), RecalPhase),
    "adam": (TwoPhases, NoisyPhase),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [1, 5, 9])
def test_a_training_killed_within_an_epoch_goes_on_to_the_same_weights(
    case: str, step: int, samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kind = CASES[case]
    wanted = trainer(make, samples).train()
    steps = sum(row["steps"] for row in wanted.history)
    with monkeypatch.context() as patch:
        kill_in_step(patch, kind, min(step, steps - 1))
        with pytest.raises(Killed):
            trainer(make, samples, tmp_path).train()
    assert_same(trainer(make, samples, tmp_path).train(resume=True), wanted)


@pytest.mark.parametrize("case", CASES)
def test_a_training_killed_between_epochs_goes_on_to_the_same_weights(
    case: str, samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, _ = CASES[case]
    wanted = trainer(make, samples).train()
    for number in range(1, len(wanted.history) + 1):
        with monkeypatch.context() as patch:
            kill_after_checkpoint(patch, number)
            with pytest.raises(Killed):
                trainer(make, samples, tmp_path / str(number)).train()
        assert_same(trainer(make, samples, tmp_path / str(number)).train(resume=True), wanted)


def test_a_training_killed_again_and_again_arrives(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trainer(TwoPhases, samples).train()
    for _ in wanted.history:
        with monkeypatch.context() as patch:
            kill_after_checkpoint(patch, 1)
            with pytest.raises(Killed):
                trainer(TwoPhases, samples, tmp_path).train(resume=True)
    assert_same(trainer(TwoPhases, samples, tmp_path).train(resume=True), wanted)


@pytest.mark.parametrize(("seed", "best"), [(0, 1), (3, 0)])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_restarts_killed_in_any_run_keep_the_same_best(
    number: int, seed: int, best: int, samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of two epochs of four steps, killed after a checkpoint or within the epoch."""

    def started(folder: Path | None) -> Trainer:
        return trainer(recal(epochs=2), samples, folder, restarts=2, seed=seed)

    wanted = started(None).train()
    assert wanted.run == best, "choose seeds of which one run and the other is the best"
    for place, kill in {"after": kill_after_checkpoint, "within": kill_in_epoch}.items():
        with monkeypatch.context() as patch:
            kill(patch, number)
            with pytest.raises(Killed):
                started(tmp_path / place).train()
        assert_same(started(tmp_path / place).train(resume=True), wanted)


def kill_in_epoch(patch: pytest.MonkeyPatch, number: int) -> None:
    kill_in_step(patch, RecalPhase, 4 * (number - 1) + 2)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("labels_from", ["classifier", "kmeans"])
def test_scenes_larger_than_memory_are_drawn_as_without_the_kill(
    number: int, labels_from: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = recal(labels_from=labels_from)
    wanted = trainer(make, small_memory()).train()
    with monkeypatch.context() as patch:
        kill_after_checkpoint(patch, number)
        with pytest.raises(Killed):
            trainer(make, small_memory(), tmp_path).train()
    assert_same(trainer(make, small_memory(), tmp_path).train(resume=True), wanted)


def test_a_phase_that_ended_early_does_not_go_on_after_a_resume(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> Method:
        return recal(epochs=9, learning_rate=1e-9)()

    wanted = trainer(make, samples, patience=2, tolerance=10.0).train()
    assert len(wanted.history) == 3
    with monkeypatch.context() as patch:
        kill_after_checkpoint(patch, 3)
        with pytest.raises(Killed):
            trainer(make, samples, tmp_path, patience=2, tolerance=10.0).train()
    assert_same(trainer(make, samples, tmp_path, patience=2, tolerance=10.0).train(resume=True), wanted)


def test_resuming_without_a_checkpoint_starts_from_the_beginning(samples: SceneSamples, tmp_path: Path) -> None:
    assert_same(trainer(recal(), samples, tmp_path).train(resume=True), trainer(recal(), samples).train())


# checkpoints that do not fit


def leave_checkpoint(samples: SceneSamples, folder: Path, patch: pytest.MonkeyPatch, **options: Any) -> Path:
    with patch.context() as patched:
        kill_after_checkpoint(patched, 1)
        with pytest.raises(Killed):
            trainer(recal(), samples, folder, **options).train()
    return folder / "c.safetensors"


def test_a_checkpoint_of_other_settings_is_refused_by_name(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_checkpoint(samples, tmp_path, monkeypatch, identity={"batch": 20})
    with pytest.raises(UsageError, match=r"other settings \(batch, seed\)"):
        trainer(recal(), samples, tmp_path, identity={"batch": 30}, seed=3).train(resume=True)
    with pytest.raises(UsageError, match=r"other settings \(scenes\)"):
        trainer(recal(), samples, tmp_path, identity={"batch": 20, "scenes": ["a"]}).train(resume=True)


def test_a_checkpoint_of_other_settings_is_ignored_when_not_strict(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_checkpoint(samples, tmp_path, monkeypatch)
    found = trainer(recal(), samples, tmp_path, seed=3).train(resume=True, strict=False)
    assert_same(found, trainer(recal(), samples, seed=3).train())


@pytest.mark.parametrize("length", [0, 5, 100, -100])
def test_a_truncated_checkpoint_is_refused(
    length: int, samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave_checkpoint(samples, tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match="is not a checkpoint of rsseg, or it is damaged"):
        trainer(recal(), samples, tmp_path).train(resume=True)
    found = trainer(recal(), samples, tmp_path).train(resume=True, strict=False)
    assert_same(found, trainer(recal(), samples).train())


def test_a_checkpoint_is_whole_at_any_time(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = leave_checkpoint(samples, tmp_path, monkeypatch)
    _, notes = load_tensors(path, "checkpoint")
    assert notes["progress"]["phase"] == "train" and notes["progress"]["epochs_done"] == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c.safetensors", "h.jsonl"]


# seeds


def test_one_seed_gives_one_result_and_another_another(samples: SceneSamples) -> None:
    first = trainer(recal(), samples, seed=4).train()
    torch.rand(7)  # whatever was drawn before does not matter
    assert_same(trainer(recal(), samples, seed=4).train(), first)
    other = trainer(recal(), samples, seed=5).train().method.network.state_dict()
    assert not torch.equal(other["head.linear.weight"], first.method.network.state_dict()["head.linear.weight"])


def test_the_history_file_does_not_change_the_result(samples: SceneSamples, tmp_path: Path) -> None:
    assert_same(trainer(recal(), samples, tmp_path).train(), trainer(recal(), samples).train())


# scripted scores and losses


class ScriptedPhase(Phase):
    """Three steps an epoch with given losses."""

    name = "scripted"

    def __init__(self, epochs: int, losses: Iterator[float]) -> None:
        self.weight = nn.Parameter(torch.zeros(1))
        self.epochs, self.losses = epochs, losses
        self.optimiser = torch.optim.SGD([self.weight], lr=0.1)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        return shuffled(count, count // 3, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        return torch.tensor(next(self.losses))


class Scripted(Method):
    """A network of centres that tell which run made them, and given scores."""

    def __init__(self, mark: float, scores: Iterator[float], epochs: int, losses: Iterator[float]) -> None:
        self.network = PatchNetwork(PatchNetworkSpec(features="mean", head="centres"), 3, 8, 4)
        self.network.head.centres.fill_(mark)  # type: ignore[union-attr]
        self.phases, self.scores = [ScriptedPhase(epochs, losses)], scores

    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        return next(self.scores), {"clusters_used": 4, "largest_share": 0.3}


def endless(*values: float) -> Iterator[float]:
    """The values, the last one for ever."""
    yield from values
    while True:
        yield values[-1]


@pytest.mark.parametrize(("scores", "best"), [([-1.0, -3.0, -2.0], 1), ([-5.0, -3.0, -2.0], 0), ([0.0, 0.0, -1.0], 2)])
def test_restarts_keep_the_run_of_the_lowest_score(samples: SceneSamples, scores: list[float], best: int) -> None:
    runs = iter(range(3))

    def make() -> Method:
        run = next(runs)
        return Scripted(run, endless(scores[run]), 1, endless(0.0))

    trained = trainer(make, samples, restarts=3).train()
    assert (trained.run, trained.score) == (best, scores[best])
    assert set(trained.method.network.head.centres.ravel().tolist()) == {float(best)}  # type: ignore[union-attr]
    assert [row["run"] for row in trained.history] == [0, 1, 2]


def test_patience_ends_a_phase_that_gets_no_better(samples: SceneSamples) -> None:
    scores = endless(-1.0, -2.0, -2.0005, -2.0006, -1.9)  # gains below the tolerance are none
    trained = trainer(lambda: Scripted(0, scores, 50, endless(0.0)), samples, patience=3, tolerance=1e-3).train()
    assert len(trained.history) == 5


def test_patience_counts_from_the_last_gain(samples: SceneSamples) -> None:
    scores = endless(-1.0, -0.9, -1.1, -1.0, -1.2, -1.1)
    trained = trainer(lambda: Scripted(0, scores, 50, endless(0.0)), samples, patience=2).train()
    assert len(trained.history) == 7


def test_patience_of_zero_never_ends_a_phase(samples: SceneSamples) -> None:
    trained = trainer(lambda: Scripted(0, endless(-1.0), 9, endless(0.0)), samples, patience=0).train()
    assert len(trained.history) == 9


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(samples: SceneSamples, tmp_path: Path, value: float) -> None:
    losses = endless(0.1, 0.2, 0.3, 0.4, value, 0.5)
    started = trainer(lambda: Scripted(0, endless(-1.0), 9, losses), samples, tmp_path)
    with pytest.raises(TrainingError, match=r"not finite at step 2 of epoch 2 \(phase scripted\)"):
        started.train()
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 1


def test_a_score_that_is_not_finite_stops(samples: SceneSamples) -> None:
    started = trainer(lambda: Scripted(0, endless(-1.0, math.nan), 9, endless(0.0)), samples)
    with pytest.raises(TrainingError, match="not finite at step 3 of epoch 2"):
        started.train()


def test_a_learning_rate_that_diverges_is_said(samples: SceneSamples) -> None:
    with pytest.raises(TrainingError, match="try a smaller learning_rate"):
        trainer(recal(learning_rate=1e30, epochs=20), samples).train()


def test_no_run_is_an_error(samples: SceneSamples) -> None:
    with pytest.raises(TrainingError, match="at least 1"):
        trainer(recal(), samples, restarts=0).train()


# what is written and said


def test_the_history_has_a_row_an_epoch(samples: SceneSamples, tmp_path: Path) -> None:
    trained = trainer(recal(), samples, tmp_path, restarts=2).train()
    rows = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert rows == trained.history
    assert [(row["run"], row["epoch"], row["phase"]) for row in rows] == [
        (run, epoch, "train") for run in (0, 1) for epoch in (1, 2, 3)
    ]
    for row in rows:
        assert row["steps"] == len(samples) // 20
        assert -math.log(4) <= row["loss"] <= math.log(4) and -math.log(4) <= row["score"] <= math.log(4)
        assert 1 <= row["clusters_used"] <= 4 and 0 <= row["balance"] <= 1


def test_training_lowers_the_loss(samples: SceneSamples) -> None:
    trained = trainer(recal(epochs=8, learning_rate=0.05), samples).train()
    assert trained.history[-1]["loss"] < trained.history[0]["loss"] - 0.05


def test_every_epoch_of_scenes_larger_than_memory_is_another_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    complete = SceneSamples.redraw
    samples = small_memory()
    monkeypatch.setattr(SceneSamples, "redraw", lambda self, epoch: (drawn.append(epoch), complete(self, epoch))[1])
    trainer(recal(), samples).train()
    assert drawn[:4] == [0, 0, 1, 2]  # the fixed sample, then the epochs


@pytest.mark.parametrize(
    ("shares", "collapsed"),
    [
        ({"clusters_used": 4, "largest_share": 0.4}, False),
        ({"clusters_used": 1, "largest_share": 1.0}, True),
        ({"clusters_used": 4, "largest_share": 0.96}, True),
    ],
)
@pytest.mark.filterwarnings("error::rsseg.errors.CollapseWarning")
def test_a_collapse_is_said(samples: SceneSamples, shares: dict[str, float], collapsed: bool) -> None:
    class Collapsing(Scripted):
        def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
            return -1.0, shares

    started = trainer(lambda: Collapsing(0, endless(0.0), 1, endless(0.0)), samples)
    if not collapsed:
        started.train()
        return
    with pytest.warns(CollapseWarning, match="clustering collapsed"):
        started.train()


def test_kmeans_reports_its_fitted_clusters(samples: SceneSamples) -> None:
    make = lambda: build("kmeans", settings_of("kmeans", classes=4, patch=8, features="mean"), 3)  # noqa: E731
    trained = trainer(make, samples).train()
    assert trained.shares["clusters_used"] == 4 and trained.shares["largest_share"] < 0.6
    assert trained.history == [] and trained.score > 0


def test_labels_from_kmeans_report_the_clusters_that_label(samples: SceneSamples) -> None:
    trained = trainer(recal(labels_from="kmeans"), samples).train()
    labels = trained.method.network.predict(samples.gather(torch.arange(len(samples))))[0].argmax(dim=1)
    assert trained.method.network.spec.head == "centres"
    assert trained.shares == cluster_shares(labels, 4)


def test_a_single_patch_is_too_few() -> None:
    lone = samples_of(scene_of(blocks_scene(8, 8, block=4)[0]))
    with pytest.raises(TrainingError, match="two or more patches"):
        trainer(recal(), lone).train()


def test_stored_statistics_are_the_average_over_the_sample(samples: SceneSamples) -> None:
    network = PatchNetwork(PatchNetworkSpec(features="vgg16-bn", head="entropy"), 3, 8, 4)
    batches = [samples.gather(torch.arange(first, first + 20)) for first in (0, 20, 40)]
    settle(network, batches)
    first = network.features.layers[0]  # type: ignore[union-attr,index]
    with torch.no_grad():
        means = torch.stack([first(batch).mean(dim=(0, 2, 3)) for batch in batches]).mean(dim=0)
    stored = network.features.layers[1]  # type: ignore[union-attr,index]
    torch.testing.assert_close(stored.running_mean, means, rtol=1e-4, atol=1e-5)
    assert stored.momentum == 0.1


def test_bfloat16_trains(samples: SceneSamples) -> None:
    trained = trainer(recal(epochs=1), samples, precision="bf16").train()
    assert all(tensor.dtype != torch.bfloat16 for tensor in trained.method.network.state_dict().values())


def test_cluster_shares_tell_a_collapse() -> None:
    assert cluster_shares(torch.tensor([2, 2, 2]), 4) == {"clusters_used": 1, "largest_share": 1.0, "balance": 0.0}
    even = cluster_shares(torch.arange(4), 4)
    assert even == {"clusters_used": 4, "largest_share": 0.25, "balance": 1.0}


# what methods with more than a network and a loss ask of training


class WithAuxiliary(TwoPhases):
    """An auxiliary head beside the network, a cache made at the start of an epoch, and a phase that is not judged."""

    def __init__(self) -> None:
        super().__init__()
        self.auxiliary = nn.Linear(3, 2)
        first = self.phases[0]
        first.optimiser = torch.optim.Adam([*self.network.parameters(), *self.auxiliary.parameters()], lr=1e-3)
        first.patient, first.epochs = False, 4
        complete = first.step
        self.started: list[int] = []
        first.start_of_epoch = lambda samples, epoch: self.started.append(epoch)  # type: ignore[method-assign]

        def step(samples: Samples, indices: Tensor) -> Tensor:
            (self.auxiliary(samples.gather(indices).mean(dim=(2, 3))) ** 2).mean().backward()
            return complete(samples, indices)

        first.step = step  # type: ignore[method-assign]

    @property
    def module(self) -> nn.Module:
        return nn.ModuleDict({"network": self.network, "auxiliary": self.auxiliary})

    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        return 0.0, super().score(sample)[1]


def test_a_phase_that_is_not_judged_runs_to_its_end(samples: SceneSamples) -> None:
    trained = trainer(WithAuxiliary, samples, patience=1).train()
    assert [row["phase"] for row in trained.history] == ["all"] * 4 + ["head"] * 2
    assert trained.method.started == [0, 1, 2, 3]  # type: ignore[attr-defined]


def test_auxiliary_heads_are_resumed_too(
    samples: SceneSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trainer(WithAuxiliary, samples).train()
    with monkeypatch.context() as patch:
        kill_after_checkpoint(patch, 2)
        with pytest.raises(Killed):
            trainer(WithAuxiliary, samples, tmp_path).train()
    resumed = trainer(WithAuxiliary, samples, tmp_path).train(resume=True)
    for name, tensor in whole.method.module.state_dict().items():
        assert torch.equal(tensor, resumed.method.module.state_dict()[name]), name


def test_every_epoch_is_told(samples: SceneSamples) -> None:
    rows: list[Mapping[str, Any]] = []
    made = Trainer(
        recal(), samples, TrainingSettings(patience=0), CPU, on_epoch=lambda method, row: rows.append(dict(row))
    )
    assert made.train().history == rows and len(rows) == 3


def test_a_run_ends_when_its_time_is_up(samples: SceneSamples) -> None:
    trained = trainer(recal(epochs=10**6), samples, seconds=0.5).train()
    assert 1 <= len(trained.history) < 10**5 and math.isfinite(trained.score)
