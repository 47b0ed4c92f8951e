"""The table of models on scenes: what each cell is measured by, and that a run writes it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from labelmaps import write_map
from scenes import write_reference, write_scene
from scipy.optimize import linear_sum_assignment

from rsseg.pipeline.plan import Machine
from rsseg.pipeline.stages.cross_scene import CrossScene, cross_scene
from rsseg.pipeline.stages.run import run

KMEANS = {"method": "kmeans", "classes": 3, "starts": 2}


def slow_recovered(own: np.ndarray, other: np.ndarray) -> float:
    """Mean over the classes of ``own`` of the Jaccard similarity with the cluster of ``other`` matched to it."""
    valid = (own > 0) & (other > 0)
    classes, clusters = np.unique(own[valid]), np.unique(other[valid])
    scores = np.array(
        [
            [(valid & (own == i) & (other == j)).sum() / (valid & ((own == i) | (other == j))).sum() for j in clusters]
            for i in classes
        ]
    )
    return float(scores[linear_sum_assignment(scores, maximize=True)].sum() / len(classes))


def table(path: Path) -> list[list[str]]:
    return list(csv.reader(path.open(encoding="utf-8")))


def test_cells_hold_accuracy_or_what_the_other_model_finds_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    own = rng.integers(0, 5, (30, 40)).astype(np.uint8)
    other = np.where(rng.random((30, 40)) < 0.3, 1, np.array([0, 3, 1, 2, 2], np.uint8)[own])
    first, second = write_map(tmp_path / "own.tif", own), write_map(tmp_path / "other.tif", other)
    scored = tmp_path / "evaluation.json"
    scored.write_text(
        json.dumps(
            {"assignments": {"many-to-one": {"overall_accuracy": 0.9}, "one-to-one": {"overall_accuracy": 0.75}}}
        )
    )
    cells = [
        CrossScene("a", "x", first, None, first),
        CrossScene("b", "x", second, None, first),
        CrossScene("a", "y", first, scored, second),
        CrossScene("c", "x", second),
    ]
    found = cross_scene(cells, ["a", "b", "c"], ["x", "y"], tmp_path / "cross_scene.csv")
    expected = slow_recovered(own, other)
    assert 0.2 < expected < 0.9
    assert found[:2, 0].tolist() == [1.0, pytest.approx(expected)] and found[0, 1] == 0.75
    assert np.isnan(found[[1, 2, 2], [1, 0, 1]]).all()
    assert table(tmp_path / "cross_scene.csv") == [
        ["rows models, columns scenes", "x (mean Jaccard with the scene's own model)", "y (accuracy)"],
        ["a", "1.000000", "0.750000"],
        ["b", f"{expected:.6f}", ""],
        ["c", "", ""],
    ]
    assert (tmp_path / "cross_scene.png").stat().st_size > 5000


def test_a_collapsed_map_finds_little_again(tmp_path: Path) -> None:
    own = np.repeat(np.array([[1, 2, 3, 4]], np.uint8), 8, axis=1)
    first, second = write_map(tmp_path / "own.tif", own), write_map(tmp_path / "other.tif", np.ones_like(own))
    cells = [CrossScene("a", "x", second, None, first)]
    assert cross_scene(cells, ["a"], ["x"], tmp_path / "t.csv")[0, 0] == 0.25 / 4


def test_maps_that_share_no_pixel_leave_the_cell_empty(tmp_path: Path) -> None:
    paths = [write_map(tmp_path / f"{i}.tif", np.array([[i, 1 - i]], np.uint8)) for i in (0, 1)]
    assert np.isnan(
        cross_scene([CrossScene("a", "x", paths[0], None, paths[1])], ["a"], ["x"], tmp_path / "t.csv")
    ).all()


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    return [write_scene(tmp_path / "A.tif"), write_scene(tmp_path / "B.tif", 40, 56, seed=5)]


def go(tmp_path: Path, scenes: list[Path], references: list[Path], **settings: object) -> list[str]:
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"models": {"k": {**KMEANS, **settings}}, "pictures": False}))
    result = run(
        str(path),
        scenes,
        tmp_path / "out",
        references=references,
        reference_field="class" if references else None,
        machine=Machine("cpu"),
    )
    return [stage["stage"] for stage in result.stages if stage["state"] == "ran"]


def test_a_run_writes_the_table_and_keeps_it_up_to_date(tmp_path: Path, scenes: list[Path]) -> None:
    assert go(tmp_path, scenes, [], train_on="each")[-1] == "cross-scene"
    lines = table(tmp_path / "out" / "cross_scene.csv")
    assert [line[0] for line in lines[1:]] == ["k_on_A", "k_on_B"]
    assert [line[at] for at, line in enumerate(lines[1:], 1)] == ["1.000000"] * 2
    assert 0 < float(lines[1][2]) <= 1 and lines[0][1] == "A (mean Jaccard with the scene's own model)"
    assert go(tmp_path, scenes, [], train_on="each") == []
    references = [write_reference(tmp_path / "A.gpkg"), write_reference(tmp_path / "B.gpkg", 40, 56, seed=5)]
    assert go(tmp_path, scenes, references, train_on="each")[-1] == "cross-scene"
    lines = table(tmp_path / "out" / "cross_scene.csv")
    assert lines[0][1:] == ["A (accuracy)", "B (accuracy)"]
    scored = json.loads((tmp_path / "out" / "B" / "evaluation" / "k_on_A" / "evaluation.json").read_text())
    assert float(lines[1][2]) == pytest.approx(scored["assignments"]["one-to-one"]["overall_accuracy"], abs=1e-6)


def test_models_of_all_scenes_or_of_their_own_have_no_table(tmp_path: Path, scenes: list[Path]) -> None:
    assert "cross-scene" not in go(tmp_path, scenes, [], train_on="together")
    assert "cross-scene" not in go(tmp_path, scenes, [], train_on="each", apply_to="own")
    assert not (tmp_path / "out" / "cross_scene.csv").exists()
