from pathlib import Path

import numpy as np
import pytest
import rasterio
from labelmaps import grid_for, write_map, write_plain
from matplotlib.image import imread

from rsseg.errors import UsageError
from rsseg.publish.labels import LabelClass
from rsseg.publish.quicklook import in_colours, picture_labels, picture_matrix, picture_scene, short
from rsseg.scene.grid import Grid
from rsseg.scene.sensors import open_scene

HOSTILE = "cost $x_{$ & <b>\n" + "z" * 300


def has_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture[..., :3] - np.array(colour) / 255) < 0.01).all(axis=-1).any())


def test_a_label_map_shows_its_colours_and_hostile_names(tmp_path: Path) -> None:
    classes = [LabelClass(1, HOSTILE, "#ff0000"), LabelClass(2, "water", "#0000ff"), LabelClass(3, "absent", "#00ff00")]
    values = np.repeat(np.array([[0, 1, 2]], np.uint8), 300, axis=0).repeat(100, axis=1)
    picture_labels(write_map(tmp_path / "m.tif", values, classes=classes), tmp_path / "m.png", size=200)
    picture = imread(tmp_path / "m.png")
    assert has_colour(picture, (255, 0, 0)) and has_colour(picture, (0, 0, 255))
    assert not has_colour(picture, (0, 255, 0))
    assert 200 < picture.shape[1] < 900


def test_more_classes_than_a_legend_holds(tmp_path: Path) -> None:
    values = np.arange(1, 256, dtype=np.uint8).reshape(15, 17).repeat(10, 0).repeat(10, 1)
    picture_labels(write_map(tmp_path / "m.tif", values), tmp_path / "m.png", size=300)
    assert imread(tmp_path / "m.png").shape[0] < 900


def test_a_map_without_a_label_still_has_a_picture(tmp_path: Path) -> None:
    picture_labels(write_map(tmp_path / "m.tif", np.zeros((5, 9), np.uint8)), tmp_path / "m.png", size=100)
    assert imread(tmp_path / "m.png").shape[1] >= 90


def test_a_scene_shows_near_infrared_in_red_and_no_data_in_white(tmp_path: Path) -> None:
    grid = grid_for((40, 60))
    bands = np.ones((3, 40, 60), np.uint16)
    bands[2, :, :30] = 900
    bands[0, :20, 30:] = 900
    bands[:, :10] = 0
    with rasterio.open(
        tmp_path / "s.tif", "w", driver="GTiff", height=40, width=60, count=3, dtype="uint16", nodata=0,
        crs=grid.crs, transform=rasterio.Affine(*grid.transform),
    ) as file:  # fmt: skip
        file.write(bands)
        file.descriptions = ("green", "red", "nir")
    picture_scene(open_scene(tmp_path / "s.tif"), tmp_path / "s.png", size=120)
    picture = imread(tmp_path / "s.png")
    assert has_colour(picture, (255, 0, 0)) and has_colour(picture, (0, 0, 255))
    middle = picture[:, picture.shape[1] // 3, :3]
    assert (middle[: len(middle) // 8] > 0.99).all()


def test_a_single_band_is_grey_and_an_empty_scene_is_no_error(tmp_path: Path) -> None:
    write_plain(tmp_path / "one.tif", np.arange(600, dtype=np.uint16).reshape(20, 30), grid_for((20, 30)))
    write_plain(tmp_path / "none.tif", np.zeros((20, 30), np.uint8), grid_for((20, 30)), nodata=0)
    for name in ("one", "none"):
        picture_scene(open_scene(tmp_path / f"{name}.tif"), tmp_path / f"{name}.png", size=60)
        picture = imread(tmp_path / f"{name}.png")[..., :3]
        assert np.ptp(picture, axis=-1).max() < 0.01


def test_oblong_pixels_are_drawn_oblong(tmp_path: Path) -> None:
    grid = Grid(50, 100, (5.0, 0.0, 0.0, 0.0, -20.0, 0.0), grid_for((1, 1)).crs)
    picture_labels(write_map(tmp_path / "m.tif", np.ones((50, 100)), grid=grid), tmp_path / "m.png", size=300)
    shown = (np.abs(imread(tmp_path / "m.png")[..., :3] - np.array([0, 0x72, 0xB2]) / 255) < 0.01).all(axis=-1)
    rows, cols = shown.any(axis=1).sum(), shown[shown.shape[0] // 2].sum()
    assert rows / cols == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (4, 12), (45, 3)])
def test_a_matrix_of_any_shape_is_drawn(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = np.linspace(0, 1, shape[0] * shape[1]).reshape(shape)
    values[0, 0] = np.nan
    rows, columns = [HOSTILE] * shape[0], [f"c{i}" for i in range(shape[1])]
    picture_matrix(values, rows, columns, tmp_path / "m.png", title=HOSTILE, row_title=HOSTILE, framed=1)
    picture = imread(tmp_path / "m.png")
    assert has_colour(picture, (213, 94, 0))


def test_pictures_repeat_byte_for_byte_and_are_not_replaced_unasked(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", np.ones((30, 30), np.uint8))
    picture_labels(path, tmp_path / "a.png", size=100)
    first = (tmp_path / "a.png").read_bytes()
    with pytest.raises(UsageError, match="--overwrite"):
        picture_labels(path, tmp_path / "a.png", size=100)
    picture_labels(path, tmp_path / "a.png", size=100, overwrite=True)
    assert (tmp_path / "a.png").read_bytes() == first


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("blue", "green", "red", "nir"), ("nir", "red", "green")),
        (("Blue", "Green", "Red"), ("Red", "Green", "Blue")),
        (("a", "b", "c", "d"), ("a", "b", "c")),
        (("a", "b"), ("a",)),
    ],
)
def test_bands_are_shown_by_their_names(tmp_path: Path, bands: tuple[str, ...], shown: tuple[str, ...]) -> None:
    values = np.ones((len(bands), 4, 5), np.uint16)
    place = rasterio.Affine(10, 0, 0, 0, -10, 0)
    with rasterio.open(tmp_path / "s.tif", "w", "GTiff", 5, 4, len(bands), transform=place, dtype="uint16") as file:
        file.write(values)
        file.descriptions = bands
    assert in_colours(open_scene(tmp_path / "s.tif")).band_names == shown


def test_names_in_charts_are_one_short_line() -> None:
    assert short("a\n b\x07c\t\u202ed") == "a b c d"
    assert short("x" * 60, 10) == "x" * 9 + "\N{HORIZONTAL ELLIPSIS}" and short("x" * 10, 10) == "x" * 10
