"""Points drawn from a map, filled in, and what they tell of it."""

import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
from labelmaps import Run, grid_for, write_map

from rsseg.label.sample_design import read_design
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.pipeline.stages.sample import sample
from rsseg.publish.labels import LabelClass

SHAPE = (300, 220)
GRID = grid_for(SHAPE)
CLASSES = [LabelClass(1, "forest", "#007700"), LabelClass(2, "town", "#aa0000"), LabelClass(3, "water", "#0000cc")]
HOSTILE = [
    "<script>alert(1)</script>",
    "a;b,\"c\" 'd' = e",
    "two\nlines",
    "=1+1",
    "水面 و Ökosystem",
    "n" * 300,
    "$x_{",
]


@pytest.fixture
def truth() -> np.ndarray:
    rng = np.random.default_rng(2)
    return 1 + np.kron(rng.choice(3, (30, 22), p=[0.6, 0.1, 0.3]), np.ones((10, 10))).astype(np.uint8)


@pytest.fixture
def labels(tmp_path: Path, truth: np.ndarray) -> Path:
    """A map that is wrong at a tenth of the pixels, and has no data in a corner."""
    rng = np.random.default_rng(3)
    wrong = rng.random(SHAPE) < 0.1
    values = np.where(wrong, rng.integers(1, 4, SHAPE), truth).astype(np.uint8)
    values[:20, :20] = 0
    return write_map(tmp_path / "map.tif", values, classes=CLASSES)


def fill(path: Path, truth: np.ndarray, names: list[str]) -> None:
    """Look at every point, as an interpreter does in a GIS."""
    frame = geopandas.read_file(path, layer="sample")
    frame["reference"] = [names[truth[row, col] - 1] for row, col in zip(frame.row, frame.col, strict=True)]
    design = pyogrio.read_dataframe(path, layer="rsseg_sample", read_geometry=False)
    path.unlink()
    frame.to_file(path, layer="sample")
    pyogrio.write_dataframe(design, path, layer="rsseg_sample", append=True)


def test_points_are_pixel_centres_with_an_empty_field(tmp_path: Path, labels: Path, rsseg: Run) -> None:
    out = tmp_path / "points.gpkg"
    code, text, err = rsseg("sample", labels, "-o", out, "--size", 400, "--minimum", 60)
    assert (code, err) == (0, "") and "400 points in 3 classes" in text
    frame = geopandas.read_file(out, layer="sample")
    assert list(frame.columns) == ["id", "row", "col", "stratum", "map_class", "reference", "geometry"]
    assert (frame.reference == "").all() and frame.id.tolist() == list(range(1, 401)) and frame.crs == GRID.crs
    rows, cols = GRID.rowcol(frame.geometry.x.to_numpy(), frame.geometry.y.to_numpy())
    assert np.allclose(rows, frame.row + 0.5) and np.allclose(cols, frame.col + 0.5)
    design = read_design(out)
    assert design is not None and [stratum.name for stratum in design.strata] == ["forest", "town", "water"]
    assert sum(stratum.pixels for stratum in design.strata) == 300 * 220 - 400
    assert min(stratum.points for stratum in design.strata) == 60
    assert [(frame.map_class == stratum.name).sum() for stratum in design.strata] == [s.points for s in design.strata]


def test_equal_maps_and_seeds_give_equal_bytes(tmp_path: Path, labels: Path, rsseg: Run) -> None:
    for name in ("a.gpkg", "b.gpkg", "a.csv", "b.csv"):
        assert rsseg("sample", labels, "-o", tmp_path / name, "--size", 300)[0] == 0
    assert rsseg("sample", labels, "-o", tmp_path / "c.gpkg", "--size", 300, "--seed", 1)[0] == 0
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert content["a.gpkg"] == content["b.gpkg"] != content["c.gpkg"]
    assert content["a.csv"] == content["b.csv"] and content["a.strata.csv"] == content["b.strata.csv"]


