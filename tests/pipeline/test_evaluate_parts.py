"""Clusters named on one part of a reference and scored on another; names, points, and maps of more than a byte."""

import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
from labelmaps import Run, grid_for, write_boxes, write_map, write_plain
from shapely.geometry import Point
from sklearn import metrics

from rsseg.errors import UsageError
from rsseg.label.reference import Split, open_reference
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.publish.labels import LabelClass

SHAPE = (120, 160)
GRID = grid_for(SHAPE)
NAMES = ("forest", "town", "water")


@pytest.fixture
def truth() -> np.ndarray:
    return 1 + np.kron(np.random.default_rng(1).integers(0, 3, (12, 16)), np.ones((10, 10), int)).astype(np.uint8)


@pytest.fixture
def polygons(tmp_path: Path, truth: np.ndarray) -> Path:
    """Half of the fields as polygons."""
    places = [(row, col) for row in range(12) for col in range(16) if (row + col) % 2]
    boxes = [(10 * row, 10 * col, 10, 10, NAMES[truth[10 * row, 10 * col] - 1]) for row, col in places]
    return write_boxes(tmp_path / "p.gpkg", GRID, boxes)


@pytest.fixture
def clusters(tmp_path: Path, truth: np.ndarray) -> Path:
    """Nine clusters, three a class, a fifth of the pixels wrong."""
    rng = np.random.default_rng(6)
    kinds = np.where(rng.random(SHAPE) < 0.2, rng.integers(1, 4, SHAPE), truth)
    return write_map(tmp_path / "c.tif", (kinds + 3 * rng.integers(0, 3, SHAPE)).astype(np.uint8))


def test_held_out_scores_are_of_polygons_that_named_no_cluster(polygons: Path, clusters: Path, rsseg: Run) -> None:
    code, text, err = rsseg("evaluate", clusters, "--reference", polygons, "--field", "class", "--held-out", "--json")
    stored = json.loads(text)
    assert (code, err) == (0, "")
    assert (stored["part"]["fit"], stored["part"]["score"], stored["part"]["units"]) == (48, 48, "polygons")
    assert stored["pixels"] == 4800 and stored["fit"] == {"reference": "p.gpkg", "pixels": 4800}
    assert any("which enter no score" in note for note in stored["notes"])
    with open_reference(polygons, GRID, clusters, "class", split=Split("score")) as part:
        codes = part.read(GRID.window)
    with open_reference(polygons, GRID, clusters, "class", split=Split("fit")) as part:
        fit = part.read(GRID.window)
    labels = _read(clusters)
    winner = np.array([0] + [int(np.bincount(fit[(labels == k) & (fit > 0)]).argmax()) for k in range(1, 10)])
    expected = metrics.accuracy_score(codes[codes > 0], winner[labels[codes > 0]])
    assert stored["assignments"]["many-to-one"]["overall_accuracy"] == pytest.approx(expected)


def test_a_legend_of_one_part_says_how_right_it_is_on_the_other(
    tmp_path: Path, polygons: Path, clusters: Path, rsseg: Run
) -> None:
    words = ("--reference", polygons, "--field", "class", "--part")
    code, text, _ = rsseg("legend", clusters, *words, "fit", "-o", tmp_path / "l.yaml")
    assert code == 0 and "of the 48 polygons that named nothing" in text
    assert rsseg("relabel", clusters, "--legend", tmp_path / "l.yaml", "-o", tmp_path / "classes.tif")[0] == 0
    _, answer, _ = rsseg("evaluate", tmp_path / "classes.tif", *words, "score", "--json")
    accuracy = json.loads(answer)["assignments"]["names"]["overall_accuracy"]
    assert 0.7 < accuracy < 0.95 and f"held out: accuracy {accuracy:.3f} on 4800 pixels" in text


def test_a_part_without_pixels_scores_no_legend(tmp_path: Path, clusters: Path, rsseg: Run) -> None:
    boxes = [(0, 0, 60, 80, "forest"), (9000, 0, 9, 9, "forest")]
    reference = write_boxes(tmp_path / "r.gpkg", GRID, boxes)
    words = ("legend", clusters, "--reference", reference, "--field", "class", "--part", "fit")
    code, text, err = rsseg(*words, "-o", tmp_path / "l.yaml")
    assert code == 0 and "held out:" not in text and "score 0" in err


