from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
import shapely

from rsseg.errors import RssegError
from rsseg.publish.palette import LabelClass
from rsseg.publish.vector import column_types, cut, geometries, outputs, short_names, write_vector
from rsseg.publish.vector_styles import polygon_qml
from rsseg.scene.grid import Grid

POINTS = np.array([[0, 0], [4, 0], [4, 3], [0, 3], [1, 1], [1, 2], [2, 2], [2, 1], [4, 0], [5, 0], [5, 1], [4, 1]])
RINGS, PARTS = np.array([0, 4, 8, 12]), np.array([0, 2, 3])


@pytest.mark.parametrize("transform", [(5.0, 0.0, 10.0, 0.0, -5.0, 90.0), (2.0, 1.0, 0.0, 1.0, 3.0, 0.0)])
def test_corners_become_polygons_on_the_map(transform: tuple[float, ...]) -> None:
    grid = Grid(9, 9, transform)  # type: ignore[arg-type]
    first, second = shapely.from_wkb(geometries(POINTS, RINGS, PARTS, grid))

    def ring(start: int) -> list[tuple[float, float]]:
        return [grid.xy(row, col) for col, row in POINTS[start : start + 4]]

    assert first.equals(shapely.Polygon(ring(0), [ring(4)])) and second.equals(shapely.Polygon(ring(8)))
    assert shapely.is_ccw([first.exterior, second.exterior]).all() and not shapely.is_ccw(first.interiors[0])


def test_short_names_differ_and_fit() -> None:
    names = ["value", "mean_green_edge", "mean_green_edge_2", "MEAN_GREEN", "mean_γγγγγγ", "mean_γγγγγγγ"]
    short = short_names(names)
    assert short[:4] == ["value", "mean_green", "mean_gre_1", "MEAN_GRE_2"]
    assert len({name.casefold() for name in short}) == len(names)
    assert all(len(name.encode()) <= 10 for name in short)


def test_texts_are_cut_between_characters() -> None:
    assert [cut("aé水", limit) for limit in range(7)] == ["", "a", "a", "aé", "aé", "aé", "aé水"]


def test_the_files_of_each_format() -> None:
    names = [path.name for path in outputs(Path("a.shp"), "EPSG:32645")]
    assert names == ["a.shx", "a.dbf", "a.prj", "a.cpg", "a.qml", "a.classes.csv", "a.shp"]
    assert [path.name for path in outputs(Path("a.gpkg"), None)] == ["a.gpkg"]


def test_what_batches_raise_comes_through(tmp_path: Path) -> None:
    class Odd(Exception):
        pass

    def batches() -> object:
        raise Odd("of the source")
        yield

    schema = column_types({"value": pa.int32()})
    for suffix in ("gpkg", "parquet"):
        with pytest.raises(Odd):
            write_vector(tmp_path / f"a.{suffix}", schema, batches(), Grid(2, 2))  # type: ignore[arg-type]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    schema = column_types({"value": pa.int32()})
    with pytest.raises(RssegError, match=r"cannot write a\.gpkg"):
        write_vector(tmp_path / "nowhere" / "a.gpkg", schema, [], Grid(2, 2))


HOSTILE = ["\"q' & <script>alert(1)</script>", "two\nlines\tand a tab", "水域 воды ماء", "x" * 300, "]]>&amp;"]


def test_styles_hold_names_of_any_text() -> None:
    classes = [LabelClass(value, name, "#102030") for value, name in enumerate(HOSTILE, 3)]
    root = ET.fromstring(polygon_qml(classes))
    assert [item.get("label") for item in root.iter("category")] == HOSTILE
    assert [item.get("value") for item in root.iter("category")] == ["3", "4", "5", "6", "7"]
    symbols = {item.get("name"): item for item in root.iter("symbol")}
    assert set(symbols) == {item.get("symbol") for item in root.iter("category")}
    colours = {option.get("value") for option in root.iter("Option") if option.get("name") == "color"}
    assert colours == {"16,32,48,255"}


def test_a_style_has_no_character_that_xml_lacks() -> None:
    root = ET.fromstring(polygon_qml([LabelClass(1, "a\x00b\ud800", "#102030")]))
    assert [item.get("label") for item in root.iter("category")] == ["a�b�"]
