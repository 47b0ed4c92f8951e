from pathlib import Path

import geopandas
import numpy as np
import pandas
import pyogrio
import pytest
from labelmaps import grid_for, write_boxes, write_map, write_plain
from rasterio.features import rasterize
from shapely.geometry import Polygon

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import LabelMap
from rsseg.label.reference import open_reference
from rsseg.publish.labels import LabelClass
from rsseg.scene.grid import Window

GRID = grid_for((60, 80))


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_map(tmp_path / "map.tif", np.ones(GRID.shape, np.uint8))


def read(path: Path, labels: Path, field: str | None = "class", window: Window | None = None) -> np.ndarray:
    with LabelMap(labels) as source, open_reference(path, source.grid, labels, field) as reference:
        return reference.read(window or GRID.window)


def test_classes_are_sorted_by_name_and_cover_their_pixels(tmp_path: Path, labels: Path) -> None:
    boxes = [(0, 0, 5, 5, "water"), (10, 20, 3, 7, "forest"), (40, 40, 2, 2, "town")]
    path = write_boxes(tmp_path / "p.gpkg", GRID, boxes)
    expected = np.zeros(GRID.shape, np.uint8)
    for (row, col, rows, cols, _), code in zip(boxes, (3, 1, 2), strict=True):
        expected[row : row + rows, col : col + cols] = code
    with LabelMap(labels) as source, open_reference(path, source.grid, labels, "class") as reference:
        assert reference.classes == ("forest", "town", "water")
    assert np.array_equal(read(path, labels), expected)


def test_windows_join_to_the_whole(tmp_path: Path, labels: Path, rng: np.random.Generator) -> None:
    corners = rng.uniform(0, 1, (12, 3, 2)) * (400, -300) + (600000, 2500000)
    frame = geopandas.GeoDataFrame({"class": list("abcabcabcabc")}, geometry=list(map(Polygon, corners)), crs=GRID.crs)
    frame.to_file(tmp_path / "p.gpkg")
    whole = read(tmp_path / "p.gpkg", labels)
    parts = [read(tmp_path / "p.gpkg", labels, window=Window(row, 0, 7, 80)) for row in range(0, 56, 7)]
    assert np.array_equal(np.vstack(parts), whole[:56])
    burnt = rasterize(
        zip(frame.geometry, [1, 2, 3] * 4, strict=True), out_shape=GRID.shape, transform=(5, 0, 600000, 0, -5, 2500000)
    )
    assert np.array_equal(whole, burnt)


def test_polygons_of_another_crs_are_reprojected(tmp_path: Path, labels: Path) -> None:
    write_boxes(tmp_path / "p.gpkg", GRID, [(5, 6, 20, 30, "a")])
    geopandas.read_file(tmp_path / "p.gpkg").to_crs(4326).to_file(tmp_path / "d.gpkg")
    assert (read(tmp_path / "d.gpkg", labels) == read(tmp_path / "p.gpkg", labels)).mean() > 0.999


def test_numbers_as_classes_sort_as_numbers(tmp_path: Path, labels: Path) -> None:
    write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 2, 2, 10), (3, 0, 2, 2, 9)], field="code")
    with LabelMap(labels) as source, open_reference(tmp_path / "p.gpkg", source.grid, labels, "code") as reference:
        assert reference.classes == ("9", "10")


@pytest.mark.parametrize("field", [None, "name"])
def test_a_missing_field_is_answered_with_the_fields(tmp_path: Path, labels: Path, field: str | None) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 2, 2, "a")])
    with pytest.raises(UsageError, match="its fields are class"):
        read(path, labels, field)


def test_polygons_elsewhere_are_an_error_with_both_boxes(tmp_path: Path, labels: Path) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(500, 0, 2, 2, "a")])
    with pytest.raises(GridError, match=r"p.gpkg touches the map.*2497490.*2499700"):
        read(path, labels)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_a_missing_crs_is_named_on_either_side(tmp_path: Path, labels: Path) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 2, 2, "a")])
    geopandas.read_file(path).set_crs(None, allow_override=True).to_file(tmp_path / "none.shp")
    with pytest.raises(GridError, match=r"none.shp has no CRS"):
        read(tmp_path / "none.shp", labels)
    nowhere = write_map(tmp_path / "nowhere.tif", np.ones(GRID.shape, np.uint8), grid=grid_for(GRID.shape, crs=None))
    with pytest.raises(GridError, match=r"nowhere.tif has no CRS"):
        read(path, nowhere)


def test_polygons_without_a_class_are_left_out(tmp_path: Path, labels: Path) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 2, 2, "a"), (10, 0, 2, 2, None), (20, 0, 2, 2, " ")])
    assert (read(path, labels) > 0).sum() == 4
    nameless = write_boxes(tmp_path / "o.gpkg", GRID, [(0, 0, 2, 2, None)])
    with pytest.raises(InputError, match="no polygon with a value in field 'class'"):
        read(nameless, labels)


def test_a_style_table_in_a_geopackage_is_no_layer_but_a_second_layer_is(tmp_path: Path, labels: Path) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 2, 2, "a")])
    pyogrio.write_dataframe(pandas.DataFrame({"styleName": ["x"]}), path, layer="layer_styles")
    assert (read(path, labels) > 0).sum() == 4
    geopandas.read_file(path, layer="p").to_file(path, layer="second")
    with pytest.raises(InputError, match=r"2 layers of geometries \(p, second\)"):
        read(path, labels)


def test_a_raster_of_any_whole_numbers_is_numbered_by_value(tmp_path: Path, labels: Path) -> None:
    values = np.zeros(GRID.shape, np.int32)
    values[:3], values[3:6], values[6:9] = 312, 111, -9999
    path = write_plain(tmp_path / "r.tif", values, GRID, nodata=-9999)
    with LabelMap(labels) as source, open_reference(path, source.grid, labels) as reference:
        assert reference.classes == ("class 111", "class 312")
        codes = reference.read(GRID.window)
    assert np.array_equal(codes[:, 0][:10], [2, 2, 2, 1, 1, 1, 0, 0, 0, 0])


def test_a_raster_keeps_the_names_of_its_categories(tmp_path: Path, labels: Path) -> None:
    values = np.full(GRID.shape, 7, np.uint8)
    path = write_map(tmp_path / "r.tif", values, classes=[LabelClass(7, "mangrove", "#00ff00")])
    with LabelMap(labels) as source, open_reference(path, source.grid, labels) as reference:
        assert reference.classes == ("mangrove",)
        assert (reference.read(GRID.window) == 1).all()
    with pytest.raises(UsageError, match="no field 'class'"):
        read(path, labels)


def test_what_is_no_class_raster_is_refused(tmp_path: Path, labels: Path) -> None:
    many = write_plain(tmp_path / "m.tif", np.arange(4800, dtype=np.int32).reshape(GRID.shape), GRID)
    with pytest.raises(InputError, match="more than 255"):
        read(many, labels, None)
    empty = write_plain(tmp_path / "e.tif", np.zeros(GRID.shape, np.uint8), GRID)
    with pytest.raises(GridError, match="no reference pixel"):
        read(empty, labels, None)
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "absent.gpkg", labels)
    (tmp_path / "text.gpkg").write_text("no polygons")
    with pytest.raises(InputError, match=r"text.gpkg"):
        read(tmp_path / "text.gpkg", labels)
