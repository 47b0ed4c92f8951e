import csv
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import UTM45, Run, grid_for, write_boxes, write_map, write_plain

from rsseg.label.maps import LabelMap
from rsseg.pipeline.stages.consensus_tables import file_words
from rsseg.publish.palette import LabelClass, default_colour
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


def lines_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.open(encoding="utf-8", newline="")))


def records(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8", newline="")))


def test_two_maps_are_matched_and_written(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    code, _, err = rsseg("consensus", *maps[:2], "-o", out)
    assert (code, err) == (0, "")
    assert sorted(path.name for path in out.iterdir()) == [
        *("agreement.qml", "agreement.tif", "agreement.tif.aux.xml"),
        *("agreement_count.qml", "agreement_count.tif", "agreement_count.tif.aux.xml"),
        *("clusters_one_two.csv", "consensus.json", "entropy.tif", "jaccard_one_two.csv", "jaccard_one_two.png"),
        *("matches.csv", "mean_jaccard.csv", "mean_jaccard.png", "pairs.csv"),
        *("unanimous.qml", "unanimous.tif", "unanimous.tif.aux.xml"),
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


def test_every_pair_of_clusters_is_told_in_number_order(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    assert rsseg("consensus", maps[0], maps[2], "-o", out)[0] == 0
    one, three = read(maps[0]), read(maps[2])
    valid = (one > 0) & (three > 0)
    lines = lines_of(out / "clusters_one_three.csv")
    assert lines[0][1:] == ["cluster 1", "cluster 2", "cluster 3", "cluster 5"]
    for line, value in zip(lines[1:], (1, 2, 3, 4), strict=True):
        for cell, other in zip(line[1:], (1, 2, 3, 5), strict=True):
            both, either = (one == value) & (three == other) & valid, ((one == value) | (three == other)) & valid
            assert float(cell) == pytest.approx(both.sum() / either.sum(), abs=1e-6)
    match = records(out / "matches.csv")[1]
    both = valid & (one == 2) & (three == 5)
    assert (match["clusters_first"], match["clusters_second"], match["name_second"]) == ("2", "5", "cluster 5")
    assert [int(match[f"pixels_{what}"]) for what in ("first", "second", "both")] == [
        ((one == 2) & valid).sum(), ((three == 5) & valid).sum(), both.sum()
    ]  # fmt: skip


def test_mean_jaccards_of_all_maps_are_one_matrix(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    out = tmp_path / "out"
    assert rsseg("consensus", *maps, "-o", out)[0] == 0
    found = {(row["first"], row["second"]): row for row in records(out / "pairs.csv")}
    assert {row["matching"] for row in found.values()} == {"one-to-one"}
    lines = lines_of(out / "mean_jaccard.csv")
    assert lines[0][1:] == [line[0] for line in lines[1:]] == ["one", "two", "three"]
    assert lines[1][1] == "1.000000" and lines[1][3] == lines[3][1] == found["one", "three"]["mean_matched_jaccard"]
    diagonal = [float(line[at]) for at, line in enumerate(lines_of(out / "jaccard_one_three.csv")[1:], 1)]
    assert float(lines[1][3]) == pytest.approx(np.mean(diagonal), abs=1e-6)


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
    assert np.array_equal(read(out / "unanimous.tif"), np.where(all_agree, same[0], 0))
    doubt = read(out / "entropy.tif")
    assert np.array_equal(doubt == 0, all_agree) and np.array_equal(doubt == 255, ~valid)
    assert np.array_equal(doubt == 254, count == 1)
    assert set(doubt[count == 2]) == {round(254 * (np.log(3) - 2 / 3 * np.log(2)) / np.log(3))}
    with rasterio.open(out / "entropy.tif") as opened:
        assert (opened.nodata, opened.scales) == (255, (1 / 254,))
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
        majority = scores[assignment, "vote", ("one", "two", "three")]["mean_jaccard"]
        assert majority > max(scores[assignment, "map", (name,)]["mean_jaccard"] for name in ("one", "two", "three"))
    lines = list(csv.DictReader((out / "reference.csv").open(encoding="utf-8")))
    assert len(lines) == 14 and lines[0]["kind"] == "map" and float(lines[0]["jaccard a"]) > 0.8
    by_class = lines_of(out / "reference_one_to_one.csv")
    assert by_class[0][1:] == ["one", "two", "three", "one & two", "one & three", "two & three", "vote"]
    assert [line[0] for line in by_class[1:]] == ["a", "b", "c", "d", "mean"]
    assert float(by_class[1][4]) == pytest.approx(expected, abs=1e-6)
    assert by_class[5][7] == f"{scores['one-to-one', 'vote', ('one', 'two', 'three')]['mean_jaccard']:.6f}"
    long = records(out / "reference_long.csv")
    assert len(long) == 14 * 4 and long[3 * 4]["maps"] == "one + two"
    assert (long[3 * 4]["class"], long[3 * 4]["jaccard"]) == ("a", by_class[1][4])
    assert int(long[0]["reference_pixels"]) == (known & (truth == 1)).sum()


def named(values: tuple[int, ...], names: tuple[str, ...]) -> list[LabelClass]:
    return [LabelClass(value, name, default_colour(value)) for value, name in zip(values, names, strict=True)]


def test_maps_of_one_list_of_names_are_compared_by_name(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    other = np.array([0, 7, 4, 9, 9], np.uint8)[truth]
    other[:10] = 9
    first = write_map(tmp_path / "a.tif", truth, classes=named((1, 2, 3, 4), ("water", "town", "forest", "crop")))
    second = write_map(tmp_path / "b.tif", other, classes=named((7, 4, 9), ("water", "town", "crop")))
    out = tmp_path / "out"
    code, text, _ = rsseg("consensus", first, second, "-o", out, "--json")
    told = json.loads(text)
    assert code == 0 and told["reduction"] == {"asked": "auto", "used": "names", "pivot": "a"}
    pair = told["pairs"][0]
    assert pair["matching"] == "names"
    assert [(match["first"], match["second"]) for match in pair["matches"]] == [(1, 7), (2, 4), (4, 9)]
    assert pair["unmatched_first"] == [3]
    said = np.array([0, 0, 0, 0, 2, 0, 0, 1, 0, 4], np.uint8)[other]
    assert np.array_equal(read(out / "unanimous.tif"), np.where(said == truth, truth, 0))
    assert lines_of(out / "jaccard_a_b.csv")[0][1:] == ["water", "town", "crop"]
    assert "by class name" in rsseg("consensus", first, second, "-o", tmp_path / "o2")[1]
    # asked for clusters, the names say nothing
    code, text, _ = rsseg("consensus", first, second, "-o", tmp_path / "o3", "--json", "--reduce", "none")
    assert json.loads(text)["pairs"][0]["matching"] == "one-to-one"


def test_named_maps_meet_a_reference_by_name(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    classes = named((1, 2, 3, 4), ("water", "town", "forest", "crop"))
    swapped = np.array([0, 2, 1, 3, 4], np.uint8)[truth]
    paths = [write_map(tmp_path / f"{name}.tif", v, classes=classes) for name, v in (("a", truth), ("b", swapped))]
    boxes = [(2, 2, 20, 30, "water"), (2, 45, 20, 30, "town"), (35, 2, 20, 30, "forest"), (35, 45, 20, 30, "crop")]
    reference = write_boxes(tmp_path / "r.gpkg", grid_for(SHAPE), boxes)
    out = tmp_path / "out"
    assert rsseg("consensus", *paths, "-o", out, "--reference", reference, "--field", "class")[0] == 0
    lines = lines_of(out / "reference_names.csv")
    # what b calls water is town: by its pixels it would be right, by its names it is wrong
    found = {line[0]: [float(cell) for cell in line[1:3]] for line in lines[1:]}
    assert found == {"water": [1, 0], "town": [1, 0], "forest": [1, 1], "crop": [1, 1], "mean": [1, 0.5]}


def test_of_unequal_maps_the_larger_joins_the_smaller(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    halves = np.where(np.indices(SHAPE)[0] % 2, truth, np.where(truth == 1, 5, truth)).astype(np.uint8)
    large, small = write_map(tmp_path / "large.tif", halves), write_map(tmp_path / "small.tif", truth)
    out = tmp_path / "out"
    code, text, _ = rsseg("consensus", large, small, "-o", out)
    assert code == 0 and "cluster 1 + cluster 5 = cluster 1" in text and "in the clusters of small" in text
    told = json.loads((out / "consensus.json").read_text("utf-8"))
    assert told["agreement"] == told["pairs"][0]["mean_matched_jaccard"] == 1
    assert told["pairs"][0]["matches"][0]["first_clusters"] == [1, 5]
    assert told["agreement_map"]["values"]["large"] == {"1": 1, "2": 2, "3": 3, "4": 4, "5": 1}
    assert np.array_equal(read(out / "agreement.tif"), truth)
    code, text, _ = rsseg("consensus", large, small, "-o", tmp_path / "o2", "--reduce", "none")
    assert "unmatched in large: cluster" in text and "in the clusters of large" in text
    code, text, _ = rsseg("consensus", large, small, "-o", tmp_path / "o3", "--pivot", "large", "--json")
    told = json.loads(text)
    assert told["reduction"]["pivot"] == "large" and len(told["pairs"][0]["matches"]) == 4


def test_pixels_without_data_in_one_map_count_nowhere(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    holes = read(maps[2]).copy()
    holes[10:30, 5:50] = 0
    third = write_map(tmp_path / "holes.tif", holes)
    out = tmp_path / "out"
    assert rsseg("consensus", *maps[:2], third, "-o", out)[0] == 0
    for name in ("agreement", "unanimous", "agreement_count", "vote"):
        assert not read(out / f"{name}.tif")[10:30, 5:50].any()
    assert (read(out / "entropy.tif")[10:30, 5:50] == 255).all()
    valid = np.logical_and.reduce([read(path) > 0 for path in (*maps[:2], third)])
    pixels = [int(row["pixels"]) for row in records(out / "pairs.csv")]
    assert pixels == [valid.sum()] * 3


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
        ((*maps[:2], "--pivot", "three"), 2, "none of the maps; they are called one, two"),
        ((*maps[:2], "--reduce", "size"), 2, "'size' is not one of"),
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


HOSTILE = (
    "<script>alert(1)</script>",
    "quote \" and ' and ; and , and =1+1",
    "line\nbreak and \x01 control",
    "জল " * 100,
)


def test_hostile_class_names_survive_in_meaning(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    classes = named((1, 2, 3, 4), HOSTILE)
    paths = [write_map(tmp_path / f"{name}.tif", truth, classes=classes) for name in "ab"]
    out = tmp_path / "out"
    assert rsseg("consensus", *paths, "-o", out)[0] == 0
    with LabelMap(paths[0]) as opened:
        stored = [opened.names[value] for value in range(1, 5)]
    assert json.loads((out / "consensus.json").read_text("utf-8"))["reduction"]["used"] == "names"
    assert lines_of(out / "jaccard_a_b.csv")[0][1:] == stored
    assert [row["name_first"] for row in records(out / "matches.csv")] == stored
    with LabelMap(out / "unanimous.tif") as opened:
        assert [opened.names[value] for value in range(1, 5)] == stored


def test_hostile_map_names_are_kept_in_tables_and_harmless_in_tags(
    tmp_path: Path, maps: list[Path], rsseg: Run
) -> None:
    names = ("<script>alert(1)</script>", "জল" * 150, "a\x02b\nc")
    out = tmp_path / "out"
    assert rsseg("consensus", *maps, "-o", out, "--names", ",".join(names))[0] == 0
    assert [row["second"] for row in records(out / "pairs.csv")] == [names[1], names[2], names[2]]
    assert lines_of(out / "mean_jaccard.csv")[0][1:] == list(names)
    with rasterio.open(out / "vote.tif") as opened:
        assert opened.tags()["maps"] == ", ".join((*names[:2], "a\N{REPLACEMENT CHARACTER}b\nc"))


def test_names_that_would_share_a_file_are_numbered() -> None:
    assert file_words([("a", "b"), ("A", "B")]) == ["1_a_b", "2_A_B"]
    assert file_words([("a/b", "c"), ("a b", "c")]) == ["1_a-b_c", "2_a-b_c"]
    assert file_words([("a", "b"), ("a", "c")]) == ["a_b", "a_c"]
    assert len(file_words([("জল" * 150, "ভূমি" * 150)])[0].encode()) < 200


def test_the_same_maps_give_the_same_bytes(tmp_path: Path, maps: list[Path], rsseg: Run) -> None:
    for name in ("a", "b"):
        assert rsseg("consensus", *maps, "-o", tmp_path / name)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_rasters_do_not_depend_on_how_many_rows_are_compared_at_once(
    tmp_path: Path, maps: list[Path], rsseg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rsseg("consensus", *maps, "-o", tmp_path / "a")[0] == 0
    monkeypatch.setattr("rsseg.pipeline.stages.consensus_rasters._ROWS", 7)
    assert rsseg("consensus", *maps, "-o", tmp_path / "b")[0] == 0
    for path in (tmp_path / "a").glob("*.tif"):
        assert np.array_equal(read(path), read(tmp_path / "b" / path.name))


def test_foreign_integers_and_nodata_are_read(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    values = truth.astype(np.int16) + 100
    values[:5] = -9999
    path = write_plain(tmp_path / "grass.tif", values, grid_for(SHAPE), nodata=-9999)
    mine = write_map(tmp_path / "mine.tif", truth)
    code, text, _ = rsseg("consensus", mine, path, "-o", tmp_path / "out", "--json")
    stored = json.loads(text)
    assert code == 0 and stored["agreement"] == 1 and stored["pixels"] == 55 * 80
    assert stored["clusters"]["grass"] == {str(value): f"cluster {value}" for value in (101, 102, 103, 104)}