def _read(path: Path) -> np.ndarray:
    import rasterio

    with rasterio.open(path) as file:
        values: np.ndarray = file.read(1)
    return values


def test_clusters_that_were_not_named_are_errors(tmp_path: Path) -> None:
    """Cluster 3 lies only on the second reference: no mapping may look at it there."""
    labels = np.repeat(np.array([[1, 2, 3, 1]], np.uint8), 4, axis=0)
    path = write_map(tmp_path / "m.tif", labels)
    fit = write_boxes(tmp_path / "f.gpkg", grid_for((4, 4)), [(0, 0, 4, 1, "a"), (0, 1, 4, 1, "b")])
    score = write_boxes(tmp_path / "s.gpkg", grid_for((4, 4)), [(0, 2, 4, 2, "a")])
    result = evaluate(path, score, field="class", fit_reference=fit)
    for name in ("one-to-one", "many-to-one"):
        found = result.confusions[name]  # type: ignore[index]
        assert found.overall_accuracy == 0.5 and result.classes == ("a", "b")
        assert found.matrix.tolist() == [[4, 0, 4], [0, 0, 0]]
    assert "8 pixels of f.gpkg" in " ".join(result.notes)


def test_a_class_of_the_fit_alone_is_a_column_without_reference(tmp_path: Path) -> None:
    labels = np.repeat(np.array([[1, 2]], np.uint8), 4, axis=0)
    path = write_map(tmp_path / "m.tif", labels)
    fit = write_boxes(tmp_path / "f.gpkg", grid_for((4, 2)), [(0, 0, 4, 1, "z"), (0, 1, 4, 1, "a")])
    score = write_boxes(tmp_path / "s.gpkg", grid_for((4, 2)), [(0, 0, 4, 2, "m")])
    found = evaluate(path, score, field="class", fit_reference=fit).confusions["many-to-one"]
    assert found.classes == ("m", "a", "z") and found.matrix[0].tolist() == [0, 4, 4, 0]
    assert found.mean_iou == 0


def test_one_part_can_be_scored_alone(polygons: Path, clusters: Path, rsseg: Run) -> None:
    words = ("evaluate", clusters, "--reference", polygons, "--field", "class", "--fit-share", 0.25, "--json")
    parts = {part: json.loads(rsseg(*words, "--part", part)[1]) for part in ("fit", "score")}
    assert (parts["fit"]["pixels"], parts["score"]["pixels"]) == (2400, 7200)
    assert parts["fit"]["fit"] is None
    other = json.loads(rsseg(*words, "--part", "fit", "--split-seed", 4)[1])
    assert other["contingency"] != parts["fit"]["contingency"]


def test_a_raster_is_held_out_by_blocks(tmp_path: Path, clusters: Path, truth: np.ndarray, rsseg: Run) -> None:
    reference = write_map(tmp_path / "r.tif", truth)
    code, text, _ = rsseg("evaluate", clusters, "--reference", reference, "--held-out")
    assert code == 0 and "fit has 3 blocks of 64 x 64 pixels, score 3" in text
    assert "no areas" not in text  # it covers the map


def test_what_cannot_be_held_out_is_refused(polygons: Path, clusters: Path, rsseg: Run) -> None:
    words = ("evaluate", clusters, "--reference", polygons, "--field", "class")
    code, _, err = rsseg(*words, "--held-out", "--fit-reference", polygons)
    assert code == 2 and "choose one" in err
    code, _, err = rsseg(*words, "--held-out", "--part", "fit")
    assert code == 2 and "part score" in err
    assert rsseg(*words, "--fit-share", 1)[0] == 2
    with pytest.raises(UsageError):
        evaluate(clusters, polygons, field="class", held_out=True)


def named(path: Path, labels: np.ndarray, names: tuple[str, ...]) -> Path:
    colours = ("#00aa00", "#aa0000", "#0000aa", "#777700")
    classes = [LabelClass(i, name, colour) for i, (name, colour) in enumerate(zip(names, colours, strict=False), 1)]
    return write_map(path, labels, classes=classes)


