"""The part of a scene inside polygons: the full raster's own pixels, and nothing outside."""

import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from labelmaps import UTM45, grid_for, write_plain
from products import make_liss4, zipped
from rasterio.crs import CRS
from scenes import write_scene
from shapely.geometry import LineString, Point, Polygon, box

from rsseg.errors import GridError, InputError, UsageError
from rsseg.pipeline.aoi import aoi_files
from rsseg.scene.aoi import Area
from rsseg.scene.grid import Grid, Window
from rsseg.scene.polygons import area_polygons
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

GRID = grid_for((48, 64))


def save(path: Path, *shapes: shapely.Geometry, crs: str | None = UTM45) -> Path:
    geopandas.GeoDataFrame({"name": ["x"] * len(shapes)}, geometry=list(shapes), crs=crs).to_file(path)
    return path


def pixel_box(row: float, col: float, height: float, width: float, grid: Grid = GRID) -> Polygon:
    left, top = grid.xy(row, col)
    right, bottom = grid.xy(row + height, col + width)
    return box(left, bottom, right, top)


def everything(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    with scene.open() as reader:
        return reader.read(scene.grid.window)


def star(rng: np.random.Generator, row: float, col: float, radius: float) -> Polygon:
    """A polygon that is neither convex nor along the pixels."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    spokes = rng.uniform(0.4, 1, 9) * radius
    return Polygon([GRID.xy(row + r * np.sin(a), col + r * np.cos(a)) for r, a in zip(spokes, angles, strict=True)])


class TestPart:
    def test_pixels_are_those_of_the_full_raster(self, tmp_path: Path) -> None:
        path = write_scene(tmp_path / "scene.tif")
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(7.3, 11.6, 20.1, 30.5))
        part, whole = open_scene(path, aoi=aoi), open_scene(path)
        window = Window(7, 11, 21, 32)
        assert part.grid == whole.grid.crop(window)
        values, valid = everything(part)
        full, full_valid = everything(whole)
        np.testing.assert_array_equal(values, full[:, *window.slices])
        inside = np.zeros((21, 32), bool)
        inside[:20, 1:31] = True  # rows 7 to 26 and columns 12 to 41 have their centres inside
        np.testing.assert_array_equal(valid, full_valid[window.slices] & inside)

    @pytest.mark.parametrize("seed", range(4))
    def test_a_pixel_belongs_by_its_centre(self, tmp_path: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shapes = [star(rng, *rng.uniform(5, 40, 2), 14) for _ in range(3)]
        part = open_scene(write_scene(tmp_path / "scene.tif"), aoi=save(tmp_path / "aoi.gpkg", *shapes))
        assert isinstance(part.area, Area)
        found = part.area.mask(part.grid.window)
        expected = [
            [
                any(shape.contains(Point(part.grid.xy(row + 0.5, col + 0.5))) for shape in shapes)
                for col in range(part.grid.width)
            ]
            for row in range(part.grid.height)
        ]
        np.testing.assert_array_equal(found, expected)
        strips = [part.area.mask(Window(row, 2, 1, part.grid.width - 2)) for row in range(part.grid.height)]
        np.testing.assert_array_equal(np.concatenate(strips), found[:, 2:])

    def test_a_part_of_a_product_in_an_archive(self, tmp_path: Path) -> None:
        product = zipped(make_liss4(tmp_path / "p", shape=(40, 50)), tmp_path / "p.zip")
        whole = open_scene(product, bands=["red"])
        window = Window(5, 6, 20, 30)
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(5, 6, 20, 30, whole.grid), crs=whole.grid.crs)
        part = open_scene(product, bands=["red"], aoi=aoi)
        values, valid = everything(part)
        full, full_valid = everything(whole)
        np.testing.assert_array_equal(values, full[:, *window.slices])
        np.testing.assert_array_equal(valid, full_valid[window.slices])
        assert part.place is not None and part.place.window == window

    def test_decimated_reads_are_masked_too(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(0, 0, 16, 64), pixel_box(32, 0, 16, 64))
        with open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi).open() as reader:
            _, valid = reader.read(Window(0, 0, 48, 64), (24, 32))
        assert valid[3:8].all() and not valid[8:16].any() and valid[16:].all()

    def test_parts_that_reach_beyond_the_scene_are_cut(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(-100, 40, 120, 500))
        part = open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi)
        assert part.grid == GRID.crop(Window(0, 40, 20, 24))

    def test_a_part_of_a_part_knows_the_full_raster(self, tmp_path: Path) -> None:
        path = write_scene(tmp_path / "scene.tif", 20, 30)
        with rasterio.open(path, "r+") as file:
            file.update_tags(part_of_full_raster="20 x 30 pixels at row 100, column 200 of 1000 x 2000")
        grid = grid_for((20, 30))
        part = open_scene(path, aoi=save(tmp_path / "aoi.gpkg", pixel_box(4, 5, 6, 7, grid)))
        assert part.place is not None
        assert (part.place.window, part.place.height, part.place.width) == (Window(104, 205, 6, 7), 1000, 2000)


class TestCoordinateSystems:
    @pytest.mark.parametrize("name", ["aoi.gpkg", "aoi.geojson", "aoi.shp", "aoi.fgb"])
    def test_polygons_of_another_crs(self, tmp_path: Path, name: str) -> None:
        path, rng = write_scene(tmp_path / "scene.tif"), np.random.default_rng(5)
        shapes = geopandas.GeoSeries([star(rng, 20.3, 30.4, 18)], crs=UTM45)
        there = save(tmp_path / name, *shapes.to_crs(4326), crs="EPSG:4326")
        here = save(tmp_path / "here.gpkg", *shapes)
        first, second = (open_scene(path, aoi=aoi) for aoi in (there, here))
        assert first.grid == second.grid
        np.testing.assert_array_equal(everything(first)[1], everything(second)[1])

    def test_long_edges_are_as_straight_as_where_they_were_drawn(self, tmp_path: Path) -> None:
        """A parallel is bent in UTM: over 90 km its middle lies 50 m off the line between its ends."""
        grid = Grid(18000, 18000, (5.0, 0.0, 600000.0, 0.0, -5.0, 2500000.0), UTM45)
        drawn = box(88.05, 22.0, 88.8, 22.4)
        (found,) = area_polygons(save(tmp_path / "aoi.gpkg", drawn, crs="EPSG:4326"), grid, tmp_path / "scene.tif")
        fine = geopandas.GeoSeries([shapely.segmentize(drawn, 1e-4)], crs="EPSG:4326").to_crs(UTM45).iloc[0]
        coarse = geopandas.GeoSeries([drawn], crs="EPSG:4326").to_crs(UTM45).iloc[0]
        assert fine.hausdorff_distance(coarse) > 30
        assert fine.hausdorff_distance(found) < 0.5

    def test_a_country_around_the_scene(self, tmp_path: Path) -> None:
        """What has no place in the scene's CRS, such as the poles and the far side of the globe, is cut off before."""
        aoi = save(tmp_path / "aoi.gpkg", box(-180, -90, 180, 90), crs="EPSG:4326")
        path = write_scene(tmp_path / "scene.tif")
        part, whole = open_scene(path, aoi=aoi), open_scene(path)
        assert part.grid == whole.grid
        np.testing.assert_array_equal(everything(part)[1], everything(whole)[1])

    def test_a_rotated_grid(self, tmp_path: Path) -> None:
        path = tmp_path / "turned.tif"
        grid = Grid(30, 40, (4.0, 3.0, 600000.0, 3.0, -4.0, 2500000.0), UTM45)
        write_plain(path, np.ones(grid.shape, np.float32), grid)
        corners = [grid.xy(5, 6), grid.xy(5, 20), grid.xy(15, 20), grid.xy(15, 6)]
        part = open_scene(path, aoi=save(tmp_path / "aoi.gpkg", Polygon(corners)))
        assert everything(part)[1].sum() == 10 * 14

    def test_files_that_it_depends_on(self, tmp_path: Path) -> None:
        assert aoi_files(None) == []
        shape = save(tmp_path / "aoi.shp", pixel_box(1, 1, 9, 9))
        assert aoi_files(shape) == [shape, tmp_path / "aoi.prj"]
        package = save(tmp_path / "aoi.gpkg", pixel_box(1, 1, 9, 9))
        assert aoi_files(package) == [package]


class TestRefusals:
    def test_a_miss_names_both_boxes(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", box(88.0, 22.0, 88.1, 22.1), crs="EPSG:4326")
        with pytest.raises(
            GridError, match=r"aoi.gpkg touches .*scene.tif: they lie in \(\d.*\), the scene in \(600000"
        ):
            open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi)

    def test_neighbours_with_a_common_border(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(0, 64, 48, 10))
        with pytest.raises((GridError, UsageError), match="touch"):
            open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi)

    def test_no_crs_on_either_side(self, tmp_path: Path) -> None:
        shape = pixel_box(2, 2, 9, 9)
        bare = write_plain(tmp_path / "bare.tif", np.ones((9, 9), np.float32), grid_for((9, 9), None))
        with pytest.raises(GridError, match=r"bare.tif has no CRS"):
            open_scene(bare, aoi=save(tmp_path / "aoi.gpkg", shape))
        scene = write_scene(tmp_path / "scene.tif")
        with pytest.raises(GridError, match=r"lost.shp has no CRS"):
            open_scene(scene, aoi=save(tmp_path / "lost.shp", shape, crs=None))

    def test_what_is_no_polygon(self, tmp_path: Path) -> None:
        scene = write_scene(tmp_path / "scene.tif")
        for name, shape in (("p", Point(GRID.xy(5, 5))), ("l", LineString([GRID.xy(5, 5), GRID.xy(9, 9)]))):
            with pytest.raises(InputError, match="no polygon; points and lines have no area"):
                open_scene(scene, aoi=save(tmp_path / f"{name}.gpkg", shape))
        (tmp_path / "text.gpkg").write_text("no polygons")
        with pytest.raises(InputError, match=r"cannot read polygons from .*text.gpkg"):
            open_scene(scene, aoi=tmp_path / "text.gpkg")
        with pytest.raises(InputError, match=r"none.gpkg does not exist"):
            open_scene(scene, aoi=tmp_path / "none.gpkg")
        with pytest.raises(InputError, match=r"has 0 layers|cannot read polygons"):
            open_scene(scene, aoi=shutil.copyfile(scene, tmp_path / "raster.tif"))

    def test_polygons_between_the_centres(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(5.6, 5.6, 0.3, 0.3))
        with pytest.raises(GridError, match="the centre of no pixel"):
            open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi)

    def test_several_layers(self, tmp_path: Path) -> None:
        aoi = save(tmp_path / "aoi.gpkg", pixel_box(2, 2, 9, 9))
        frame = geopandas.read_file(aoi)
        frame.to_file(aoi, layer="second")
        with pytest.raises(InputError, match="2 layers"):
            open_scene(write_scene(tmp_path / "scene.tif"), aoi=aoi)


def test_crs_texts_of_one_system_need_no_reprojection(tmp_path: Path) -> None:
    """Polygons named by EPSG code lie on a scene that spells its CRS out, to the last digit."""
    path = write_scene(tmp_path / "scene.tif")
    aoi = save(tmp_path / "aoi.gpkg", pixel_box(3, 4, 20, 30), crs=CRS.from_epsg(32645).to_string())
    assert open_scene(path, aoi=aoi).grid == GRID.crop(Window(3, 4, 20, 30))
