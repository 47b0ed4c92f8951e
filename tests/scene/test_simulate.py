"""The simulated land: a pure function of seed, position and date, that looks like what it is called."""

from datetime import UTC, date, datetime

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans

from rsseg.scene.grid import Window
from rsseg.scene.simulate import sun
from rsseg.scene.simulate.footprint import Footprint
from rsseg.scene.simulate.landcover import BARE, BUILT_UP, CLASSES, CROPS, FOREST, WATER, WETLAND
from rsseg.scene.simulate.noise import Lattice, fractal, hashes, salt, smooth, uniform
from rsseg.scene.simulate.spectra import Light
from rsseg.scene.simulate.world import World

JANUARY, MARCH = date(2020, 1, 24), date(2020, 3, 12)
LIGHT = Light(42.0, 146.9)
PLACE = Window(400, 1480, 440, 480)
"""A part of world 2 that has every class."""


@pytest.fixture(scope="module")
def land() -> tuple[np.ndarray, np.ndarray]:
    return World(2, JANUARY, LIGHT).render(PLACE)


@pytest.mark.parametrize(
    ("row", "col", "height", "width"),
    [(0, 0, 1, 1), (3, 5, 7, 11), (126, 200, 5, 33), (0, 100, 440, 3), (250, 0, 2, 480), (301, 87, 131, 259)],
)
def test_any_window_gives_the_same_numbers(land, row: int, col: int, height: int, width: int) -> None:
    part = Window(PLACE.row + row, PLACE.col + col, height, width)
    classes, bands = World(2, JANUARY, LIGHT).render(part)
    rows, cols = slice(row, row + height), slice(col, col + width)
    np.testing.assert_array_equal(classes, land[0][rows, cols])
    np.testing.assert_array_equal(bands, land[1][:, rows, cols])


def test_windows_agree_across_the_worlds_origin_and_far_away() -> None:
    world = World(5, MARCH, LIGHT)
    for window in (Window(-60, -900, 90, 1000), Window(150_000, 90_000, 40, 800)):
        classes, bands = world.render(window)
        part = Window(window.row + 31, window.col + 700, 9, 70)
        inner_classes, inner_bands = world.render(part)
        np.testing.assert_array_equal(inner_classes, classes[31:40, 700:770])
        np.testing.assert_array_equal(inner_bands, bands[:, 31:40, 700:770])


def test_sensor_noise_belongs_to_the_position_and_the_day() -> None:
    world, window = World(2, JANUARY, LIGHT), Window(10, -20, 200, 300)
    noise = world.noise(window)
    np.testing.assert_array_equal(world.noise(Window(50, 30, 20, 40)), noise[:, 40:60, 50:90])
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    bands = np.corrcoef(noise.reshape(3, -1))
    assert np.abs(bands - np.eye(3)).max() < 0.02
    assert not np.array_equal(noise, World(2, MARCH, LIGHT).noise(window))


def test_land_stays_where_it_is_and_only_its_look_changes_with_the_date(land) -> None:
    classes, bands = World(2, MARCH, LIGHT).render(PLACE)
    np.testing.assert_array_equal(classes, land[0])
    crops, water = land[0] == CROPS, land[0] == WATER
    # winter crops are green in January and ripe in March
    assert land[1][2][crops].mean() - bands[2][crops].mean() > 0.02
    assert np.abs(land[1][:, water].mean(1) - bands[:, water].mean(1)).max() < 0.01


def test_another_seed_is_another_land() -> None:
    window = Window(0, 0, 200, 200)
    assert not np.array_equal(World(2, JANUARY, LIGHT).render(window)[1], World(3, JANUARY, LIGHT).render(window)[1])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (WATER, (0.11, 0.08, 0.05)),
        (WETLAND, (0.10, 0.075, 0.14)),
        (FOREST, (0.08, 0.06, 0.25)),
        (CROPS, (0.10, 0.09, 0.28)),
        (BUILT_UP, (0.15, 0.155, 0.19)),
        (BARE, (0.15, 0.185, 0.245)),
    ],
)
def test_mean_reflectance_is_that_of_the_class(land, value: int, expected: tuple[float, ...]) -> None:
    classes, bands = land
    np.testing.assert_allclose(bands[:, classes == value].mean(1), expected, atol=0.025)


