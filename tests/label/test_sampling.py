from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_map, write_plain

from rsseg.errors import InputError, UsageError
from rsseg.label import maps
from rsseg.label.numbered import NumberedMap
from rsseg.label.sampling import Drawn, allocate, cochran_size, draw, take_census
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import label_windows

SHARES = np.array([0.02, 0.015, 0.32, 0.645])
ACCURACIES = np.array([0.70, 0.60, 0.90, 0.95])
PIXELS = np.array([200000, 150000, 3200000, 6450000])


def test_the_sample_size_of_the_paper() -> None:
    """Olofsson et al. (2014), section 5.1.1: 641 points for a standard error of 0.01."""
    assert cochran_size(SHARES, ACCURACIES, 0.01) == 641
    assert cochran_size(np.ones(1), np.array([0.5]), 0.05) == 100


def test_rare_classes_have_the_minimum_and_the_others_share_the_rest() -> None:
    sizes = allocate(640, PIXELS, SHARES, ACCURACIES, "proportional", 75)
    assert sizes.tolist() == [75, 75, 162, 328]
    assert allocate(640, PIXELS, SHARES, ACCURACIES, "equal", 50).tolist() == [160] * 4


def test_neyman_puts_points_where_errors_are_expected() -> None:
    spread = SHARES * np.sqrt(ACCURACIES * (1 - ACCURACIES))
    sizes = allocate(10000, PIXELS, SHARES, ACCURACIES, "neyman", 2)
    assert sizes == pytest.approx(10000 * spread / spread.sum(), abs=1)
    assert allocate(100, PIXELS, SHARES, np.array([1, 1, 0.5, 0.5]), "neyman", 2).tolist()[:2] == [2, 2]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("allocation", ["proportional", "equal", "neyman"])
def test_sizes_sum_up_within_their_bounds(seed: int, allocation: str) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 10 ** rng.integers(1, 7), rng.integers(1, 30))
    shares = pixels / pixels.sum()
    accuracies = rng.choice([0.5, 0.8, 1.0], len(pixels))
    accuracies[0] = 0.5
    minimum = int(rng.integers(1, 60))
    floors = np.minimum(minimum, pixels)
    size = int(floors.sum() + rng.integers(0, 3000))
    sizes = allocate(size, pixels, shares, accuracies, allocation, minimum)  # type: ignore[arg-type]
    assert (sizes >= floors).all() and (sizes <= pixels).all()
    assert sizes.sum() == min(size, pixels.sum())


def test_too_few_points_are_refused_with_what_is_enough() -> None:
    with pytest.raises(UsageError, match=r"--size 100 is too few for 4 classes.*--size 200 or more"):
        allocate(100, PIXELS, SHARES, ACCURACIES, "proportional", 50)
    with pytest.raises(UsageError, match="1 to 1000000"):
        allocate(10**7, PIXELS, SHARES, ACCURACIES, "proportional", 50)


def drawn_of(path: Path, sizes: list[int], seed: int = 0) -> Drawn:
    with NumberedMap(path) as source:
        return draw(source, take_census(source), sizes, seed)


def labels_of(rng: np.random.Generator, shape: tuple[int, int] = (90, 70)) -> np.ndarray:
    return rng.choice(np.array([0, 1, 2, 7], np.uint8), shape, p=[0.2, 0.5, 0.25, 0.05])