def test_estimates_meet_the_truth(tmp_path: Path, labels: Path, truth: np.ndarray, rsseg: Run) -> None:
    out = tmp_path / "points.gpkg"
    sample(labels, out, size=1500)
    fill(out, truth, ["forest", "town", "water"])
    code, text, err = rsseg("evaluate", labels, "--reference", out, "-o", tmp_path / "e")
    assert (code, err) == (0, "") and "names: overall accuracy 0.9" in text and "area in hectares" in text
    stored = json.loads((tmp_path / "e" / "evaluation.json").read_text("utf-8"))
    found = stored["estimates"]["assignments"]["names"]
    mapped = np.ones(SHAPE, bool)
    mapped[:20, :20] = False
    for line, value in zip(found["classes"], (1, 2, 3), strict=True):
        hectares = ((truth == value) & mapped).sum() * 25 / 1e4
        assert abs(line["area_ha"] - hectares) < 3.5 * line["area_ha_se"]
        assert line["area_ha_low"] < line["area_ha"] < line["area_ha_high"]
    right = (np.asarray(_read(labels)) == truth)[mapped].mean()
    assert abs(found["overall_accuracy"]["value"] - right) < 3.5 * found["overall_accuracy"]["value_se"]
    assert stored["unit"] == "points" and stored["segmentation"] is None
    lines = list(csv.DictReader((tmp_path / "e" / "estimates_names.csv").open(encoding="utf-8")))
    assert [line["class"] for line in lines] == ["forest", "town", "water"]
    assert float(lines[0]["area_ha"]) == pytest.approx(found["classes"][0]["area_ha"], abs=1e-5)


def _read(path: Path) -> np.ndarray:
    import rasterio

    with rasterio.open(path) as file:
        values: np.ndarray = file.read(1)
    return values


def test_plain_counts_of_a_stratified_sample_are_biased_and_estimates_are_not(tmp_path: Path, rsseg: Run) -> None:
    """A rare class that is mostly wrong has half of the points of an equal allocation."""
    truth = np.ones(SHAPE, np.uint8)
    labels = truth.copy()
    labels[:5] = 2  # all wrong
    path = write_map(tmp_path / "m.tif", labels, classes=CLASSES)
    sample(path, tmp_path / "p.gpkg", size=200, allocation="equal")
    fill(tmp_path / "p.gpkg", truth, ["forest", "town", "water"])
    result = evaluate(path, tmp_path / "p.gpkg", mapping=None)
    assert result.estimates is not None
    assert result.confusions["names"].overall_accuracy == 0.5
    assert result.estimates.found["names"].overall_accuracy.value == pytest.approx(295 / 300)


def test_a_map_without_crs_gives_a_table(tmp_path: Path, truth: np.ndarray, rsseg: Run) -> None:
    path = write_map(tmp_path / "m.tif", truth, grid=grid_for(SHAPE, crs=None), classes=CLASSES)
    code, _, err = rsseg("sample", path, "-o", tmp_path / "p.gpkg")
    assert code == 2 and "no CRS" in err and ".csv" in err
    table = tmp_path / "p.csv"
    assert rsseg("sample", path, "-o", table, "--size", 300)[0] == 0
    lines = list(csv.DictReader(table.open(encoding="utf-8")))
    assert len(lines) == 300 and list(lines[0]) == ["id", "row", "col", "stratum", "map_class", "reference"]
    for line in lines:
        line["reference"] = CLASSES[truth[int(line["row"]), int(line["col"])] - 1].name
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    code, text, _ = rsseg("evaluate", path, "--reference", table)
    assert code == 0 and "overall accuracy 1.0000 +- 0.0000" in text and "share" in text

    with table.open("w", encoding="utf-8-sig", newline="") as file:  # as a spreadsheet with decimal commas saves it
        writer = csv.DictWriter(file, lines[0], delimiter=";")
        writer.writeheader()
        writer.writerows(lines)
    assert rsseg("evaluate", path, "--reference", table)[:2] == (0, text)

    (tmp_path / "p.strata.csv").unlink()
    code, _, err = rsseg("evaluate", path, "--reference", table)
    assert code == 2 and "STEM.strata.csv: keep it with them" in err


