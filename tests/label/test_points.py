from pathlib import Path

import geopandas
import numpy as np
import pytest
from labelmaps import grid_for
from shapely.geometry import LineString, MultiPoint, Point

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.reference import PointReference, Reference, open_reference
from rsseg.scene.grid import Grid, Window

GRID = grid_for((60, 80))


def write_points(
    path: Path, places: list[tuple[float, float]], classes: list[str | None], grid: Grid = GRID, crs: object = None
) -> Path:
    """Points at fractional rows and columns."""
    shapes = [Point(*grid.xy(row, col)) for row, col in places]
    frame = geopandas.GeoDataFrame({"class": classes}, geometry=shapes, crs=grid.crs)
    (frame if crs is None else frame.to_crs(crs)).to_file(path)
    return path


def opened(path: Path, grid: Grid = GRID) -> Reference:
    return open_reference(path, grid, path, "class")


def test_a_point_scores_the_pixel_that_holds_it(tmp_path: Path) -> None:
    path = write_points(tmp_path / "o.gpkg", [(0, 0), (10.999, 20.5), (59.9, 79.9)], ["water", "forest", "water"])
    with opened(path) as reference:
        assert reference.classes == ("forest", "water") and reference.notes == []
        found = reference.read(GRID.window)
        assert {(int(r), int(c)): int(found[r, c]) for r, c in np.argwhere(found)} == {
            (0, 0): 2,
            (10, 20): 1,
            (59, 79): 2,
        }
        assert np.array_equal(reference.read(Window(8, 15, 5, 10)), found[8:13, 15:25])


def test_points_outside_are_counted_and_edges_belong_to_one_side(tmp_path: Path) -> None:
    path = write_points(tmp_path / "o.gpkg", [(5, 5), (60, 5), (5, 80), (-0.1, 5), (5, -3)], ["a"] * 5)
    with opened(path) as reference:
        assert isinstance(reference, PointReference) and reference.outside == 4
        assert reference.notes == ["4 points of o.gpkg lie outside the map"]
    with pytest.raises(GridError, match=r"no point of .*p.gpkg touches the map.*600000"):
        opened(write_points(tmp_path / "p.gpkg", [(500, 5)], ["a"]))


def test_points_in_one_pixel_all_count_and_the_last_is_drawn(tmp_path: Path) -> None:
    path = write_points(tmp_path / "o.gpkg", [(5.1, 5.1), (30, 30), (5.9, 5.9)], ["a", "b", "b"])
    with opened(path) as reference:
        assert isinstance(reference, PointReference)
        assert reference.places(GRID.window).codes.tolist() == [1, 2, 2]
        assert reference.read(GRID.window)[5, 5] == 2


def test_multipoints_other_crs_and_missing_classes(tmp_path: Path) -> None:
    shapes = [MultiPoint([GRID.xy(1.5, 1.5), GRID.xy(2.5, 2.5)]), Point(*GRID.xy(3.5, 3.5)), Point(*GRID.xy(4.5, 4.5))]
    frame = geopandas.GeoDataFrame({"class": ["a", None, " "]}, geometry=shapes, crs=GRID.crs).to_crs(4326)
    frame.to_file(tmp_path / "o.geojson")
    with opened(tmp_path / "o.geojson") as reference:
        assert np.argwhere(reference.read(GRID.window)).tolist() == [[1, 1], [2, 2]]


def test_many_points_are_read_by_their_windows(tmp_path: Path, rng: np.random.Generator) -> None:
    rows, cols, kinds = rng.integers(0, 60, 5000), rng.integers(0, 80, 5000), rng.integers(0, 3, 5000)
    lines = [f"{row},{col},{'xyz'[kind]}" for row, col, kind in zip(rows, cols, kinds, strict=True)]
    (tmp_path / "t.csv").write_text("row,col,class\n" + "\n".join(lines) + "\n", encoding="utf-8")
    expected = np.zeros(GRID.shape, np.uint8)
    for row, col, kind in zip(rows, cols, kinds, strict=True):  # one after the other
        expected[row, col] = kind + 1
    with opened(tmp_path / "t.csv") as reference:
        parts = [reference.read(Window(row, 0, 12, 80)) for row in range(0, 60, 12)]
    assert np.array_equal(np.vstack(parts), expected)


def test_a_table_needs_no_crs_but_rows_and_columns(tmp_path: Path) -> None:
    bare = grid_for((60, 80), crs=None)
    (tmp_path / "t.csv").write_text("row,col,class\n1,2,NA\n3,4,01\n5,6,\n", encoding="utf-8")
    with opened(tmp_path / "t.csv", bare) as reference:
        assert reference.classes == ("01", "NA")
    (tmp_path / "x.csv").write_text("x,y,class\n1,2,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column row"):
        opened(tmp_path / "x.csv", bare)
    (tmp_path / "f.csv").write_text("row,col,class\n1,2.5,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="point 1 has no whole number in col"):
        opened(tmp_path / "f.csv", bare)
    (tmp_path / "e.csv").write_text("row,col,class\n1,2,\n", encoding="utf-8")
    with pytest.raises(InputError, match="no point has a value"):
        opened(tmp_path / "e.csv", bare)
    with pytest.raises(UsageError, match="its fields are row, col, class"):
        open_reference(tmp_path / "t.csv", bare, tmp_path, "kind")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01,\n")
    with pytest.raises(InputError, match=r"b\.csv"):
        opened(tmp_path / "b.csv", bare)


def test_lines_are_no_reference(tmp_path: Path) -> None:
    line = geopandas.GeoDataFrame({"class": ["a"]}, geometry=[LineString([(0, 0), (1, 1)])], crs=GRID.crs)
    line.to_file(tmp_path / "l.gpkg")
    with pytest.raises(InputError, match="no polygon and no point"):
        opened(tmp_path / "l.gpkg")