def test_points_lie_in_their_strata_and_none_twice(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = labels_of(rng)
    found = drawn_of(write_map(tmp_path / "m.tif", labels), [100, 60, 30])
    assert labels[found.rows, found.cols].tolist() == [[1, 2, 7][stratum] for stratum in found.strata]
    assert np.bincount(found.strata).tolist() == [100, 60, 30]
    places = found.rows * 70 + found.cols
    assert (np.diff(places) > 0).all()
    assert not np.array_equal(drawn_of(tmp_path / "m.tif", [100, 60, 30], 1).rows, found.rows)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_height_of_strips_changes_nothing(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    path = write_map(tmp_path / "m.tif", labels_of(rng))
    with NumberedMap(path) as source:
        whole, census = drawn_of(path, [50, 40, 20]), take_census(source)
        monkeypatch.setattr(maps, "label_windows", lambda grid: label_windows(grid, rows))
        again = take_census(source)
    parts = drawn_of(path, [50, 40, 20])
    assert again.sha256 == census.sha256 and again.pixels.tolist() == census.pixels.tolist()
    assert again.areas == pytest.approx(census.areas)
    for name in ("rows", "cols", "strata"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_every_pixel_is_as_likely_as_any_other(tmp_path: Path) -> None:
    """Half of 6 x 8 pixels of one class, 800 times: a binomial count each."""
    path = write_map(tmp_path / "m.tif", np.ones((6, 8), np.uint8))
    hits = np.zeros((6, 8))
    with NumberedMap(path) as source:
        census = take_census(source)
        for seed in range(800):
            found = draw(source, census, [24], seed)
            hits[found.rows, found.cols] += 1
    assert hits.sum() == 800 * 24
    chi = ((hits - 400) ** 2 / 200).sum()
    assert 15 < chi < 90  # 47 degrees of freedom, 0.001 on each side


def test_a_whole_stratum_can_be_drawn(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = labels_of(rng)
    counts = [int((labels == value).sum()) for value in (1, 2, 7)]
    found = drawn_of(write_map(tmp_path / "m.tif", labels), counts)
    assert len(found.rows) == (labels > 0).sum()


def test_a_census_counts_pixels_and_ground(tmp_path: Path, rng: np.random.Generator) -> None:
    labels = labels_of(rng)
    with NumberedMap(write_map(tmp_path / "m.tif", labels)) as source:
        census = take_census(source)
    assert census.values == (1, 2, 7) and census.titles == ("cluster 1", "cluster 2", "cluster 7")
    assert census.pixels.tolist() == [(labels == value).sum() for value in (1, 2, 7)]
    assert census.areas is not None and census.areas.tolist() == (census.pixels * 25).tolist()
    wide = write_plain(tmp_path / "w.tif", labels.astype(np.uint16), grid_for(labels.shape))
    with NumberedMap(wide) as source:
        assert take_census(source).sha256 == census.sha256
    labels[-1, -1] = 7 if labels[-1, -1] != 7 else 1
    with NumberedMap(write_map(tmp_path / "o.tif", labels)) as source:
        assert take_census(source).sha256 != census.sha256


def test_shares_in_degrees_are_shares_of_the_ground(tmp_path: Path) -> None:
    """A band at 60 degrees has half the ground of one at the equator."""
    grid = Grid(61, 4, (1, 0, 0, 0, -1, 60.5), 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]')  # fmt: skip  # noqa: E501
    labels = np.zeros((61, 4), np.uint8)
    labels[0], labels[60] = 1, 2
    with NumberedMap(write_map(tmp_path / "m.tif", labels, grid=grid)) as source:
        census = take_census(source)
    assert census.shares == pytest.approx([1 / 3, 2 / 3], abs=0.01)


def test_without_a_crs_there_are_pixels_only(tmp_path: Path) -> None:
    grid = grid_for((4, 4), crs=None)
    with NumberedMap(write_map(tmp_path / "m.tif", np.ones((4, 4), np.uint8), grid=grid)) as source:
        census = take_census(source)
    assert census.areas is None and census.shares.tolist() == [1]


def test_an_empty_map_has_nothing_to_sample(tmp_path: Path) -> None:
    path = write_map(tmp_path / "m.tif", np.zeros((4, 4), np.uint8))
    with NumberedMap(path) as source, pytest.raises(InputError, match="nothing to sample"):
        take_census(source)
    with NumberedMap(path) as source:
        assert not source.read(Window(0, 0, 4, 4)).any()