def test_texture_tells_classes_apart(land) -> None:
    classes, bands = land
    mean = uniform_filter(bands, (0, 7, 7))
    deviation = np.sqrt(np.maximum(uniform_filter(bands * bands, (0, 7, 7)) - mean * mean, 0)) / mean

    def rough(value: int) -> float:
        return float(np.median(deviation[1][classes == value]))

    assert rough(BUILT_UP) > 4 * rough(BARE)
    assert rough(BUILT_UP) > 1.5 * rough(CROPS)
    assert np.median(deviation[2][classes == FOREST]) > 2 * np.median(deviation[2][classes == BARE])


def test_pixels_alone_are_a_mediocre_guide(land) -> None:
    classes, bands = land
    pixels = bands.reshape(3, -1).T[::7]
    truth = classes.ravel()[::7]
    pixels = (pixels - pixels.mean(0)) / pixels.std(0)
    clusters = KMeans(6, n_init=2, random_state=0).fit_predict(pixels)
    table = np.zeros((6, 6), int)
    np.add.at(table, (clusters, truth - 1), 1)
    accuracy = table[linear_sum_assignment(-table)].sum() / len(truth)
    assert 0.4 < accuracy < 0.7


def test_noise_has_mean_zero_and_deviation_one() -> None:
    rows, cols = np.arange(0, 6000, 7.0), np.arange(0, 6000, 7.0)
    for field in (smooth(rows, cols, 40, 1), fractal(rows, cols, (90, 40), 3, "any")):
        assert field.dtype == np.float32
        assert abs(field.mean()) < 0.03 and abs(field.std() - 1) < 0.05


def test_hashes_are_uniform_and_independent_of_the_range() -> None:
    rows, cols = np.arange(-40, 400), np.arange(-7, 500)
    draws = hashes(rows, cols, salt(0, "any"))
    np.testing.assert_array_equal(hashes(rows[5:9], cols[20:21], salt(0, "any")), draws[5:9, 20:21])
    counts = np.bincount((uniform(draws).ravel() * 16).astype(int), minlength=16)
    assert counts.min() > 0.95 * draws.size / 16
    assert len(np.unique(draws)) > 0.9999 * draws.size


def test_lattice_brings_a_plane_to_the_pixels_unchanged() -> None:
    lattice = Lattice(-9, 14, 30, 21)
    plane = (2 * lattice.rows[:, None] - 3 * lattice.cols[None, :]).astype(np.float32)
    rows, cols = np.arange(-9, 21)[:, None], np.arange(14, 35)[None, :]
    np.testing.assert_allclose(lattice.upsample(lattice.inner(plane)), 2 * rows - 3 * cols, atol=1e-4)
    down, across = lattice.slopes(plane)
    np.testing.assert_allclose(down, 2)
    np.testing.assert_allclose(across, -3)


@pytest.mark.parametrize(
    ("time", "place", "elevation", "azimuth"),
    [
        # from the metadata of real products, a LISS-IV scene and a LISS-III scene
        (datetime(2018, 10, 2, 2, 28, 28, 43361, tzinfo=UTC), (-0.828491, 119.820167), 69.402093, 97.798450),
        (datetime(2019, 9, 30, 14, 1, 58, 106127, tzinfo=UTC), (-19.077760, -58.356794), 60.335428, 59.889207),
    ],
)
def test_sun_stands_where_real_products_say(time: datetime, place: tuple, elevation: float, azimuth: float) -> None:
    found = sun.position(time, *place)
    assert found[0] == pytest.approx(elevation, abs=0.02)
    assert found[1] == pytest.approx(azimuth, abs=0.02)


@pytest.mark.parametrize(("shape", "fill"), [((16600, 18000), 0.21), ((440, 480), 0.21), ((900, 500), 0.4)])
def test_footprint_is_a_leaning_quadrilateral(shape: tuple[int, int], fill: float) -> None:
    height, width = shape
    footprint = Footprint(height, width)
    inside = sum(
        int(footprint.mask(Window(row, 0, min(500, height - row), width)).sum()) for row in range(0, height, 500)
    )
    assert 1 - inside / (height * width) == pytest.approx(fill, abs=0.02)
    corners = [footprint.mask(Window(row, col, 1, 1))[0, 0] for row in (0, height - 1) for col in (0, width - 1)]
    assert corners[0] == corners[3] == False  # noqa: E712


def test_footprint_columns_enclose_the_mask() -> None:
    footprint = Footprint(300, 400)
    for row in range(0, 300, 37):
        window = Window(row, 0, min(37, 300 - row), 400)
        used = np.flatnonzero(footprint.mask(window).any(0))
        first, last = footprint.columns(window)
        assert first <= used[0] and used[-1] < last


def test_every_class_has_a_name() -> None:
    assert CLASSES == ("water", "wetland", "forest", "crops", "built-up", "bare")