def test_another_map_is_refused_and_the_same_in_another_file_is_not(
    tmp_path: Path, labels: Path, truth: np.ndarray, rsseg: Run
) -> None:
    out = tmp_path / "points.gpkg"
    sample(labels, out, size=300)
    fill(out, truth, ["forest", "town", "water"])
    values = _read(labels)
    assert rsseg("evaluate", write_map(tmp_path / "copy.tif", values, classes=CLASSES), "--reference", out)[0] == 0
    values[0, 100], values[0, 101] = values[0, 101] % 3 + 1, values[0, 100]
    changed = write_map(tmp_path / "other.tif", values, classes=CLASSES)
    code, _, err = rsseg("evaluate", changed, "--reference", out)
    assert code == 1 and "not the map that the points" in err and "map.tif" in err


def test_unanswered_points_are_counted_and_empty_strata_refused(
    tmp_path: Path, labels: Path, truth: np.ndarray, rsseg: Run
) -> None:
    out = tmp_path / "points.csv"
    sample(labels, out, size=300)
    code, _, err = rsseg("evaluate", labels, "--reference", out)
    assert code == 1 and "no point has a value" in err
    lines = list(csv.DictReader(out.open(encoding="utf-8")))
    for i, line in enumerate(lines):
        if i % 5:
            line["reference"] = CLASSES[truth[int(line["row"]), int(line["col"])] - 1].name
    _write(out, lines)
    code, text, _ = rsseg("evaluate", labels, "--reference", out)
    assert code == 0 and "60 points have no class yet" in text
    for line in lines:
        line["reference"] = "" if line["map_class"] == "town" else line["reference"]
    _write(out, lines)
    code, _, err = rsseg("evaluate", labels, "--reference", out)
    assert code == 1 and "town (0)" in err


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)


def test_points_that_were_added_or_copied_are_refused(tmp_path: Path, labels: Path, rsseg: Run) -> None:
    out = tmp_path / "points.csv"
    sample(labels, out, size=300)
    lines = [{**line, "reference": "forest"} for line in csv.DictReader(out.open(encoding="utf-8"))]
    _write(out, [*lines, lines[0]])
    code, _, err = rsseg("evaluate", labels, "--reference", out)
    assert code == 1 and "two points in one pixel" in err
    added = next(col for col in range(30, 220) if not any(x["row"] == "0" and x["col"] == str(col) for x in lines))
    _write(out, [*lines, {**lines[0], "row": "0", "col": str(added)}])
    code, _, err = rsseg("evaluate", labels, "--reference", out)
    assert code == 1 and "were drawn there" in err
    _write(out, [*lines[1:], {**lines[0], "row": "0", "col": "0"}])
    code, _, err = rsseg("evaluate", labels, "--reference", out)
    assert code == 1 and "no data" in err
    _write(out, lines)
    code, _, err = rsseg("evaluate", labels, "--reference", out, "--held-out")
    assert code == 2 and "random sample" in err


def test_a_class_seen_nowhere_on_the_map_has_an_area_and_no_users_accuracy(
    tmp_path: Path, labels: Path, truth: np.ndarray
) -> None:
    out = tmp_path / "points.gpkg"
    sample(labels, out, size=600)
    seen = truth.copy()
    seen[:, 110:] = 2  # what the map calls forest is road there; town is seen nowhere
    fill(out, seen, ["forest", "road", "water"])
    result = evaluate(labels, out, mapping=None)
    assert result.estimates is not None
    found = {item.name: item for item in result.estimates.found["names"].classes}
    assert found["road"].users_accuracy.value is None and (found["road"].area.value or 0) > 0.3
    assert found["town"].users_accuracy.value == 0 and found["town"].area.value == 0
    assert (found["town"].mapped or 0) > 0.05


