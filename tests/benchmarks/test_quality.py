"""The diagnosis of quality: what a label map is worth, which runs are made, and that what was made is kept."""

import importlib
import importlib.util
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import write_reference, write_scene

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
CLASSES = ("water", "forest", "town")


@pytest.fixture
def scores() -> Any:
    return importlib.import_module("quality_scores")


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script; the tests' own module of scenes has the name of the one that it imports."""
    spec = importlib.util.spec_from_file_location("scenes", BENCHMARKS / "scenes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "scenes", module)
    for name in ("quality", "quality_jobs"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("quality")


def array(*rows: str) -> NDArray[np.uint8]:
    return np.array([[int(value) for value in row] for row in rows], np.uint8)


def test_scores_of_a_map_that_was_counted_by_hand(scores: Any) -> None:
    reference = array("1112", "1112", "3330")
    labels = array("5544", "5544", "4409")
    found = scores.scored(labels, reference, CLASSES, dense=False)
    assert found["pixels"] == 10 and found["cluster_pixels"] == [6, 4, 1]
    # cluster 5 is all water (4); cluster 4 has 2 of each class and goes to the first, or to forest one to one
    assert found["many_to_one"] == pytest.approx(6 / 10) and found["one_to_one"] == pytest.approx(6 / 10)
    assert found["by_class"]["water"] == {"pixels": 6, "recall": 1.0, "iou": 0.6}
    assert found["by_class"]["town"] == {"pixels": 2, "recall": 0.0, "iou": 0.0}
    assert found["mean_iou"] == pytest.approx(0.2) and "by_distance" not in found


def test_splitting_a_class_costs_one_to_one_alone(scores: Any) -> None:
    reference = array("1122", "1122", "3333")
    split = array("1233", "1233", "4444")
    found = scores.scored(split, reference, CLASSES, dense=True)
    assert found["many_to_one"] == found["mean_iou"] == 1.0 and found["one_to_one"] == pytest.approx(10 / 12)
    assert all(not group["error"] for group in found["by_distance"].values())


def test_scores_do_not_depend_on_the_numbers_of_clusters(scores: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 6, (30, 40)).astype(np.uint8)
    reference = rng.integers(0, 4, (30, 40)).astype(np.uint8)
    renamed = np.array([0, 77, 3, 255, 1, 9], np.uint8)[labels]
    first, second = (scores.scored(each, reference, CLASSES, dense=True) for each in (labels, renamed))
    assert first.pop("nmi") == pytest.approx(second.pop("nmi")) and first == second


def slow_distance(reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Each pixel against every other."""
    found = np.full(reference.shape, np.nan)
    known = np.argwhere(reference > 0)
    for row, col in known:
        others = [place for place in known if reference[tuple(place)] != reference[row, col]]
        found[row, col] = min((math.dist((row, col), place) for place in others), default=math.inf) - 1
    return found


def test_distances_to_boundaries_are_those_of_a_slow_loop(scores: Any) -> None:
    rng = np.random.default_rng(1)
    reference = np.kron(rng.integers(0, 4, (3, 4)), np.ones((5, 4), int)).astype(np.uint8)
    np.testing.assert_allclose(scores.boundary_distance(reference), slow_distance(reference))
    alone = array("0110", "0110")
    np.testing.assert_array_equal(scores.boundary_distance(alone), slow_distance(alone))


def test_errors_are_told_by_their_distance_to_the_boundary(scores: Any) -> None:
    reference = np.repeat(array("1" * 10 + "2" * 10), 3, axis=0)
    answered = reference.copy()
    answered[:, 8:10] = 2  # the two columns beside the boundary
    answered[0, 0] = 0  # nine columns from it
    labels = np.ones_like(reference)
    labels[1, 0] = 0  # a pixel without a label counts nowhere
    found = scores.error_by_distance(answered, labels, reference)
    assert [(group["pixels"], group["error"]) for group in found.values()] == [
        (12, 0.5),
        (12, 0.0),
        (24, 0.0),
        (11, pytest.approx(1 / 11)),
    ]
    assert list(found) == ["0-1", "2-3", "4-7", "8+"]


def test_every_pixel_lies_at_one_distance(scores: Any) -> None:
    """Between whole distances too: a diagonal step is 1.4 pixels."""
    reference = np.ones((40, 40), np.uint8)
    reference[20, 20], reference[:5, 30:] = 2, 0
    found = scores.error_by_distance(reference, reference, reference)
    assert sum(group["pixels"] for group in found.values()) == np.count_nonzero(reference)


def test_the_majority_filter_is_that_of_a_slow_loop(scores: Any) -> None:
    labels = np.random.default_rng(2).integers(0, 4, (9, 12)).astype(np.uint8)
    padded, expected = np.pad(labels, 2, mode="edge"), np.zeros_like(labels)
    for row, col in np.argwhere(labels > 0):
        counts = np.bincount(padded[row : row + 5, col : col + 5].ravel(), minlength=4)[1:]
        expected[row, col] = 1 + counts.argmax()
    assert scores.majority_filtered(labels, 5).tolist() == expected.tolist()


def test_jobs_that_differ_in_labelling_only_share_a_training(quality: Any) -> None:
    wanted = quality.jobs("patch", ["nc"], 1)
    eight = [job for job in wanted if job.model == "recal" and job.varied["patch"] == 8]
    assert [job.label_stride for job in eight] == [2, 4, 8]
    assert len({job.training for job in eight}) == 1 and len({job.key for job in wanted}) == len(wanted)
    assert all(job.label_stride <= job.settings["patch"] for job in wanted)


def test_runs_that_answer_several_questions_are_made_once(quality: Any) -> None:
    plain = {job.key for job in quality.jobs("seeds", ["nc"], 1)}
    for part in ("patch", "normalisation", "length", "majority"):
        shared = plain & {job.key for job in quality.jobs(part, ["nc"], 1)}
        assert shared, part
    assert {job.settings.get("merge_to", job.settings["classes"]) for job in quality.jobs("seeds", ["nc"], 1)} == {15}


@pytest.fixture
def scene(quality: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small scene, in place of the real ones."""
    data = tmp_path / "data"
    write_scene(data / "small.tif")
    write_reference(data / "small.gpkg")
    known = {"small": ("small.tif", ["small.gpkg", "--field", "class"], 3)}
    monkeypatch.setattr(quality, "SCENES", known)
    monkeypatch.setattr(quality, "DATA", data)
    return data


ARGUMENTS = ["--scenes", "small", "--models", "kmeans", "--parts", "normalisation"]


def test_maps_are_kept_with_their_scores_and_not_made_again(
    quality: Any, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    quality.main(["--keep", str(kept), *ARGUMENTS])
    said = capsys.readouterr()
    rows = json.loads((kept / "index.json").read_text())
    assert [row["settings"].get("normalise") for row in rows] == [None, "range"] and "[1/2]" in said.err
    assert rows[0]["many_to_one"] > 0.95 and rows[0]["score"] > 0 and (kept / rows[0]["map"]).is_file()
    assert {len(row["cluster_pixels"]) for row in rows} == {15}
    widths = [line.count("|") for line in said.out.splitlines() if line.startswith("| small | kmeans | 15 |")]
    assert len(widths) == 2 and f"| {rows[0]['many_to_one']:.3f} | +0.000 |" in said.out
    times = {path: path.stat().st_mtime_ns for path in kept.glob("*.tif")}
    quality.main(["--keep", str(kept), *ARGUMENTS])
    assert times == {path: path.stat().st_mtime_ns for path in kept.glob("*.tif")}
    assert capsys.readouterr().out == said.out == (kept / "tables.md").read_text() + "\n"


def test_filtered_maps_are_compared_with_the_plain_one(quality: Any, scene: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    quality.main(["--keep", str(kept), "--scenes", "small", "--parts", "majority"])
    rows = json.loads((kept / "index.json").read_text())
    assert [row["majority"] for row in rows] == [1, 3, 5, 7, 9] and len({row["map"] for row in rows}) == 5
    assert rows[0]["score"] == rows[4]["score"] and rows[0]["nmi"] < rows[4]["nmi"]
    assert (kept / "tables.md").read_text().count("| small | kmeans | 15 | ") == 5


def test_a_run_that_is_refused_is_told_and_others_go_on(quality: Any, scene: Path, tmp_path: Path) -> None:
    kept = quality.Kept(tmp_path / "kept")
    base = importlib.import_module("quality_jobs").base
    wanted = [quality.Job("small", "kmeans", settings) for settings in (base("kmeans", patch=64), base("kmeans"))]
    quality.measure(wanted, kept, scene, math.inf)
    assert "error" in kept.rows[wanted[0].key] and kept.rows[wanted[1].key]["many_to_one"] > 0.95
    text = quality.part_tables("seeds", kept.of(wanted), kept.rows.values())
    assert f"- {wanted[0].key}: " in text and text.count("| small | kmeans |") == 1


def test_no_training_begins_when_the_time_is_over(
    quality: Any, scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quality.main(["--keep", str(tmp_path / "kept"), "--minutes", "0", *ARGUMENTS])
    assert "2 trainings were left out" in capsys.readouterr().err
    assert not list((tmp_path / "kept").glob("*.tif"))
