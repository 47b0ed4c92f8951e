import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import geopandas
import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from labelmaps import Run, grid_for, write_map, write_plain
from rasterio.crs import CRS
from scenes import write_scene

from rsseg.errors import GridError, InputError, UsageError
from rsseg.pipeline.stages.vectorize import VectorizeSettings, vectorize
from rsseg.publish.labels import LabelClass, default_classes
from rsseg.scene.area import pixel_areas
from rsseg.scene.grid import Grid

ALL = VectorizeSettings(mmu_pixels=1)
SUFFIXES = ("gpkg", "parquet", "fgb", "shp", "geojson")
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quotes\" & 'more'; DROP TABLE polygons;--",
    "two\nlines\tand a tab",
    "水域 воды ماء",
    "x" * 300,
    "=1+1",
    "]]>&amp;",
    "é" * 200,
]


def read(path: Path) -> Any:
    if path.suffix == ".parquet":
        return geopandas.read_parquet(path)
    return geopandas.read_file(path, layer="polygons" if path.suffix == ".gpkg" else None)


def random_labels(height: int = 30, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (height, width), np.uint8)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", random_labels())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_the_map(tmp_path: Path, labels: Path, suffix: str) -> None:
    output = tmp_path / f"out.{suffix}"
    result = vectorize(labels, output, ALL)
    frame = read(output)
    assert len(frame) == result.count > 100
    assert frame.geometry.is_valid.all()
    values = random_labels()
    for value in (1, 2, 3):
        assert frame.loc[frame["value"] == value, "pixels"].sum() == np.count_nonzero(values == value)
        assert set(frame.loc[frame["value"] == value, "name"]) == {f"cluster {value}"}
    assert frame["area_m2"].sum() == 25 * np.count_nonzero(values)
    assert sorted(frame["id"]) == list(range(1, len(frame) + 1))
    if suffix == "geojson":
        assert frame.crs == "EPSG:4326"
    else:
        assert frame.crs == "EPSG:32645"
        assert np.allclose(frame.geometry.area, frame["area_m2"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("size", [0.0, 1.0])
def test_equal_inputs_give_equal_bytes(tmp_path: Path, labels: Path, suffix: str, size: float) -> None:
    for name in ("a", "b"):
        vectorize(labels, tmp_path / name / f"out.{suffix}", VectorizeSettings(simplify_pixels=size))
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_rings_follow_the_rules_of_their_formats(tmp_path: Path) -> None:
    values = np.ones((12, 12), np.uint8)
    values[3:6, 4:8] = values[8, 8] = 2
    labels = write_map(tmp_path / "map.tif", values)
    for suffix in ("gpkg", "parquet", "geojson"):
        vectorize(labels, tmp_path / suffix / f"out.{suffix}", ALL)
        shapes = read(tmp_path / suffix / f"out.{suffix}").geometry.to_numpy()
        assert shapely.is_ccw(shapely.get_exterior_ring(shapes)).all()
        holes = [hole for shape in shapes for hole in shape.interiors]
        assert holes and not shapely.is_ccw(holes).any()


def test_neighbours_share_their_borders_and_cover_what_is_valid(tmp_path: Path, labels: Path) -> None:
    for settings in (ALL, VectorizeSettings(), VectorizeSettings(mmu_pixels=3, simplify=8.0)):
        vectorize(labels, tmp_path / "out.gpkg", settings, overwrite=True)
        frame = read(tmp_path / "out.gpkg")
        assert shapely.coverage_is_valid(frame.geometry.to_numpy())
        assert frame["pixels"].sum() == np.count_nonzero(random_labels())
        assert np.allclose(frame.geometry.area, frame["area_m2"])
        assert frame.geometry.union_all().area == pytest.approx(frame.geometry.area.sum())


def test_regions_below_the_minimum_are_merged(tmp_path: Path) -> None:
    values = np.ones((20, 20), np.uint8)
    values[3:5, 3:5] = 2  # 4 pixels, 100 square metres
    values[10:13, 10:13] = 3  # 9 pixels
    source = write_map(tmp_path / "map.tif", values)
    found = {}
    for name, settings in {
        "default": VectorizeSettings(),
        "all": ALL,
        "pixels": VectorizeSettings(mmu_pixels=10),
        "area": VectorizeSettings(mmu=100.0),
        "more": VectorizeSettings(mmu=100.1),
    }.items():
        found[name] = vectorize(source, tmp_path / f"{name}.gpkg", settings).count
    assert found == {"default": 2, "all": 3, "pixels": 1, "area": 3, "more": 2}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_hostile_names_survive(tmp_path: Path, suffix: str) -> None:
    classes = [LabelClass(value, name, "#102030") for value, name in enumerate(HOSTILE, 1)]
    values = np.repeat(np.arange(1, len(HOSTILE) + 1, dtype=np.uint8), 4)[None].repeat(4, axis=0)
    source = write_map(tmp_path / "map.tif", values, classes=classes)
    output = tmp_path / f"out.{suffix}"
    vectorize(source, output, ALL)
    frame = read(output).sort_values("value")
    # XML, where names come from, makes one space of each of these
    wanted = [name.encode()[:254].decode(errors="ignore") if suffix == "shp" else name for name in HOSTILE]
    assert frame["name"].tolist() == wanted
    style = style_of(output)
    assert [item.get("label") for item in style.iter("category")] == wanted
    assert [item.get("value") for item in style.iter("category")] == [str(value) for value in frame["value"]]


def style_of(output: Path) -> ET.Element:
    if output.suffix == ".gpkg":
        row = pyogrio.read_dataframe(output, layer="layer_styles").iloc[0]
        assert (row["f_table_name"], row["f_geometry_column"], row["useAsDefault"]) == ("polygons", "geom", True)
        return ET.fromstring(row["styleQML"])
    return ET.fromstring(output.with_suffix(".qml").read_text(encoding="utf-8"))


def test_a_cut_name_is_said(rsseg: Run, tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", np.ones((4, 4)), classes=[LabelClass(1, "é" * 200, "#102030")])
    code, _, err = rsseg("vectorize", source, "-o", tmp_path / "out.shp")
    assert code == 0 and "254 bytes of a name; that of class 1 is cut" in err
    assert read(tmp_path / "out.shp")["name"].tolist() == ["é" * 127]
    assert (tmp_path / "out.cpg").read_text().strip() == "UTF-8"


def test_a_control_character_of_a_name_does_no_harm(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", np.ones((4, 4)), classes=[LabelClass(1, "a\x00b\x1f;c", "#102030")])
    for suffix in SUFFIXES:
        vectorize(source, tmp_path / suffix / f"out.{suffix}", ALL)
        assert read(tmp_path / suffix / f"out.{suffix}")["name"].tolist() == ["a�b�;c"]


def test_classes_are_listed_with_their_areas(tmp_path: Path, labels: Path) -> None:
    result = vectorize(labels, tmp_path / "out.gpkg", ALL)
    table = pyogrio.read_dataframe(tmp_path / "out.gpkg", layer="classes")
    assert table.to_dict("records") == result.classes
    counts = np.bincount(random_labels().ravel())
    assert table["pixels"].tolist() == counts[1:].tolist()
    assert table["share"].tolist() == pytest.approx((counts[1:] / counts[1:].sum()).tolist())
    assert table["colour"].tolist() == [item.colour for item in default_classes(3)]
    vectorize(labels, tmp_path / "out.fgb", ALL)
    lines = (tmp_path / "out.classes.csv").read_text().splitlines()
    assert lines[0] == "value,name,colour,polygons,pixels,area_m2,share" and len(lines) == 4


def test_means_of_scene_and_confidence(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", 30, 40)
    grid = grid_for((30, 40))
    confidence = np.random.default_rng(1).integers(0, 256, (30, 40)).astype(np.uint8)
    write_plain(tmp_path / "conf.tif", confidence, grid, nodata=255)
    with rasterio.open(tmp_path / "conf.tif", "r+") as file:
        file.scales = (1 / 254,)
    values = np.kron(np.array([[1, 2], [0, 3]], np.uint8), np.ones((15, 20), np.uint8))
    source = write_map(tmp_path / "map.tif", values, grid=grid)
    vectorize(source, tmp_path / "out.gpkg", scene=scene, confidence=tmp_path / "conf.tif")
    frame = read(tmp_path / "out.gpkg").set_index("value")
    with rasterio.open(scene) as opened:
        stored = opened.read()
    valid = (stored != 65535).all(axis=0)
    for value in (1, 2, 3):
        inside = (values == value) & valid
        wanted = stored[:, inside].mean(axis=1) * 1e-4 - 0.1
        assert frame.loc[value, ["mean_green", "mean_red", "mean_nir"]].to_numpy(float) == pytest.approx(wanted)
        known = confidence[(values == value) & (confidence != 255)]
        assert frame.loc[value, "confidence"] == pytest.approx(known.mean() / 254)


def test_no_valid_value_is_no_mean(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", 30, 40)
    values = np.full((30, 40), 2, np.uint8)
    values[:3, :5] = 1  # where the scene has no data
    for suffix in ("gpkg", "parquet", "shp", "fgb"):
        source, output = write_map(tmp_path / f"{suffix}.tif", values), tmp_path / suffix / f"out.{suffix}"
        vectorize(source, output, scene=scene)
        means = read(output).set_index("value")["mean_green"]
        assert np.isnan(means[1]) and means[2] > 0


def test_areas_on_the_ellipsoid(tmp_path: Path) -> None:
    grid = Grid(30, 40, (0.001, 0.0, 88.0, 0.0, -0.001, 60.0), CRS.from_epsg(4326).to_wkt())
    values = random_labels()
    source = write_map(tmp_path / "map.tif", values, grid=grid)
    vectorize(source, tmp_path / "out.gpkg", ALL)
    frame = read(tmp_path / "out.gpkg")
    assert frame["area_m2"].sum() == pytest.approx((pixel_areas(grid)[:, None] * (values > 0)).sum(), rel=1e-12)
    geod = pyproj.Geod(ellps="WGS84")
    for shape, area in zip(frame.geometry[:30], frame["area_m2"], strict=False):
        assert abs(geod.geometry_area_perimeter(shape)[0]) == pytest.approx(area, rel=1e-5)


def test_a_turned_map(tmp_path: Path) -> None:
    turned = rasterio.Affine.translation(6e5, 2.5e6) @ rasterio.Affine.rotation(30) @ rasterio.Affine.scale(5, -5)
    grid = Grid(30, 40, tuple(turned)[:6], CRS.from_epsg(32645).to_wkt())
    vectorize(write_map(tmp_path / "map.tif", random_labels(), grid=grid), tmp_path / "out.gpkg", ALL)
    frame = read(tmp_path / "out.gpkg")
    assert frame.geometry.is_valid.all() and shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert np.allclose(frame.geometry.area, frame["area_m2"])
    assert frame["area_m2"].sum() == pytest.approx(25 * np.count_nonzero(random_labels()))
    column, row = 17, 8
    point = shapely.Point(turned @ (column + 0.5, row + 0.5))
    inside = frame[frame.geometry.contains(point)]
    assert inside["value"].tolist() == [value for value in [random_labels()[row, column]] if value]


def test_a_map_without_crs(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", random_labels(), grid=Grid(30, 40))
    for suffix in ("gpkg", "parquet", "fgb", "shp"):
        vectorize(source, tmp_path / suffix / f"out.{suffix}", ALL)
        frame = read(tmp_path / suffix / f"out.{suffix}")
        assert "area_m2" not in frame.columns
        assert frame.geometry.area.sum() == np.count_nonzero(random_labels())
        assert frame.geometry.bounds["maxy"].max() <= 0
    assert not (tmp_path / "shp" / "out.prj").exists()
    with pytest.raises(GridError, match="longitude and latitude, but the map has no CRS"):
        vectorize(source, tmp_path / "out.geojson", ALL)
    with pytest.raises(UsageError, match="use --mmu-pixels"):
        vectorize(source, tmp_path / "new.gpkg", VectorizeSettings(mmu=100.0))
    with pytest.raises(UsageError, match="use --simplify-pixels"):
        vectorize(source, tmp_path / "new.gpkg", VectorizeSettings(simplify=10.0))


def test_one_pixel(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        source = write_map(tmp_path / f"{suffix}.tif", np.ones((1, 1)))
        output = tmp_path / suffix / f"out.{suffix}"
        assert vectorize(source, output, VectorizeSettings(simplify_pixels=3.0)).count == 1
        assert read(output)["area_m2"].tolist() == [25.0]


@pytest.mark.parametrize(("suffix", "left"), [("gpkg", "out.gpkg-wal"), ("shp", "out.qix")])
def test_overwriting_leaves_nothing_of_the_old_file(tmp_path: Path, labels: Path, suffix: str, left: str) -> None:
    output = tmp_path / "new" / f"out.{suffix}"
    vectorize(labels, output, ALL)
    names = sorted(path.name for path in output.parent.iterdir())
    (output.parent / left).write_text("of the old file")
    assert vectorize(labels, output, VectorizeSettings(mmu_pixels=5), overwrite=True).count == len(read(output))
    assert sorted(path.name for path in output.parent.iterdir()) == names


def test_a_map_of_no_data_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write_map(tmp_path / "map.tif", np.zeros((4, 5)))
    before = sorted(tmp_path.iterdir())
    for suffix in SUFFIXES:
        with pytest.raises(InputError, match="no data only"):
            vectorize(source, tmp_path / f"out.{suffix}")
        assert sorted(tmp_path.iterdir()) == before


def test_what_goes_wrong_while_reading_is_said(tmp_path: Path) -> None:
    values = np.ones((1100, 20), np.int16)
    values[1000, 10] = 300
    source = write_plain(tmp_path / "map.tif", values, grid_for((1100, 20)))
    for suffix in SUFFIXES:
        with pytest.raises(InputError, match="holds the value 300"):
            vectorize(source, tmp_path / f"out.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


REFUSED = [
    ("map.tif -o out.kml", 2, "end it in one of .gpkg, .parquet, .fgb, .shp, .geojson"),
    ("map.tif -o old.gpkg", 2, "old.gpkg exists; use --overwrite"),
    ("map.tif -o styled.fgb", 2, "styled.qml exists; use --overwrite"),
    ("map.tif -o map.fgb --overwrite", 2, "map.qml is an input too"),
    ("nowhere.tif -o out.gpkg", 1, "nowhere.tif does not exist"),
    ("map.tif -o out.gpkg --mmu 10 --mmu-pixels 3", 2, "two units of one thing"),
    ("map.tif -o out.gpkg --simplify -1", 2, "cannot be negative"),
    ("map.tif -o out.gpkg --simplify nan", 2, "cannot be negative"),
    ("map.tif -o out.gpkg --mmu-pixels 0", 2, "0 is not in the range"),
    ("map.tif -o out.gpkg --scene other.tif", 1, "lies on another grid"),
    ("map.tif -o out.gpkg --confidence scene.tif", 1, "has 3 bands; a confidence raster has one"),
    ("map.tif -o out.gpkg --confidence map.tif", 1, "a confidence is 0 to 1"),
    ("scene.tif -o out.gpkg", 1, "is no label raster"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_what_is_refused(
    rsseg: Run, tmp_path: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, words: str, code: int, message: str
) -> None:
    write_scene(tmp_path / "scene.tif", 30, 40)
    write_scene(tmp_path / "other.tif", 31, 40)
    for name in ("old.gpkg", "styled.qml"):
        (tmp_path / name).write_text("of last year")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    found, out, err = rsseg("vectorize", *words.split())
    assert (found, out) == (code, "") and message in err
    assert sorted(tmp_path.iterdir()) == before


def test_the_answer_as_json(rsseg: Run, tmp_path: Path, labels: Path) -> None:
    code, out, _ = rsseg("vectorize", labels, "-o", tmp_path / "new" / "out.gpkg", "--simplify", 10, "--json")
    answer = json.loads(out)
    assert code == 0
    assert (answer["minimum"], answer["tolerance"]) == (9, 2.0)
    assert answer["count"] == len(read(tmp_path / "new" / "out.gpkg"))


def test_polygons_need_no_torch() -> None:
    """It would take half of the memory."""
    code = "import sys, rsseg.pipeline.stages.vectorize, rsseg.pipeline.stages.zonal; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "False"


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="needs GDAL's ogrinfo on the path")
def test_gdal_lists_layers_and_fields(tmp_path: Path, labels: Path) -> None:
    vectorize(labels, tmp_path / "out.gpkg")
    text = subprocess.run(
        ["ogrinfo", "-so", "-al", str(tmp_path / "out.gpkg")], capture_output=True, text=True, check=True
    ).stdout
    for line in ("Layer name: polygons", "Layer name: classes", "Geometry: Polygon", "area_m2: Real", "name: String"):
        assert line in text


def test_a_real_map(tmp_path: Path, data: Path) -> None:
    source = data / "nc" / "nc_landclass96.tif"
    result = vectorize(source, tmp_path / "out.gpkg", VectorizeSettings(simplify_pixels=1.0))
    frame = read(tmp_path / "out.gpkg")
    assert shapely.coverage_is_valid(frame.geometry.to_numpy()) and frame["pixels"].min() >= 9
    with rasterio.open(source) as opened:
        labelled = np.count_nonzero(opened.dataset_mask())
        pixel = abs(opened.transform.determinant)
    assert frame["pixels"].sum() == labelled
    assert frame["area_m2"].sum() == pytest.approx(labelled * pixel, rel=0.01)
    assert result.count == len(frame)