def test_a_named_map_is_scored_by_its_names(tmp_path: Path, polygons: Path, truth: np.ndarray, rsseg: Run) -> None:
    """Two classes are exchanged: counting pixels would put them right again."""
    path = named(tmp_path / "n.tif", truth, ("forest", "water", "town"))
    words = ("evaluate", path, "--reference", polygons, "--field", "class", "--json")
    stored = json.loads(rsseg(*words)[1])
    assert list(stored["assignments"]) == ["names"]
    assert stored["assignments"]["names"]["assigned"] == {"1": "forest", "2": "water", "3": "town"}
    forest = stored["assignments"]["names"]["classes"][0]
    assert stored["assignments"]["names"]["overall_accuracy"] == pytest.approx(forest["pixels"] / stored["pixels"])
    both = json.loads(rsseg(*words, "--mapping", "both")[1])["assignments"]
    assert {name: score["overall_accuracy"] for name, score in both.items()} == {"one-to-one": 1, "many-to-one": 1}


def test_a_map_with_other_names_is_scored_by_its_pixels(
    tmp_path: Path, polygons: Path, truth: np.ndarray, rsseg: Run
) -> None:
    path = named(tmp_path / "n.tif", truth, ("forest", "water-like", "town"))
    words = ("evaluate", path, "--reference", polygons, "--field", "class", "--json")
    told = json.loads(rsseg(*words)[1])
    assert list(told["assignments"]) == ["one-to-one", "many-to-one"]
    assert "not scored by names, since water-like of the map is no class" in told["notes"][0]
    stored = json.loads(rsseg(*words, "--mapping", "names")[1])["assignments"]["names"]
    assert stored["assigned"] == {"1": "forest", "2": None, "3": "town"}


def test_points_are_counted_one_by_one(tmp_path: Path, clusters: Path, truth: np.ndarray, rsseg: Run) -> None:
    rng = np.random.default_rng(8)
    rows, cols = rng.uniform(-3, 120, 900), rng.uniform(0, 166, 900)
    kinds = rng.integers(0, 3, 900)
    shapes = [Point(*GRID.xy(row, col)) for row, col in zip(rows, cols, strict=True)]
    frame = geopandas.GeoDataFrame({"class": [NAMES[kind] for kind in kinds]}, geometry=shapes, crs=GRID.crs)
    frame.to_file(tmp_path / "o.gpkg")
    labels = _read(clusters)
    labels[:10] = 0
    path = write_map(tmp_path / "m.tif", labels)
    out = tmp_path / "out"
    code, text, _ = rsseg("evaluate", path, "--reference", tmp_path / "o.gpkg", "--field", "class", "-o", out)
    inside = (rows >= 0) & (cols < 160)
    table, missing = np.zeros((10, 3), int), 0
    for row, col, kind in zip(rows[inside], cols[inside], kinds[inside], strict=True):
        value = labels[int(row), int(col)]
        missing += value == 0
        table[value, kind] += value > 0
    stored = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert code == 0 and stored["contingency"]["counts"] == table[1:].tolist()
    assert (stored["unlabelled_pixels"], stored["outside"]) == (missing, int((~inside).sum()))
    assert f"{table.sum()} points compared, {missing} reference points without a label" in text
    assert "no areas" in text and "VI" not in text and not (out / "segmentation.csv").exists()
    code, _, err = rsseg("evaluate", path, "--reference", tmp_path / "o.gpkg", "--field", "class", "--tile", 20)
    assert code == 2 and "no regions" in err