def test_clusters_without_names_get_areas_of_the_classes_seen(tmp_path: Path, truth: np.ndarray) -> None:
    clusters = (truth * 2 - np.arange(220) % 2).astype(np.uint8)
    path = write_map(tmp_path / "m.tif", clusters)
    sample(path, tmp_path / "p.gpkg", size=600)
    fill(tmp_path / "p.gpkg", truth, ["forest", "town", "water"])
    result = evaluate(path, tmp_path / "p.gpkg", mapping=None)
    assert result.estimates is not None and list(result.estimates.found) == ["one-to-one", "many-to-one"]
    found = result.estimates.found["many-to-one"]
    assert found.overall_accuracy.value == 1
    assert [item.area.value for item in found.classes] == pytest.approx([(truth == k).mean() for k in (1, 2, 3)])


@pytest.mark.parametrize("suffix", ["gpkg", "csv"])
def test_hostile_names_survive(tmp_path: Path, suffix: str, rsseg: Run) -> None:
    values = np.kron(np.arange(1, 8), np.ones((20, 20))).astype(np.uint8)
    classes = [LabelClass(i, name, "#00ff00") for i, name in enumerate(HOSTILE, 1)]
    path, out = write_map(tmp_path / "m.tif", values, classes=classes), tmp_path / f"p.{suffix}"
    found = sample(path, out, size=350)
    names = [stratum.name for stratum in found.design.strata]
    assert read_design(out) == found.design
    if suffix == "gpkg":
        frame = geopandas.read_file(out, layer="sample")
        assert set(frame.map_class) == set(names)
        fill(out, values, names)
    else:
        lines = list(csv.DictReader(out.open(encoding="utf-8", newline="")))
        assert {line["map_class"].removeprefix("'") for line in lines} == set(names)
        _write(out, [{**line, "reference": line["map_class"]} for line in lines])
    code, text, err = rsseg("evaluate", path, "--reference", out, "-o", tmp_path / "e", "--json")
    assert (code, err) == (0, "")
    stored = json.loads(text)["estimates"]["assignments"]["names"]
    assert stored["overall_accuracy"]["value"] == pytest.approx(1)
    assert {line["class"] for line in stored["classes"]} == set(names)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "p.shp"), "end it in .gpkg or .csv"),
        (("-o", "p.gpkg", "--size", "100"), "--size 150 or more"),
        (("-o", "map.tif"), "end it in"),
        (("-o", "p.gpkg", "--expected-accuracy", "road=0.5"), "no class road; its classes are forest, town, water"),
        (("-o", "p.gpkg", "--expected-accuracy", "2"), "2 is no accuracy"),
        (("-o", "p.gpkg", "--expected-accuracy", "x"), "is not an expected accuracy"),
        (("-o", "p.gpkg", "--size", "2000000"), "1 to 1000000"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, labels: Path, rsseg: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    code, _, err = rsseg("sample", "map.tif", *words)
    assert code == 2 and message in err
    assert sorted(tmp_path.iterdir()) == before


def test_the_size_follows_the_expected_accuracy(tmp_path: Path, labels: Path, rsseg: Run) -> None:
    words = ("--standard-error", 0.02, "--allocation", "neyman", "--json")
    code, text, _ = rsseg("sample", labels, "-o", tmp_path / "a.csv", *words)
    usual = json.loads(text)["points"]
    assert code == 0 and usual == 319  # 0.85 x 0.15 / 0.02^2, rounded up
    words = (*words, "--expected-accuracy", 0.95, "--expected-accuracy", "town=0.5")
    told = json.loads(rsseg("sample", labels, "-o", tmp_path / "b.csv", *words)[1])
    assert told["points"] < usual
    town = next(stratum for stratum in told["strata"] if stratum["name"] == "town")
    pixels = sum(stratum["pixels"] for stratum in told["strata"])
    assert town["points"] / told["points"] > 1.5 * town["pixels"] / pixels
