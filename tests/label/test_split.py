from pathlib import Path

import geopandas
import numpy as np
import pytest
from labelmaps import grid_for, write_boxes, write_map, write_plain
from shapely.geometry import MultiPolygon, Point, box

from rsseg.errors import GridError, UsageError
from rsseg.label.reference import PolygonReference, Reference, Split, check_touches, open_reference
from rsseg.label.split import fit_blocks, fit_units
from rsseg.scene.grid import Window

GRID = grid_for((200, 260))


def opened(path: Path, part: str | None, share: float = 0.5, seed: int = 0, field: str | None = "class") -> Reference:
    split = None if part is None else Split(part, share, seed)  # type: ignore[arg-type]
    return open_reference(path, GRID, path, field, split=split)


def codes(path: Path, part: str | None, **options: float) -> np.ndarray:
    with opened(path, part, **options) as reference:  # type: ignore[arg-type]
        return reference.read(GRID.window)


@pytest.fixture
def polygons(tmp_path: Path) -> Path:
    """30 overlapping boxes of three classes, and one of a fourth."""
    rng = np.random.default_rng(5)
    corners = rng.integers(0, 170, (31, 2))
    boxes = [(int(row), int(col), 25, 25, "abcd"[min(i, 30) // 10]) for i, (row, col) in enumerate(corners)]
    return write_boxes(tmp_path / "p.gpkg", GRID, boxes)


def test_polygons_are_split_whole_and_the_parts_share_no_pixel(polygons: Path) -> None:
    whole, fit, score = (codes(polygons, part) for part in (None, "fit", "score"))
    assert not ((fit > 0) & (score > 0)).any()
    assert np.array_equal(np.maximum(fit, score), whole)
    with opened(polygons, "fit") as first, opened(polygons, "score") as second:
        assert isinstance(first, PolygonReference) and isinstance(second, PolygonReference)
        numbers = [set(np.unique(part.polygons(GRID.window))) - {0} for part in (first, second)]
        assert not numbers[0] & numbers[1]
        assert first.halves is not None and first.halves.fit == 16 and first.halves.score == 15
        assert first.halves.fit_only == ("d",) and first.classes == second.classes == ("a", "b", "c", "d")
        assert "only part fit has d" in " ".join(first.notes)


def test_equal_seeds_make_equal_parts_and_windows_join(polygons: Path) -> None:
    first = codes(polygons, "score", seed=3)
    assert np.array_equal(first, codes(polygons, "score", seed=3))
    assert not np.array_equal(first, codes(polygons, "score", seed=4))
    with opened(polygons, "score", seed=3) as reference:
        parts = [reference.read(Window(row, 0, 40, GRID.width)) for row in range(0, 200, 40)]
    assert np.array_equal(np.vstack(parts), first)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_with_two_units_is_on_both_sides(share: float, seed: int) -> None:
    classes = np.random.default_rng(seed).integers(1, 9, 60)
    fit = fit_units(classes, share, seed)
    for code in np.unique(classes):
        own = fit[classes == code]
        assert own.sum() == (1 if len(own) == 1 else min(max(round(share * len(own)), 1), len(own) - 1))
    assert not (fit_units(classes, share / 2, seed) & ~fit).any()  # a smaller share is a part of a larger one


def test_the_parts_of_a_dissolved_class_are_split(tmp_path: Path) -> None:
    """One feature of three far parts, as after dissolving by class, and one single polygon."""
    left, top = GRID.xy(0, 0)
    parts = MultiPolygon([box(left + 100 * i, top - 50, left + 100 * i + 50, top) for i in range(3)])
    single = box(left, top - 200, left + 50, top - 150)
    frame = geopandas.GeoDataFrame({"class": ["many", "one"]}, geometry=[parts, single], crs=GRID.crs)
    frame.to_file(tmp_path / "p.gpkg")
    with opened(tmp_path / "p.gpkg", "score") as reference:
        assert reference.halves is not None and (reference.halves.fit, reference.halves.score) == (3, 1)
    assert np.array_equal(
        np.maximum(codes(tmp_path / "p.gpkg", "fit"), codes(tmp_path / "p.gpkg", "score")),
        codes(tmp_path / "p.gpkg", None),
    )


def test_single_polygons_cannot_be_split(tmp_path: Path) -> None:
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 5, 5, "a"), (9, 9, 5, 5, "b")])
    with pytest.raises(UsageError, match="one polygon only"):
        opened(path, "score")


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_leaves_both_parts_something(share: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        Split("fit", share)


def test_a_raster_is_split_by_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = np.kron(rng.integers(0, 4, (20, 26)), np.ones((10, 10))).astype(np.uint8)
    path = write_map(tmp_path / "r.tif", values)
    whole, fit, score = (codes(path, part, field=None) for part in (None, "fit", "score"))  # type: ignore[arg-type]
    assert np.array_equal(np.maximum(fit, score), whole) and not ((fit > 0) & (score > 0)).any()
    for row in range(0, 200, 64):
        for col in range(0, 260, 64):
            block = np.s_[row : row + 64, col : col + 64]
            assert not (fit[block].any() and score[block].any())
    with opened(path, "score", field=None) as reference:
        assert reference.halves is not None
        assert reference.halves.fit + reference.halves.score == 20 and abs(reference.halves.fit - 10) <= 1
        assert "blocks of 64 x 64 pixels" in reference.notes[0]
    one = np.zeros(GRID.shape, np.int16)
    one[:9, :9] = 300
    with pytest.raises(UsageError, match="single block"):
        opened(write_plain(tmp_path / "one.tif", one, GRID), "fit", field=None)


@pytest.mark.parametrize("seed", range(10))
def test_blocks_of_rare_classes_lie_on_both_sides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    presence = rng.random((40, 5)) < np.array([0.9, 0.5, 0.2, 0, 0])
    presence[rng.choice(40, 2, replace=False), 3] = True
    presence[7, 4] = True
    fit = fit_blocks(presence, 0.5, seed)
    for code in range(4):
        own = fit[presence[:, code]]
        assert 0 < own.sum() < len(own)
    assert fit[7]


def test_points_are_split_whole_and_by_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    places = [Point(*GRID.xy(row + 0.5, col + 0.5)) for row, col in rng.permutation(200)[:60].reshape(-1, 2)]
    frame = geopandas.GeoDataFrame({"class": list("abc") * 10}, geometry=places, crs=GRID.crs)
    frame.to_file(tmp_path / "o.gpkg")
    whole, fit, score = (codes(tmp_path / "o.gpkg", part) for part in (None, "fit", "score"))
    assert np.array_equal(np.maximum(fit, score), whole)
    assert [int((fit == code).sum()) for code in (1, 2, 3)] == [5, 5, 5]


def test_a_part_beside_the_map_is_said(tmp_path: Path) -> None:
    """One polygon on the map and one beside it: with this seed the other part has the one on the map."""
    path = write_boxes(tmp_path / "p.gpkg", GRID, [(0, 0, 5, 5, "a"), (900, 9, 5, 5, "a")])
    found = {part: codes(path, part).any() for part in ("fit", "score")}
    assert sorted(found.values()) == [False, True]
    empty = next(part for part, any_pixel in found.items() if not any_pixel)
    with opened(path, empty) as reference, pytest.raises(GridError, match=f"part {empty} of .* another share or seed"):
        check_touches(reference, np.zeros((3, 2), int), GRID)
