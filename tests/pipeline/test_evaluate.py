import csv
import json
from pathlib import Path

import numpy as np
import pytest
from labelmaps import Run, grid_for, write_boxes, write_map
from sklearn.metrics import accuracy_score, adjusted_rand_score, normalized_mutual_info_score

from rsseg.pipeline.stages.evaluate import evaluate

SHAPE = (600, 40)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """A map of six clusters and a reference raster of three classes, both with no data, higher than a strip."""
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 4, SHAPE).astype(np.uint8)
    labels = np.where(rng.random(SHAPE) < 0.7, truth * 2, rng.integers(0, 7, SHAPE)).astype(np.uint8)
    return write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "r.tif", truth), labels, truth


def test_scores_equal_scikit_learn(pair: tuple[Path, Path, np.ndarray, np.ndarray]) -> None:
    path, reference, labels, truth = pair
    result = evaluate(path, reference)
    known = (labels > 0) & (truth > 0)
    y, p = truth[known], labels[known]
    assert result.pixels == known.sum()
    assert result.unlabelled == ((labels == 0) & (truth > 0)).sum()
    assert result.nmi == pytest.approx(normalized_mutual_info_score(y, p))
    assert result.ari == pytest.approx(adjusted_rand_score(y, p))
    one, many = result.confusions["one-to-one"], result.confusions["many-to-one"]
    assert one.assigned == (-1, 0, -1, 1, -1, 2)
    assert one.overall_accuracy == pytest.approx(accuracy_score(y, np.array([0, 0, 1, 0, 2, 0, 3])[p]))
    winners = [0] + [int(np.bincount(y[p == cluster]).argmax()) for cluster in range(1, 7)]
    assert many.overall_accuracy == pytest.approx(accuracy_score(y, np.array(winners)[p]))
    assert result.table.sum() == known.sum() and result.table.shape == (6, 3)


def test_tables_say_their_orientation(tmp_path: Path, pair: tuple[Path, ...], rsseg: Run) -> None:
    out = tmp_path / "out"
    code, text, err = rsseg("evaluate", pair[0], "--reference", pair[1], "-o", out)
    assert (code, err) == (0, "")
    assert "one-to-one: accuracy 0." in text and "NMI" in text
    assert sorted(path.name for path in out.iterdir()) == [
        *("classes.csv", "confusion_many_to_one.csv", "confusion_many_to_one.png"),
        *("confusion_one_to_one.csv", "confusion_one_to_one.png", "contingency.csv", "evaluation.json"),
    ]
    lines = list(csv.reader((out / "confusion_one_to_one.csv").open(encoding="utf-8")))
    assert lines[0] == ["rows reference, columns map", "cluster 1", "cluster 2", "cluster 3", "unmatched"]
    known = (pair[3] == 1) & (pair[2] > 0)
    assert sum(map(int, lines[1][1:])) == known.sum()
    stored = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert stored["assignments"]["one-to-one"]["matrix"]["orientation"] == lines[0][0]
    assert len(list(csv.DictReader((out / "classes.csv").open(encoding="utf-8")))) == 6


def test_json_is_the_file(tmp_path: Path, pair: tuple[Path, ...], rsseg: Run) -> None:
    _, text, _ = rsseg("evaluate", pair[0], "--reference", pair[1], "-o", tmp_path / "out", "--json")
    assert text == (tmp_path / "out" / "evaluation.json").read_text("utf-8")


def test_one_mapping_can_be_chosen_and_nothing_is_written_unasked(pair: tuple[Path, ...], rsseg: Run) -> None:
    before = sorted(pair[0].parent.iterdir())
    _, text, _ = rsseg("evaluate", pair[0], "--reference", pair[1], "--mapping", "many-to-one", "--json")
    assert list(json.loads(text)["assignments"]) == ["many-to-one"]
    assert sorted(pair[0].parent.iterdir()) == before


def test_polygons_smaller_than_a_pixel_are_an_error(tmp_path: Path, pair: tuple[Path, ...], rsseg: Run) -> None:
    import geopandas

    path = write_boxes(tmp_path / "p.gpkg", grid_for(SHAPE), [(3, 3, 1, 1, "a")])
    small = geopandas.read_file(path)
    small["geometry"] = small.scale(0.2, 0.2, origin=(600015, 2499985))
    small.to_file(path)
    code, _, err = rsseg("evaluate", pair[0], "--reference", path, "--field", "class")
    assert code == 1 and "smaller than the pixels" in err


def test_a_reference_on_no_data_is_an_error(tmp_path: Path, rsseg: Run) -> None:
    labels = np.zeros((4, 4), np.uint8)
    labels[0] = 1
    path = write_map(tmp_path / "m.tif", labels)
    reference = write_boxes(tmp_path / "p.gpkg", grid_for((4, 4)), [(2, 0, 2, 4, "a")])
    code, _, err = rsseg("evaluate", path, "--reference", reference, "--field", "class")
    assert code == 1 and "no data" in err


def test_a_reference_raster_of_another_grid_needs_resampling(tmp_path: Path, rsseg: Run) -> None:
    path = write_map(tmp_path / "m.tif", np.array([[1, 1, 2, 2]] * 4, np.uint8))
    coarse = write_map(tmp_path / "r.tif", np.array([[1, 2]] * 2, np.uint8), grid=grid_for((4, 4)).coarsened(2))
    code, _, err = rsseg("evaluate", path, "--reference", coarse)
    assert code == 1 and "--resample nearest" in err
    code, text, _ = rsseg("evaluate", path, "--reference", coarse, "--resample", "nearest", "--json")
    assert code == 0 and json.loads(text)["assignments"]["one-to-one"]["overall_accuracy"] == 1


def test_the_field_is_asked_for(tmp_path: Path, pair: tuple[Path, ...], rsseg: Run) -> None:
    path = write_boxes(tmp_path / "p.gpkg", grid_for(SHAPE), [(0, 0, 9, 9, "a")])
    code, _, err = rsseg("evaluate", pair[0], "--reference", path)
    assert code == 2 and "--field" in err and "class" in err


def test_a_real_reference_against_itself_is_perfect(data: Path) -> None:
    raster = data / "aber" / "aber_reference.tif"
    result = evaluate(raster, data / "aber" / "aber_reference.gpkg", field="class")
    assert result.classes == ("forest", "grass", "urban", "water")
    assert result.confusions["one-to-one"].overall_accuracy > 0.999
    assert result.nmi > 0.999 and result.ari > 0.999
