import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import UTM45, Run, grid_for, write_boxes, write_map, write_plain

from rsseg.label.maps import LabelMap
from rsseg.scene.grid import Grid

SHAPE = (60, 80)


@pytest.fixture
def truth() -> np.ndarray:
    """Four classes in quarters."""
    rows, cols = np.indices(SHAPE)
    return (1 + 2 * (rows >= 30) + (cols >= 40)).astype(np.uint8)


@pytest.fixture
def maps(tmp_path: Path, truth: np.ndarray) -> list[Path]:
    """Three maps of the truth with other numbers, 10 % noise and some no data."""
    rng = np.random.default_rng(3)
    paths = []
    for name, order in (("one", (0, 1, 2, 3, 4)), ("two", (0, 4, 3, 2, 1)), ("three", (0, 2, 5, 1, 3))):
        noisy = np.where(rng.random(SHAPE) < 0.1, rng.integers(1, 5, SHAPE), truth)
        noisy[rng.random(SHAPE) < 0.02] = 0
        paths.append(write_map(tmp_path / f"{name}.tif", np.array(order, np.uint8)[noisy]))
    return paths


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as opened:
        return opened.read(1)


def test_two_maps_are_matched_and_written(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    code, _, err = rsseg("consensus", *maps[:2], "-o", out)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [
        *("agreement.qml", "agreement.tif", "agreement.tif.aux.xml", "consensus.json"),
        *("jaccard_one_two.csv", "jaccard_one_two.png"),
    ]
    stored = json.loads((out / "consensus.json").read_text("utf-8"))
    pair = stored["pairs"][0]
    assert [(match["first"], match["second"]) for match in pair["matches"]] == [(1, 4), (2, 3), (3, 2), (4, 1)]
    one, two = read(maps[0]), read(maps[1])
    valid = (one > 0) & (two > 0)
    agreed = valid & (one == 5 - two.astype(int))
    assert stored["pixels"] == valid.sum()
    assert stored["agreement"] == pair["agreement"] == agreed.sum() / valid.sum()
    lines = list(csv.reader((out / "jaccard_one_two.csv").open(encoding="utf-8")))
    assert lines[0] == ["rows one, columns two", "cluster 4", "cluster 3", "cluster 2", "cluster 1"]
    assert [line[0] for line in lines[1:]] == ["cluster 1", "cluster 2", "cluster 3", "cluster 4"]
    first = ((one == 1) & (two == 4)).sum() / (((one == 1) | (two == 4)) & valid).sum()
    assert float(lines[1][1]) == pytest.approx(first, abs=1e-6)
    expected = np.where(agreed, one, 5)
    expected[~valid] = 0
    assert np.array_equal(read(out / "agreement.tif"), expected)
    with LabelMap(out / "agreement.tif") as opened:
        assert opened.names[5] == "disagree" and opened.names[1] == "cluster 1"


def test_three_maps_agree_and_are_counted(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    assert rsseg("consensus", *maps, "-o", out, "--names", "A,B,C")[0] == 0
    stored = json.loads((out / "consensus.json").read_text("utf-8"))
    assert [(pair["first"], pair["second"]) for pair in stored["pairs"]] == [("A", "B"), ("A", "C"), ("B", "C")]
    labels = [read(path) for path in maps]
    same = [np.array(order, np.uint8)[values] for order, values in zip(
        ((0, 1, 2, 3, 4, 0), (0, 4, 3, 2, 1, 0), (0, 3, 1, 4, 0, 2)), labels, strict=True)]  # fmt: skip
    valid = np.logical_and.reduce([values > 0 for values in labels])
    all_agree = valid & (same[0] == same[1]) & (same[1] == same[2])
    assert stored["pixels"] == valid.sum()
    assert stored["agreement"] == all_agree.sum() / valid.sum()
    count = read(out / "agreement_count.tif")
    pairs = [same[0] == same[1], same[0] == same[2], same[1] == same[2]]
    assert np.array_equal(count == 3, all_agree)
    assert np.array_equal(count == 1, valid & ~np.logical_or.reduce(pairs))
    assert np.array_equal(count == 0, ~valid)
    most = np.where((same[1] == same[2]) & (same[1] > 0), same[1], same[0])
    assert np.array_equal(read(out / "vote.tif"), most * valid)
    with LabelMap(out / "vote.tif") as vote:
        assert vote.names == {value: f"cluster {value}" for value in range(1, 5)}
    # every pair is compared over the same pixels, those that all three label
    assert {pair["pixels"] for pair in stored["pairs"]} == {int(valid.sum())}


def test_a_reference_scores_maps_intersections_and_majority(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    boxes = [(2, 2, 20, 30, "a"), (2, 45, 20, 30, "b"), (35, 2, 20, 30, "c"), (35, 45, 20, 30, "d")]
    reference = write_boxes(tmp_path / "r.gpkg", grid_for(SHAPE), boxes)
    out = tmp_path / "out"
    code, text, _ = rsseg("consensus", *maps, "-o", out, "--reference", reference, "--field", "class", "--json")
    assert code == 0
    found = json.loads(text)["reference"]
    assert found["classes"] == ["a", "b", "c", "d"]
    assert found["assigned"]["one-to-one"]["two"] == {"4": "a", "3": "b", "2": "c", "1": "d"}
    scores = {(item["assignment"], item["kind"], tuple(item["maps"])): item for item in found["scores"]}
    assert len(scores) == 2 * (3 + 3 + 1)
    one, two, three = (read(path) for path in maps)
    truth = np.zeros(SHAPE, np.uint8)
    for code_, (row, col, rows, cols, _) in enumerate(boxes, 1):
        truth[row : row + rows, col : col + cols] = code_
    known = (truth > 0) & (one > 0) & (two > 0) & (three > 0)
    assert sum(found["pixels"]) == known.sum()
    assert found["unlabelled_pixels"] == (truth > 0).sum() - known.sum()
    both = (one == 1) & (two == 4) & known
    expected = (both & (truth == 1)).sum() / (both | ((truth == 1) & known)).sum()
    for assignment in ("one-to-one", "many-to-one"):
        assert scores[assignment, "intersection", ("one", "two")]["jaccard"][0] == pytest.approx(expected)
        majority = scores[assignment, "majority", ("one", "two", "three")]["mean_jaccard"]
        assert majority > max(scores[assignment, "map", (name,)]["mean_jaccard"] for name in ("one", "two", "three"))
    lines = list(csv.DictReader((out / "reference.csv").open(encoding="utf-8")))
    assert len(lines) == 14 and lines[0]["kind"] == "map" and float(lines[0]["jaccard a"]) > 0.8


def test_another_grid_is_refused_and_resampled_on_request(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    shifted = Grid(*SHAPE, (5.0, 0.0, 600050.0, 0.0, -5.0, 2500000.0), UTM45)
    moved = write_map(tmp_path / "moved.tif", np.roll(read(maps[0]), -10, axis=1), grid=shifted)
    code, _, err = rsseg("consensus", maps[0], moved, "-o", tmp_path / "out")
    assert code == 1
    assert "600050" in err and "600000" in err and "--resample nearest" in err
    assert not (tmp_path / "out").exists()
    code, text, _ = rsseg("consensus", maps[0], moved, "-o", tmp_path / "out", "--resample", "nearest", "--json")
    assert code == 0 and json.loads(text)["agreement"] == 1.0


def test_maps_without_a_crs_are_compared_but_not_with_polygons(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    grid = grid_for(SHAPE, crs=None)
    paths = [write_map(tmp_path / f"{name}.tif", truth, grid=grid) for name in "ab"]
    assert rsseg("consensus", *paths, "-o", tmp_path / "out")[0] == 0
    reference = write_boxes(tmp_path / "r.gpkg", grid_for(SHAPE), [(0, 0, 5, 5, "a")])
    code, _, err = rsseg("consensus", *paths, "-o", tmp_path / "o2", "--reference", reference, "--field", "class")
    assert code == 1 and "a.tif has no CRS" in err


def test_wrong_use_says_the_way_out(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    cases = [
        ((maps[0],), 2, "two or more"),
        ((maps[0], maps[0]), 2, "--names"),
        ((*maps[:2], "--names", "A"), 2, "1 names for 2 maps"),
        ((*maps[:2], "--names", "A,A"), 2, "called A"),
        ((maps[0], tmp_path / "absent.tif"), 1, "does not exist"),
    ]
    for words, expected, message in cases:
        code, _, err = rsseg("consensus", *words, "-o", out)
        assert (code, message in err) == (expected, True), err
    assert not out.exists()


def test_maps_that_share_no_valid_pixel_are_an_error(tmp_path: Path, rsseg: Run) -> None:
    left, right = np.array([[1, 0]], np.uint8), np.array([[0, 1]], np.uint8)
    paths = [write_map(tmp_path / f"{name}.tif", values) for name, values in (("a", left), ("b", right))]
    code, _, err = rsseg("consensus", *paths, "-o", tmp_path / "out")
    assert code == 1 and "no pixel" in err


def test_only_a_folder_of_results_is_replaced(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    assert rsseg("consensus", *maps[:2], "-o", out)[0] == 0
    assert rsseg("consensus", *maps[:2], "-o", out)[0] == 2
    assert rsseg("consensus", *maps, "-o", out, "--overwrite")[0] == 0
    code, _, err = rsseg("consensus", *maps[:2], "-o", tmp_path, "--overwrite")
    assert code == 2 and "one.tif" in err and maps[0].exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    code, _, err = rsseg("consensus", *maps[:2], "-o", tmp_path / "mine", "--overwrite")
    assert code == 2 and "consensus.json" in err and (tmp_path / "mine" / "thesis.txt").exists()


def test_hostile_names_make_safe_files(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    assert rsseg("consensus", *maps, "-o", out, "--names", "../a/b,..%a%b,<c>$_{")[0] == 0
    names = [path.name for path in out.glob("jaccard_*.csv")]
    assert len(names) == 3 and all("/" not in name and "<" not in name for name in names)
    assert json.loads((out / "consensus.json").read_text("utf-8"))["maps"] == ["../a/b", "..%a%b", "<c>$_{"]


def test_the_same_maps_give_the_same_bytes(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    for name in ("a", "b"):
        assert rsseg("consensus", *maps, "-o", tmp_path / name)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_foreign_integers_and_nodata_are_read(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    values = truth.astype(np.int16) + 100
    values[:5] = -9999
    path = write_plain(tmp_path / "grass.tif", values, grid_for(SHAPE), nodata=-9999)
    mine = write_map(tmp_path / "mine.tif", truth)
    code, text, _ = rsseg("consensus", mine, path, "-o", tmp_path / "out", "--json")
    stored = json.loads(text)
    assert code == 0 and stored["agreement"] == 1 and stored["pixels"] == 55 * 80
    assert stored["clusters"]["grass"] == {str(value): f"cluster {value}" for value in (101, 102, 103, 104)}