@pytest.mark.parametrize("seed", range(4))
def test_sixteen_bits_score_as_bytes_do(tmp_path: Path, seed: int) -> None:
    """The same map with its values spread to 65535, in any order; more than 255 values in the odd seeds."""
    rng = np.random.default_rng(seed)
    count = 40 if seed % 2 == 0 else 900
    truth = rng.integers(0, 5, SHAPE).astype(np.uint8)
    codes = np.where(rng.random(SHAPE) < 0.5, truth * (count // 5), rng.integers(0, count, SHAPE))
    spread = np.concatenate(([0], rng.choice(np.arange(1, 65536), count - 1, replace=False)))
    spread[count - 1] = 65535
    path = write_plain(tmp_path / "wide.tif", spread[codes].astype(np.uint16), GRID)
    reference = write_map(tmp_path / "r.tif", truth)
    result = evaluate(path, reference, regions="components", tile=50)
    known = (codes > 0) & (truth > 0)
    y, p = truth[known], codes[known]
    assert result.nmi == pytest.approx(metrics.normalized_mutual_info_score(y, p))
    assert result.ari == pytest.approx(metrics.adjusted_rand_score(y, p))
    assert result.clusters == tuple(int(value) for value in np.unique(spread[p]))
    winner = np.array([0] + [int(np.bincount(y[p == k], minlength=5).argmax()) for k in range(1, count)])
    many = result.confusions["many-to-one"]
    assert many.overall_accuracy == pytest.approx(metrics.accuracy_score(y, winner[p]))
    assert many.kappa == pytest.approx(metrics.cohen_kappa_score(y, winner[p]))
    if count == 40:
        narrow = evaluate(
            write_map(tmp_path / "n.tif", codes.astype(np.uint8)), reference, regions="components", tile=50
        )
        assert narrow.segmentation is not None and result.segmentation is not None
        assert narrow.segmentation.scores["many-to-one"] == result.segmentation.scores["many-to-one"]
        assert sorted(map(tuple, narrow.table.tolist())) == sorted(map(tuple, result.table.tolist()))


def test_specificity_is_written(tmp_path: Path, polygons: Path, clusters: Path, rsseg: Run) -> None:
    rsseg("evaluate", clusters, "--reference", polygons, "--field", "class", "-o", tmp_path / "out")
    lines = list(csv.DictReader((tmp_path / "out" / "classes.csv").open(encoding="utf-8")))
    assert all(0.5 < float(line["specificity"]) <= 1 for line in lines)


HOSTILE = ("<script>alert(1)</script>", "a;b,\"c\" 'd'", "two\nlines", "=1+1", "水面 و", "n" * 300, "$x_{")


def test_hostile_class_names_survive(tmp_path: Path, rsseg: Run) -> None:
    labels = np.kron(np.arange(1, 8), np.ones((10, 10))).astype(np.uint8)
    boxes = [(0, 10 * i, 10, 10, name) for i, name in enumerate(HOSTILE)]
    polygons = write_boxes(tmp_path / "p.gpkg", grid_for(labels.shape), boxes)
    words = ("evaluate", write_map(tmp_path / "m.tif", labels), "--reference", polygons, "--field", "class")
    code, text, err = rsseg(*words, "-o", tmp_path / "out")
    assert (code, err) == (0, "") and HOSTILE[0] in text
    stored = json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8"))
    assert set(stored["assignments"]["one-to-one"]["assigned"].values()) == set(HOSTILE)
    with (tmp_path / "out" / "classes.csv").open(encoding="utf-8", newline="") as file:
        assert {line["name"].removeprefix("'") for line in csv.DictReader(file)} == set(HOSTILE)


def test_a_legend_of_one_part_and_names_on_the_other_are_the_held_out_scores(
    tmp_path: Path, polygons: Path, clusters: Path, rsseg: Run
) -> None:
    reference = ("--reference", polygons, "--field", "class")
    assert rsseg("legend", clusters, *reference, "--part", "fit", "-o", tmp_path / "l.yaml")[0] == 0
    assert rsseg("relabel", clusters, "--legend", tmp_path / "l.yaml", "-o", tmp_path / "n.tif")[0] == 0
    code, text, _ = rsseg("evaluate", tmp_path / "n.tif", *reference, "--part", "score", "--json")
    by_name = json.loads(text)["assignments"]
    held_out = json.loads(rsseg("evaluate", clusters, *reference, "--held-out", "--json")[1])["assignments"]
    assert code == 0 and list(by_name) == ["names"]
    assert by_name["names"]["matrix"] == held_out["many-to-one"]["matrix"]
