import csv
import json
from pathlib import Path

import numpy as np
import pytest
from labelmaps import Run, grid_for, write_boxes, write_map
from sklearn.metrics import accuracy_score, adjusted_rand_score, normalized_mutual_info_score, rand_score

from rsseg.errors import UsageError
from rsseg.label.metrics.boundary import boundary_displacement_error
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
        "segmentation.csv",
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


def test_a_segmentation_is_scored_for_each_assignment(pair: tuple[Path, Path, np.ndarray, np.ndarray]) -> None:
    path, reference, labels, truth = pair
    result = evaluate(path, reference)
    known = (labels > 0) & (truth > 0)
    for name, found in result.confusions.items():
        codes = np.array([0, *(owner + 1 if owner >= 0 else 4 for owner in found.assigned)])[labels]
        score = result.segmentation.scores[name]
        assert score.probabilistic_rand_index == pytest.approx(rand_score(truth[known], codes[known]))
        assert score.boundary_displacement_error == boundary_displacement_error(codes, truth)
        assert score.overall_accuracy == found.overall_accuracy
        assert score.weighted_iou == found.weighted_iou


def test_tiles_are_scored_by_the_whole_maps_classes_and_averaged(tmp_path: Path) -> None:
    """5 x 7 pixels in tiles of 3: the lower and right ones are smaller, the one without reference does not count."""
    truth = np.ones((5, 7), np.uint8)
    truth[:, 3:], truth[3:, 6:] = 2, 0
    labels = np.ones((5, 7), np.uint8)
    labels[:, 4:], labels[0, 0] = 2, 0
    made = [write_map(tmp_path / "m.tif", labels), write_map(tmp_path / "r.tif", truth)]
    found = evaluate(*made, mapping=("many-to-one",), tile=3).segmentation
    score = found.scores["many-to-one"]
    assert (found.tile, found.tiles) == (3, 5)
    # tiles: all right (8 pixels), 3 of 9 wrong, right; second row: right, 2 of 6 wrong
    assert score.overall_accuracy == pytest.approx((1 + 6 / 9 + 1 + 1 + 4 / 6) / 5)
    assert score.mean_iou == pytest.approx((1 + 6 / 9 + 1 + 1 + 4 / 6) / 5)  # one class a tile
    pairs = [3 * 6 / 36, 2 * 4 / 15]  # of the two tiles that the map cuts and the reference does not
    assert score.probabilistic_rand_index == pytest.approx((3 + sum(1 - apart for apart in pairs)) / 5)
    assert score.global_consistency_error == 0
    assert score.variation_of_information == pytest.approx(2 * (np.log2(3) - 2 / 3) / 5)
    assert score.segmentation_covering == pytest.approx((3 + 2 * ((1 / 3) ** 2 + (2 / 3) ** 2)) / 5)
    assert score.reference_covering == pytest.approx((3 + 2 * 2 / 3) / 5)
    parts = [boundary_displacement_error(labels[:3, 3:6], truth[:3, 3:6])]
    parts += [boundary_displacement_error(labels[3:, 3:6], truth[3:, 3:6])]
    assert score.boundary_displacement_error == pytest.approx(sum(parts) / 5)
    assert sum(parts) > 0


def test_a_tile_as_large_as_the_map_is_the_whole(pair: tuple[Path, Path, np.ndarray, np.ndarray]) -> None:
    whole, tile = evaluate(*pair[:2]), evaluate(*pair[:2], tile=5000)
    assert tile.segmentation.scores == whole.segmentation.scores


@pytest.mark.parametrize("regions", ["classes", "components"])
def test_files_carry_the_segmentation_scores(tmp_path: Path, pair: tuple[Path, ...], rsseg: Run, regions: str) -> None:
    out = tmp_path / "out"
    options = ("--regions", regions, "--tile", 100, "-o", out)
    code, text, err = rsseg("evaluate", pair[0], "--reference", pair[1], *options)
    assert (code, err) == (0, "")
    assert f"means of 6 tiles of 100 pixels, regions are {regions}" in text
    stored = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert stored["segmentation"]["regions"] == regions
    assert (stored["segmentation"]["tile"], stored["segmentation"]["tiles"]) == (100, 6)
    lines = list(csv.DictReader((out / "segmentation.csv").open(encoding="utf-8")))
    assert [line["assignment"] for line in lines] == ["one-to-one", "many-to-one"]
    for line in lines:
        scores = stored["assignments"][line["assignment"]]["segmentation"]
        assert len(scores) == 10
        for name, value in scores.items():
            assert float(line[name]) == pytest.approx(value, abs=1e-6)
        assert f"BDE {scores['boundary_displacement_error']:.2f} pixels" in text


def test_a_large_raster_as_a_whole_has_no_boundaries(
    tmp_path: Path, pair: tuple[Path, ...], rsseg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = evaluate(pair[0], pair[1]).segmentation.scores["many-to-one"]
    monkeypatch.setattr("rsseg.pipeline.stages.evaluate_regions.LARGEST", 600 * 40 - 1)
    out = tmp_path / "out"
    code, text, err = rsseg("evaluate", pair[0], "--reference", pair[1], "-o", out)
    assert code == 0 and "BDE left out" in text
    assert "--tile 1000" in err.replace("\n", " ")
    stored = json.loads((out / "evaluation.json").read_text("utf-8"))
    assert "--tile 1000" in stored["segmentation"]["skipped"]
    scores = stored["assignments"]["many-to-one"]["segmentation"]
    assert scores.pop("boundary_displacement_error") is None
    assert scores == {name: pytest.approx(getattr(small, name)) for name in scores}
    code, text, err = rsseg("evaluate", pair[0], "--reference", pair[1], "--tile", 100)
    assert (code, err) == (0, "") and "left out" not in text


def test_components_of_a_large_raster_need_tiles(
    pair: tuple[Path, ...], rsseg: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsseg.pipeline.stages.evaluate_regions.LARGEST", 600 * 40 - 1)
    code, _, err = rsseg("evaluate", pair[0], "--reference", pair[1], "--regions", "components")
    assert code == 2 and "components" in err and "--tile" in err
    assert rsseg("evaluate", pair[0], "--reference", pair[1], "--regions", "components", "--tile", 90)[0] == 0


def test_polygons_are_a_reference_for_segmentations_too(tmp_path: Path) -> None:
    labels = np.ones((30, 30), np.uint8)
    labels[:, 15:] = 2
    boxes = [(0, 0, 20, 10, "grass"), (0, 10, 20, 20, "water")]
    polygons = write_boxes(tmp_path / "p.gpkg", grid_for((30, 30)), boxes)
    result = evaluate(write_map(tmp_path / "m.tif", labels), polygons, field="class")
    score = result.segmentation.scores["one-to-one"]
    assert score.overall_accuracy == pytest.approx(25 / 30)
    assert score.boundary_displacement_error == pytest.approx((5 + 4) / 2)
    assert evaluate(tmp_path / "m.tif", polygons, field="class", tile=10).segmentation.tiles == 6


def test_a_tile_of_one_pixel_is_refused(pair: tuple[Path, ...], rsseg: Run) -> None:
    with pytest.raises(UsageError, match="--tile 2"):
        evaluate(pair[0], pair[1], tile=1)
    assert rsseg("evaluate", pair[0], "--reference", pair[1], "--tile", 1)[0] == 2
