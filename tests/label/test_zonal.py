from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from labelmaps import grid_for, write_map
from rasterio.crs import CRS

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.maps import LabelMap
from rsseg.label.zonal import on_map, read_zones, zone_counts
from rsseg.scene.area import pixel_areas
from rsseg.scene.grid import Grid


def write_zones(path: Path, shapes: list[shapely.Geometry], crs: str | None, **fields: list[object]) -> Path:
    frame = geopandas.GeoDataFrame(fields or {"name": [f"zone {i}" for i in range(len(shapes))]}, geometry=shapes)
    frame = frame.set_crs(crs) if crs else frame
    frame.to_file(path)
    return path


def random_shapes(grid: Grid, count: int, seed: int = 0) -> list[shapely.Geometry]:
    """Polygons of random corners, on and off the map, that overlap."""
    rng = np.random.default_rng(seed)
    left, bottom, right, top = grid.bounds
    shapes = []
    for _ in range(count):
        middle = rng.uniform([left - 50, bottom - 50], [right + 50, top + 50])
        points = middle + rng.normal(0, (right - left) / 4, (7, 2))
        shapes.append(shapely.convex_hull(shapely.MultiPoint(points)))
    return shapes


def slow_counts(labels: np.ndarray, grid: Grid, shape: shapely.Geometry) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for row in range(grid.height):
        for col in range(grid.width):
            if shape.contains(shapely.Point(grid.xy(row + 0.5, col + 0.5))):
                counts[labels[row, col]] += 1
    return counts


@pytest.mark.parametrize("turn", [0, 25])
def test_counts_are_those_of_pixel_centres(tmp_path: Path, turn: float) -> None:
    place = rasterio.Affine.translation(6e5, 2.5e6) @ rasterio.Affine.rotation(turn) @ rasterio.Affine.scale(5, -5)
    grid = Grid(23, 31, tuple(place)[:6], CRS.from_epsg(32645).to_wkt())
    labels = np.random.default_rng(0).integers(0, 5, grid.shape, np.uint8)
    shapes = random_shapes(grid, 12)
    zones = write_zones(tmp_path / "zones.gpkg", shapes, grid.crs)
    with LabelMap(write_map(tmp_path / "map.tif", labels, grid=grid)) as source:
        found = zone_counts(source, read_zones(zones, grid))
    wanted = np.stack([slow_counts(labels, grid, shape) for shape in shapes])
    assert wanted.any(axis=1).sum() > 6
    assert np.array_equal(found.pixels, wanted)
    assert found.areas is not None and np.allclose(found.areas, 25 * wanted)


def test_a_zone_as_high_as_many_strips(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (1300, 11), np.uint8)
    grid = grid_for(labels.shape)
    whole = shapely.box(*grid.bounds)
    zones = write_zones(tmp_path / "zones.gpkg", [whole, whole.buffer(500)], grid.crs)
    with LabelMap(write_map(tmp_path / "map.tif", labels)) as source:
        found = zone_counts(source, read_zones(zones, grid))
        share = on_map(read_zones(zones, grid), grid)
    assert np.array_equal(found.pixels[:, :3], np.tile(np.bincount(labels.ravel()), (2, 1)))
    assert share[0] == 1 and 0 < share[1] < 1


def test_zones_of_another_crs(tmp_path: Path) -> None:
    """A long straight edge of one CRS is bent in the other: edges are cut before they are moved."""
    grid = Grid(200, 200, (500.0, 0.0, 600000.0, 0.0, -500.0, 7000000.0), CRS.from_epsg(32645).to_wkt())
    labels = np.ones(grid.shape, np.uint8)
    corners = geopandas.GeoSeries([shapely.box(*grid.bounds)], crs=grid.crs).to_crs(4326).total_bounds
    west, south, east, north = corners
    box = shapely.box(west, south, east, (south + north) / 2)
    zones = write_zones(tmp_path / "zones.geojson", [box], "EPSG:4326")
    with LabelMap(write_map(tmp_path / "map.tif", labels, grid=grid)) as source:
        found = zone_counts(source, read_zones(zones, grid))
    rows, cols = np.indices(grid.shape) + 0.5
    x, y = 600000 + 500 * cols.ravel(), 7000000 - 500 * rows.ravel()
    latitude = geopandas.GeoSeries.from_xy(x, y, crs=grid.crs).to_crs(4326).y
    wanted = int((latitude < (south + north) / 2).sum())
    assert abs(int(found.pixels[0, 1]) - wanted) <= 2


def test_areas_on_the_ellipsoid(tmp_path: Path) -> None:
    grid = Grid(30, 20, (0.5, 0.0, 10.0, 0.0, -0.5, 75.0), CRS.from_epsg(4326).to_wkt())
    labels = np.random.default_rng(0).integers(0, 3, grid.shape, np.uint8)
    zones = write_zones(tmp_path / "zones.gpkg", [shapely.box(*grid.bounds)], "EPSG:4326")
    with LabelMap(write_map(tmp_path / "map.tif", labels, grid=grid)) as source:
        found = zone_counts(source, read_zones(zones, grid))
    assert found.areas is not None
    for value in range(3):
        wanted = (pixel_areas(grid)[:, None] * (labels == value)).sum()
        assert found.areas[0, value] == pytest.approx(wanted)


def test_the_majority_is_a_class_and_the_smaller_of_equal_ones(tmp_path: Path) -> None:
    labels = np.array([[0, 0, 0, 4, 2], [0, 0, 0, 0, 0]], np.uint8)
    grid = grid_for(labels.shape)
    left, bottom, right, top = grid.bounds
    shapes = [shapely.box(left, bottom, right, top), shapely.box(left, bottom, left + 10, top)]
    zones = write_zones(tmp_path / "zones.gpkg", shapes, grid.crs)
    with LabelMap(write_map(tmp_path / "map.tif", labels)) as source:
        assert zone_counts(source, read_zones(zones, grid)).majority.tolist() == [2, 0]


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_what_is_no_zone(tmp_path: Path) -> None:
    grid = grid_for((4, 5))
    box = shapely.box(*grid.bounds)
    points = write_zones(tmp_path / "points.gpkg", [box.centroid], grid.crs)
    with pytest.raises(InputError, match="holds no polygon"):
        read_zones(points, grid)
    good = write_zones(tmp_path / "zones.gpkg", [box], grid.crs, district=["a"], year=[2020])
    with pytest.raises(UsageError, match="no field 'town'; its fields are district, year"):
        read_zones(good, grid, "town")
    with pytest.raises(GridError, match="the map has no CRS"):
        read_zones(good, Grid(4, 5))
    with pytest.raises(GridError, match=r"bare\.gpkg has no CRS"):
        read_zones(write_zones(tmp_path / "bare.gpkg", [box], None), grid)
    (tmp_path / "text.gpkg").write_text("no file of polygons")
    (tmp_path / "text.parquet").write_text("no file of polygons")
    for name in ("text.gpkg", "text.parquet", "nowhere.gpkg"):
        with pytest.raises(InputError, match=name):
            read_zones(tmp_path / name, grid)


def test_names_of_zones(tmp_path: Path) -> None:
    grid = grid_for((4, 5))
    boxes = [shapely.box(*grid.bounds)] * 3
    zones = write_zones(tmp_path / "zones.gpkg", boxes, grid.crs, district=["a", None, "<b>\n'"], year=[1, 2, 3])
    assert read_zones(zones, grid).names == ("1", "2", "3")
    assert read_zones(zones, grid, "district").names == ("a", "", "<b>\n'")
    assert read_zones(zones, grid, "year").names == ("1", "2", "3")
