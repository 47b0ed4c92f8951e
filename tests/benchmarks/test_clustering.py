"""The clustering benchmark: what it measures, that measuring changes nothing, and what it writes."""

import importlib
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rsseg.learn.methods import METHODS, settings_of
from rsseg.learn.methods.kmeans import KmeansSettings
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning"),
]


@pytest.fixture
def runs() -> Any:
    return importlib.import_module("runs")


@pytest.fixture
def clustering() -> Any:
    return importlib.import_module("clustering")


def shapes(count: int = 60, size: int = 12, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noisy images of three kinds: a bar, a column, a frame."""
    rng = np.random.default_rng(seed)
    clean = np.full((3, size, size), 30.0)
    clean[0, size // 3 : size // 2], clean[1, :, size // 3 : size // 2] = 200, 200
    clean[2, [0, -1]] = clean[2, :, [0, -1]] = 200
    truth = np.arange(count) % 3
    return np.clip(clean[truth] + rng.normal(0, 12, (count, size, size)), 0, 255).astype(np.uint8), truth


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    images, truth = shapes()
    np.savez(tmp_path / "shapes.npz", images=images, labels=truth)
    return tmp_path / "shapes.npz"


def task_of(runs: Any, method: str = "ddc", **options: Any) -> Any:
    datasets = importlib.import_module("datasets")
    images, truth = shapes()
    made = datasets.ImageSet("shapes", images[:, None], truth, ("bar", "column", "frame"))
    defaults = {"classes": 3, "patch": 12, "epochs": 2, "batch": 20} if method == "ddc" else {"classes": 3, "patch": 12}
    return runs.Task.of(method, settings_of(method, **{**defaults, **options}), made, CPU)


def run_of(runs: Any, labels: list[int], score: float) -> Any:
    return runs.Run(0, score, 0.0, {}, "epochs", {}, [], [], np.array(labels), None)


def test_measures_do_not_depend_on_the_clusters_numbers(runs: Any) -> None:
    truth = np.array([0, 0, 1, 1, 2, 2, -1])
    found = runs.measures(np.array([2, 2, 0, 0, 1, 1, 2]), truth, 3)
    assert found["accuracy"] == 100
    assert found["nmi"] == pytest.approx(1)
    assert found["largest_share"] == pytest.approx(1 / 3)  # the image without a class does not count


def test_accuracy_is_that_of_the_best_permutation(runs: Any) -> None:
    rng = np.random.default_rng(3)
    labels, truth = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    best = max((np.array(order)[labels] == truth).mean() for order in itertools.permutations(range(4)))
    assert runs.measures(labels, truth, 4)["accuracy"] == pytest.approx(100 * best)


def test_a_vote_aligns_clusters_and_leaves_out_worse_runs(runs: Any) -> None:
    best, renumbered = [0, 0, 0, 1, 1, 1, 2, 2, 2], [2, 2, 2, 0, 0, 0, 1, 1, 1]
    one_wrong = [2, 2, 0, 0, 0, 0, 1, 1, 1]
    worst = run_of(runs, [0] * 9, 5.0)
    found = runs.voted([worst, run_of(runs, one_wrong, 0.1), run_of(runs, best, 0.2), run_of(runs, renumbered, 0.3)], 3)
    assert found.tolist() == renumbered  # in the numbers of the best run, with its mistake outvoted


def test_where_all_voters_differ_the_best_decides(runs: Any) -> None:
    clear = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    answers = [[*clear, 2], [*clear, 1], [*clear, 0]]
    found = runs.voted([run_of(runs, labels, score) for labels, score in zip(answers, (0.3, 0.1, 0.2), strict=True)], 3)
    assert found.tolist() == [*clear, 1]


def test_following_a_run_does_not_change_it(runs: Any) -> None:
    task = task_of(runs)
    watched, alone = (runs.train_once(task, 1, None, every) for every in (1, 0))
    assert watched.score == alone.score
    assert np.array_equal(watched.labels, alone.labels)
    assert [row["epoch"] for row in watched.curve] == [1, 2]
    assert {"nmi", "accuracy", "score", "after_seconds"} <= watched.curve[0].keys()
    assert alone.curve == []
    assert (watched.epochs, watched.ended_by) == ({"train": 2}, "epochs")


def test_runs_differ_by_their_seed_alone(runs: Any) -> None:
    task = task_of(runs, epochs=1)
    first, again, other = (runs.train_once(task, seed, None, 0) for seed in (0, 0, 1))
    assert first.score == again.score
    assert first.score != other.score


def test_a_run_that_is_out_of_time_is_scored_as_it_is(runs: Any) -> None:
    found = runs.train_once(task_of(runs, epochs=500), 0, 0.05)
    assert found.ended_by == "budget"
    assert found.epochs["train"] < 500
    assert len(found.labels) == 60


def test_phases_share_the_time_of_a_run(runs: Any) -> None:
    phases = [SimpleNamespace(name=name, epochs=10) for name in ("first", "second")]
    method = SimpleNamespace(phases=phases)
    observer = runs.Observer(task_of(runs), 0, seconds=100.0)
    for epoch in (1, 2, 3):
        observer(method, {"phase": "first", "epoch": epoch, "seconds": 20.0})
    assert [phase.epochs for phase in phases] == [3, 10]
    assert observer.ended_by == "budget"


def test_every_sub_head_is_measured_and_the_choice_stays(runs: Any) -> None:
    torch.manual_seed(0)
    task = task_of(runs)
    network = PatchNetwork(PatchNetworkSpec(features="pixels", head="sub-heads", heads=3), 1, 12, 3).eval()
    network.head.chosen.fill_(2)
    found = runs.sub_heads(task, network)
    with torch.no_grad():
        answers = network.head.all(network.embed(task.samples.gather(torch.arange(60)))).argmax(dim=2).numpy()
    assert [row["accuracy"] for row in found] == [runs.measures(a, task.images.truth, 3)["accuracy"] for a in answers]
    assert len({row["nmi"] for row in found}) > 1
    assert int(network.head.chosen) == 2


def test_the_mean_has_the_sample_s_deviation(runs: Any) -> None:
    found = runs.spread([{"nmi": 0.2, "accuracy": 50.0}, {"nmi": 0.4, "accuracy": 50.0}])
    assert found["nmi"] == pytest.approx((0.3, np.sqrt(0.02)))
    assert found["accuracy"] == (50.0, 0.0)
    assert runs.spread([{"nmi": 0.2, "accuracy": 50.0}])["nmi"] == 0.2


def test_a_benchmark_in_one_command(
    clustering: Any, stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    options = ["--runs", "3", "--vote", "--features", "--probe", "--set", "epochs=2", "batch=20", "--drop", "1=0.5"]
    clustering.main(["ddc", str(stored), "--json", str(out), *options])
    printed, report = capsys.readouterr(), json.loads(out.read_text())
    assert [run["seed"] for run in report["runs"]] == [0, 1, 2]
    assert report["class_sizes"] == [20, 10, 20]
    assert report["settings"]["batch"] == 20
    assert report["settings"]["patch"] == 12
    best = min(report["runs"], key=lambda run: run["score"])
    assert report["summary"]["best_by_loss"] == best["measures"]
    assert report["summary"]["kmeans_pixels"]["accuracy"] == 100  # the kinds are plain to see
    wanted = {"mean", "vote", "kmeans_features", "kmeans_untrained", "svm", "network"}
    assert wanted <= report["summary"].keys()
    assert sum(best["clusters"]) == 50
    header, _, *rows = printed.out.splitlines()
    assert header.startswith("| ddc on shapes |")
    assert all(row.count("|") == header.count("|") for row in rows[:2])
    assert "Kept of classes: 1 50%" in printed.out
    assert "No paper reports ddc" in printed.out
    assert printed.err.count("run ") == 3


def test_a_budget_is_shared_by_the_runs_and_reported(
    clustering: Any, stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    clustering.main(
        ["ddc", str(stored), "--json", str(out), "--runs", "2", "--budget", "0.002", "--set", "epochs=9999"]
    )
    assert [run["ended_by"] for run in json.loads(out.read_text())["runs"]] == ["budget", "budget"]
    assert "2 of 2 runs were ended by the budget; epochs at least: train" in capsys.readouterr().out


def test_images_take_another_size_when_asked(clustering: Any, stored: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    clustering.main(["kmeans", str(stored), "--json", str(out), "--size", "8", "--fit", "crop"])
    report = json.loads(out.read_text())
    assert report["images"] == [60, 1, 8, 8]
    assert report["runs"][0]["epochs"] == {}


class Dense(KmeansSettings):
    dense = True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dense", "mnist"], "labels pixels, not whole images; choose one of recal"),
        (["recall", "mnist"], "no method is called 'recall'"),
        (["ddc", "mnist", "--set", "bach=3"], "has no setting 'bach'"),
        (["ddc", "mnist", "--set", "patch=3"], "--size"),
        (["ddc", "mnist", "--set", "denoise=true"], "leave channels and denoise out"),
        (["ddc", "nowhere.npz"], "no data set 'nowhere.npz'"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(
    clustering: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setitem(METHODS, "dense", (Dense, None))
    with pytest.raises(SystemExit) as stop:
        clustering.main([*arguments, "--json", str(tmp_path / "out.json")])
    assert stop.value.code in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("text", ["a", "a=many", "a=1.5"])
def test_a_share_is_a_number_up_to_one(clustering: Any, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        clustering.parsed(["ddc", "mnist", "--json", "out", "--drop", text])
    assert "--drop" in capsys.readouterr().err


def test_every_protocol_s_settings_are_the_method_s(clustering: Any) -> None:
    protocols = importlib.import_module("protocols")
    datasets = importlib.import_module("datasets")
    for (method, data), protocol in protocols.PROTOCOLS.items():
        assert data in datasets.NAMED
        assert set(protocol.published) <= set(protocols.COLUMNS)
        assert protocol.reports in protocol.published
        if method in METHODS:
            size = protocol.steps[-1][1] if protocol.steps else 32
            settings_of(method, **protocol.settings, classes=10, patch=size)


def test_a_table_shows_the_paper_above_the_measurement(clustering: Any) -> None:
    reporting = importlib.import_module("reporting")
    report = {
        "method": "ddc",
        "data": "mnist",
        "images": [9, 1, 4, 4],
        "classes": 3,
        "runs": [{"seconds": 2.0, "seed": 0, "epochs": {"train": 7}}],
        "summary": {"mean": {"nmi": [0.5, 0.1], "accuracy": [60.0, 2.0]}, "kmeans_pixels": {"nmi": 0.25}},
        "protocol": {"reports": "mean", "published": {"mean": {"accuracy": (70.0, 1.5)}}},
        "notes": ["A note."],
        "cpu": "made",
        "threads": 1,
        "torch": "2",
        "date": "2026-01-01",
    }
    lines = reporting.markdown(report).splitlines()
    assert lines[2] == "| NMI, ours | 0.500 ± 0.100 |  | 0.250 | 2 |"
    assert lines[3] == "| accuracy, %, paper | 70.0 ± 1.5 |  |  | |"
    assert lines[4] == "| accuracy, %, ours | 60.0 ± 2.0 |  |  | 2 |"
    assert lines[-1] == "- A note."


def test_probes_tell_features_that_separate_from_noise() -> None:
    features = importlib.import_module("features")
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    clear = np.eye(3)[truth] + rng.normal(0, 0.05, (300, 3))
    found = features.probe(clear, truth, 200, 0)
    assert (found["svm"], found["network"]) == (100, 100)
    assert "200 for training, 100 for testing" in found["split"]
    noise = features.probe(rng.normal(size=(300, 3)), truth, 0, 0)
    assert noise["svm"] < 60
    assert "240" in noise["split"]


def test_kmeans_of_wide_features_is_fitted_on_a_part_and_labels_all() -> None:
    features = importlib.import_module("features")
    vectors = np.repeat(np.eye(4, dtype=np.float32), 25, axis=0)
    labels, count = features.kmeans_labels(vectors, 4, 0, values=160)
    assert count == 40
    assert len(set(labels[::25])) == 4
    assert all(len(set(part)) == 1 for part in labels.reshape(4, 25))
