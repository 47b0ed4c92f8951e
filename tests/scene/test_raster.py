"""Opening rasters with clear errors, comparing grids, writing whole files."""

import resource
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import LISS4_TRANSFORM, UTM50, some_numbers, write_band
from rasterio.crs import CRS

from rsseg.errors import InputError, RssegError
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import (
    RasterWriter,
    check_whole,
    grid_of,
    label_windows,
    open_raster,
    read_labels,
    same_crs,
    same_grid,
    write_cog,
)

GRID = Grid(700, 600, tuple(LISS4_TRANSFORM)[:6], UTM50.to_wkt())
ROUNDED = UTM50.to_wkt().replace("298.257223563", "298.2572")


def write(path: Path, values: np.ndarray, grid: Grid = GRID, **options: object) -> Path:
    cube = values[np.newaxis] if values.ndim == 2 else values
    settings = {"count": len(cube), "dtype": values.dtype.name, "nodata": None, **options}
    with RasterWriter(path, grid, **settings) as writer:  # type: ignore[arg-type]
        for window in label_windows(grid):
            writer.write(cube[:, *window.slices], window)
    return path


@pytest.mark.parametrize("content", [b"", b"not a raster", b"II*\x00\x08\x00\x00\x00"])
def test_a_file_that_is_no_raster_is_named_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "band.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"band\.tif") as problem:
        open_raster(path)
    assert "\n" not in str(problem.value)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_raster(tmp_path / "none.tif")
    with pytest.raises(InputError, match="is a folder"):
        open_raster(tmp_path)


def test_formats_that_may_fetch_from_the_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "service.xml"
    path.write_text(
        "<GDAL_WMS><Service name='TMS'><ServerUrl>http://localhost:1/${z}</ServerUrl></Service><DataWindow>"
        "<UpperLeftX>0</UpperLeftX><UpperLeftY>1</UpperLeftY><LowerRightX>1</LowerRightX><LowerRightY>0</LowerRightY>"
        "<SizeX>9</SizeX><SizeY>9</SizeY></DataWindow><BandsCount>1</BandsCount></GDAL_WMS>"
    )
    with pytest.raises(InputError, match="no raster of a format that is read"):
        open_raster(path)


def test_a_raster_without_georeference_is_a_grid_of_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.tif", np.zeros((5, 7), np.uint8), Grid(5, 7))
    with open_raster(path) as dataset:
        assert grid_of(dataset) == Grid(5, 7)
        assert grid_of(dataset).bounds == (0, -5, 7, 0)


def test_coordinate_systems_are_compared_with_each_other() -> None:
    assert same_crs(UTM50.to_wkt(), CRS.from_epsg(32650).to_wkt(version="WKT2_2019"))
    assert not same_crs(UTM50.to_wkt(), CRS.from_epsg(32651).to_wkt())
    # a supplier's rounded ellipsoid is another one, whatever code a look-up would find for it
    assert not same_crs(UTM50.to_wkt(), ROUNDED)
    assert same_crs(ROUNDED, ROUNDED)
    assert same_crs(None, None)
    assert not same_crs(None, UTM50.to_wkt())


def test_crs_and_transform_survive_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros(GRID.shape, np.uint8))
    with open_raster(path) as dataset:
        assert same_grid(grid_of(dataset), GRID)


@pytest.mark.parametrize(
    ("change", "same"), [((0, 0), True), ((1e-6, 0), True), ((1e-3, 0), False), ((0, 5), False), ((0, 1e-7), True)]
)
def test_grids_agree_within_a_millionth_of_a_pixel(change: tuple[float, float], same: bool) -> None:
    a, b, c, d, e, f = GRID.transform
    moved = Grid(700, 600, (a, b, c + change[0], d, e, f + change[1]), GRID.crs)
    assert same_grid(GRID, moved) is same
    assert not same_grid(GRID, Grid(700, 601, GRID.transform, GRID.crs))


def test_label_windows_tile_the_grid_from_top_to_bottom() -> None:
    windows = list(label_windows(Grid(1100, 7), rows=512))
    assert [(w.row, w.height) for w in windows] == [(0, 512), (512, 512), (1024, 76)]
    assert all((w.col, w.width) == (0, 7) for w in windows)


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "none"])
def test_the_writer_keeps_values_and_everything_said_about_them(tmp_path: Path, compress: str) -> None:
    values = some_numbers(GRID.shape)
    path = write(
        tmp_path / "a.tif",
        values,
        compress=compress,
        nodata=65535,
        band_names=["green", "red", "nir"],
        tags={"sensor": "LISS-IV", "AREA_OR_POINT": "Point"},
        band_tags=[{"lmax": "52"}, {}, {}],
        scales=[1e-4] * 3,
        offsets=[-0.1] * 3,
    )
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), values)
        assert dataset.profile["tiled"] and dataset.block_shapes == [(512, 512)] * 3
        assert dataset.descriptions == ("green", "red", "nir")
        assert dataset.tags() == {"AREA_OR_POINT": "Area", "sensor": "LISS-IV"}
        assert dataset.tags(1)["lmax"] == "52"
        assert (dataset.scales[0], dataset.offsets[0], dataset.nodata) == (1e-4, -0.1, 65535)


def test_labels_keep_their_palette_through_a_cog(tmp_path: Path) -> None:
    labels = np.arange(GRID.height * GRID.width).reshape(GRID.shape).astype(np.uint8) % 5
    palette = {0: (0, 0, 0, 0), **{k: (10 * k, 0, 200, 255) for k in range(1, 5)}}
    plain = write(tmp_path / "plain.tif", labels, nodata=0, colormap=palette, predictor=1, band_names=["labels"])
    cog = tmp_path / "labels.tif"
    write_cog(plain, cog, overview_resampling="MODE")
    with rasterio.open(cog) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR", "1") == "1"
        assert dataset.overviews(1) and dataset.nodata == 0
        assert {k: v for k, v in dataset.colormap(1).items() if k < 5} == palette
    read, grid = read_labels(cog)
    np.testing.assert_array_equal(read, labels)
    assert same_grid(grid, GRID)


def test_a_raster_of_several_bands_is_no_label_raster(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no label raster"):
        read_labels(write(tmp_path / "a.tif", some_numbers((4, 4)), Grid(4, 4)))


def test_a_file_cut_short_is_found_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", some_numbers(GRID.shape))
    check_whole(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RssegError, match="disk full"):
        check_whole(path)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_full_disk_is_an_error(tmp_path: Path, dtype: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(RssegError, match=r"disk full|cannot write"):
            write(tmp_path / "a.tif", some_numbers(GRID.shape).astype(dtype))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RssegError, match="cannot write"):
        RasterWriter(tmp_path / "none" / "a.tif", GRID, count=1, dtype="uint8", nodata=None)
    writer = RasterWriter(tmp_path / "a.tif", GRID, count=1, dtype="uint8", nodata=None)
    with writer, pytest.raises(RssegError, match="cannot write"):
        writer.write(np.zeros((2, 2), np.uint8), Window(GRID.height + 5, 0, 2, 2))


def test_labels_that_are_cut_short_are_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    write_band(path, some_numbers((200, 200), 1)[0])
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=r"labels\.tif.*(truncated|damaged)"):
        read_labels(path)
