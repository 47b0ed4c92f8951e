import csv
import json
from pathlib import Path

import geopandas
import numpy as np
import pyogrio
import pytest
import shapely
from labelmaps import Run, grid_for, write_boxes, write_map

from rsseg.pipeline.stages.zonal import zonal
from rsseg.publish.labels import LabelClass

CLASSES = [LabelClass(1, "<script>alert(1)</script>", "#102030"), LabelClass(2, "a;\"b'\n水", "#405060")]
LABELS = np.kron(np.array([[1, 2], [0, 1]], np.uint8), np.ones((10, 10), np.uint8))
ZONES = [(0, 0, 20, 20, "all"), (0, 5, 10, 10, "=1+1;\"o'\n<b>"), (10, 0, 10, 10, "empty"), (40, 0, 5, 5, "off")]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", LABELS, classes=CLASSES)


@pytest.fixture
def zones(tmp_path: Path) -> Path:
    return write_boxes(tmp_path / "zones.gpkg", grid_for(LABELS.shape), ZONES, "district")


def test_the_table_of_zones(tmp_path: Path, labels: Path, zones: Path) -> None:
    result = zonal(labels, zones, tmp_path / "out.csv", field="district")
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    # what a spreadsheet would take for a formula begins with an apostrophe
    assert [row["zone"] for row in rows] == ["all", f"'{ZONES[1][4]}", "empty", "off"]
    assert [int(row["pixels"]) for row in rows] == [400, 100, 100, 0]
    assert [int(row["valid_pixels"]) for row in rows] == [300, 100, 0, 0]
    assert [row["majority"] for row in rows] == ["1", "1", "0", "0"]
    assert [row["majority_name"] for row in rows] == [CLASSES[0].name, CLASSES[0].name, "", ""]
    assert [row["share_2"] for row in rows] == ["0.333333", "0.500000", "", ""]
    assert [float(row["area_m2_1"]) for row in rows] == [5000, 1250, 0, 0]
    assert [float(row["on_map"]) for row in rows] == [1, 1, 1, 0]
    assert result.outside == ["off"] and result.classes == {1: CLASSES[0].name, 2: CLASSES[1].name}


def test_the_polygons_come_along(tmp_path: Path, labels: Path, zones: Path) -> None:
    records = zonal(labels, zones, tmp_path / "out.gpkg", field="district").records
    zonal(labels, zones, tmp_path / "out.parquet", field="district")
    frames = geopandas.read_file(tmp_path / "out.gpkg", layer="zones"), geopandas.read_parquet(tmp_path / "out.parquet")
    given = geopandas.read_file(zones).geometry
    for frame in frames:
        assert frame["zone"].tolist() == [zone[4] for zone in ZONES]
        assert frame["pixels_1"].tolist() == [record["pixels_1"] for record in records]
        assert np.isnan(frame["share_1"].to_numpy()[2:]).all()
        assert frame.crs == "EPSG:32645"
        assert all(one.equals(other) for one, other in zip(frame.geometry, given, strict=True))
    table = pyogrio.read_dataframe(tmp_path / "out.gpkg", layer="classes")
    assert table["name"].tolist() == [item.name for item in CLASSES]


def test_equal_inputs_give_equal_bytes(tmp_path: Path, labels: Path, zones: Path) -> None:
    for suffix in ("csv", "gpkg", "parquet"):
        for name in ("a", "b"):
            zonal(labels, zones, tmp_path / name / f"out.{suffix}")
        assert (tmp_path / f"a/out.{suffix}").read_bytes() == (tmp_path / f"b/out.{suffix}").read_bytes()


def test_areas_of_all_polygons_are_those_of_the_map(tmp_path: Path, labels: Path) -> None:
    """Zones that share borders leave nothing out and count nothing twice."""
    grid = grid_for(LABELS.shape)
    left, bottom, right, top = grid.bounds
    points = np.random.default_rng(0).uniform([left, bottom], [right, top], (12, 2))
    cells = shapely.voronoi_polygons(shapely.MultiPoint(points), extend_to=shapely.box(*grid.bounds)).geoms
    geopandas.GeoDataFrame(geometry=list(cells), crs=grid.crs).to_file(tmp_path / "cells.fgb")
    records = zonal(labels, tmp_path / "cells.fgb", tmp_path / "out.csv").records
    assert sum(record["pixels"] for record in records) == LABELS.size
    assert sum(record["area_m2_2"] for record in records) == 2500


def test_what_is_said(rsseg: Run, labels: Path, zones: Path, tmp_path: Path) -> None:
    code, out, err = rsseg("zonal", labels, "--zones", zones, "-o", tmp_path / "out.csv", "--field", "district")
    assert code == 0 and "4 zones, 2 classes" in out
    assert "1 of 4 zones lie off the map and hold nothing: off" in err
    code, out, _ = rsseg("zonal", labels, "--zones", zones, "-o", tmp_path / "new.csv", "--json")
    assert json.loads(out)["records"][0]["pixels"] == 400


REFUSED = [
    ("map.tif --zones zones.gpkg -o out.shp", 2, "end it in one of .csv, .gpkg, .parquet"),
    ("map.tif --zones zones.gpkg -o zones.gpkg --overwrite", 2, "is an input too"),
    ("map.tif --zones zones.gpkg -o out.csv --field town", 2, "no field 'town'; its fields are district"),
    ("map.tif --zones map.tif -o out.csv", 1, "is no file of polygons"),
    ("map.tif -o out.csv", 2, "Missing option '--zones'"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_what_is_refused(
    rsseg: Run,
    tmp_path: Path,
    labels: Path,
    zones: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    code: int,
    message: str,
) -> None:
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    found, out, err = rsseg("zonal", *words.split())
    assert (found, out) == (code, "") and message in err
    assert sorted(tmp_path.iterdir()) == before


def test_zones_that_all_lie_elsewhere_are_refused(tmp_path: Path, rsseg: Run) -> None:
    path = write_map(tmp_path / "m.tif", np.ones((20, 20), np.uint8))
    zones = write_boxes(tmp_path / "far.gpkg", grid_for((9999, 9999)), [(9000, 9000, 9, 9, "far")])
    code, _, err = rsseg("zonal", path, "--zones", zones, "-o", tmp_path / "t.csv")
    assert code == 1 and "check the polygons' CRS" in err and not (tmp_path / "t.csv").exists()
