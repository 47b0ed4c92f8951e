"""The mosaic of an archive: GDAL reads what putting one map over the other gives, and says what it leaves out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from batch_folders import done
from labelmaps import grid_for, write_map
from rasterio.crs import CRS

from rsseg.batch.mosaic import write
from rsseg.batch.outcome import Outcome
from rsseg.label.maps import LabelMap
from rsseg.publish.labels import LabelClass, LabelMapWriter
from rsseg.publish.mosaic import Tile, mosaic_grid, vrt
from rsseg.scene.grid import Grid

CLASSES = (
    LabelClass(1, "water", "#0072b2"),
    LabelClass(2, "<town> & 'more'", "#e69f00"),
    LabelClass(5, "वन", "#009e73"),
)
UTM44 = CRS.from_epsg(32644).to_wkt()


def placed(row: float, col: float, shape: tuple[int, int], pixel: float = 5.0, crs: str | None = None) -> Grid:
    """A grid that begins so many pixels of 5 m below and right of the others' corner."""
    base = grid_for(shape, crs) if crs else grid_for(shape)
    return replace(base, transform=(pixel, 0.0, 600000.0 + 5 * col, 0.0, -pixel, 2500000.0 - 5 * row))


def labels_of(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Classes with holes."""
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 5], np.uint8), shape)


def scene(
    output: Path,
    name: str,
    grid: Grid,
    labels: np.ndarray,
    *,
    time: str = "",
    classes: Sequence[LabelClass] = CLASSES,
    model: str = "m",
    folder: str = "labels",
) -> Outcome:
    path = output / "scenes" / name / name / folder / "kmeans.tif"
    with LabelMapWriter(path, grid, classes, tags={"model": model}) as writer:
        writer.write(labels, grid.window)
    return done(name, **({"time": time} if time else {}))


def composed(maps: Sequence[tuple[int, int, np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Slow reference: each map over those before it, pixel by pixel where it has data."""
    whole = np.zeros(shape, np.uint8)
    for top, left, labels in maps:
        for row, col in np.argwhere(labels):
            whole[top + row, left + col] = labels[row, col]
    return whole


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values


def test_overlapping_maps_are_composed_the_newest_on_top(tmp_path: Path) -> None:
    a, b, c = (labels_of(shape, seed) for seed, shape in enumerate([(40, 50), (60, 30), (20, 20)]))
    made = [
        scene(tmp_path, "z first", placed(0, 0, a.shape), a, time="2018-01-01T00:00:00Z"),
        scene(tmp_path, "a last", placed(30, 35, b.shape), b, time="2019-01-01T00:00:00Z"),
        scene(tmp_path, "timeless", placed(-10, 20, c.shape), c),
    ]
    found = write(made, tmp_path)
    assert found.files == (tmp_path / "kmeans.vrt",) and found.sentences == ()
    expected = composed([(0, 20, c), (10, 0, a), (40, 35, b)], (100, 65))
    assert np.array_equal(read(tmp_path / "kmeans.vrt"), expected)
    with rasterio.open(tmp_path / "kmeans.vrt") as dataset:
        assert dataset.nodata == 0 and dataset.crs == CRS.from_epsg(32645)
        assert dataset.transform == rasterio.Affine(5, 0, 600000, 0, -5, 2500050)
        assert dataset.colormap(1)[2] == (0xE6, 0x9F, 0, 255) and dataset.colormap(1)[0][3] == 0
        assert np.array_equal(dataset.read_masks(1) > 0, expected > 0)
    assert (tmp_path / "kmeans.qml").read_text(encoding="utf-8").count("paletteEntry") == 3


def test_names_and_colours_reach_a_gis(tmp_path: Path) -> None:
    write([scene(tmp_path, "one", placed(0, 0, (8, 8)), labels_of((8, 8), 1))], tmp_path)
    text = (tmp_path / "kmeans.vrt").read_text(encoding="utf-8")
    assert "<Category>&lt;town&gt; &amp; 'more'</Category>" in text
    assert 'relativeToVRT="1">scenes/one/one/labels/kmeans.tif<' in text
    with LabelMap(tmp_path / "kmeans.vrt") as source:
        assert source.colours == {1: "#0072b2", 2: "#e69f00", 5: "#009e73"}


def test_coarser_maps_are_shown_in_the_finest_pixels(tmp_path: Path) -> None:
    fine, coarse = labels_of((30, 40), 3), labels_of((20, 25), 4)
    made = [scene(tmp_path, "b", placed(0, 0, fine.shape), fine)]
    made += [scene(tmp_path, "a", placed(-10, 20, coarse.shape, 10.0), coarse)]
    write(made, tmp_path)
    expected = composed([(0, 20, np.kron(coarse, np.ones((2, 2), np.uint8))), (10, 0, fine)], (40, 70))
    assert np.array_equal(read(tmp_path / "kmeans.vrt"), expected)


@pytest.mark.parametrize(("row", "col"), [(0.4, 30.3), (-0.4, 29.6), (0.49, 30.49)])
def test_a_map_out_of_step_is_moved_by_half_a_pixel_at_most(tmp_path: Path, row: float, col: float) -> None:
    still, moved = labels_of((20, 20), 5), np.maximum(labels_of((20, 20), 6), 1)
    made = [scene(tmp_path, "a", placed(0, 0, still.shape), still)]
    made += [scene(tmp_path, "b", placed(row, col, moved.shape), moved)]
    write(made, tmp_path)
    with rasterio.open(tmp_path / "kmeans.vrt") as dataset:
        top, left = [round(place) for place in ~dataset.transform @ (600000.0, 2500000.0)][::-1]
    whole = read(tmp_path / "kmeans.vrt")
    assert np.array_equal(whole[top : top + 20, left : left + 20], still)
    assert np.array_equal(whole[top : top + 20, left + 30 : left + 50], moved)


def test_parts_of_a_mosaic_are_those_of_the_whole(tmp_path: Path) -> None:
    """LISS-III beside LISS-IV: 4.7 pixels in one, whatever the window that is read."""
    fine, coarse = labels_of((90, 100), 3), labels_of((30, 35), 4)
    made = [scene(tmp_path, "b", placed(0, 0, fine.shape), fine)]
    made += [scene(tmp_path, "a", placed(-31.7, 20.2, coarse.shape, 23.5), coarse)]
    write(made, tmp_path)
    whole = read(tmp_path / "kmeans.vrt")
    with rasterio.open(tmp_path / "kmeans.vrt") as dataset:
        parts = [
            [
                dataset.read(1, window=((row, min(row + 37, len(whole))), (col, min(col + 41, whole.shape[1]))))
                for col in range(0, whole.shape[1], 41)
            ]
            for row in range(0, len(whole), 37)
        ]
    assert np.array_equal(np.block(parts), whole)
    # the middles of coarse pixels above the fine map
    rows, cols = np.arange(6) * 4.7 + 2.35, np.arange(35) * 4.7 + 2.35
    assert np.array_equal(whole[np.ix_(rows.astype(int), cols.astype(int) + 20)], coarse[:6])


def test_decimated_reads_use_overviews(tmp_path: Path) -> None:
    labels = np.kron(labels_of((12, 12), 7), np.ones((100, 100), np.uint8))
    made = [scene(tmp_path, name, placed(0, col, labels.shape), labels) for name, col in (("a", 0), ("b", 1200))]
    write(made, tmp_path)
    with rasterio.open(tmp_path / "kmeans.vrt") as dataset:
        assert dataset.overviews(1) == [2, 4, 8, 16]
        small = dataset.read(1, out_shape=(24, 48))
    both = np.hstack([labels, labels])
    assert (small == both[25::50, 25::50]).mean() > 0.99


def test_other_systems_get_mosaics_of_their_own(tmp_path: Path) -> None:
    labels = labels_of((10, 10), 8)
    made = [scene(tmp_path, name, placed(0, 20 * place, (10, 10)), labels) for place, name in enumerate("ab")]
    made += [scene(tmp_path, "far", placed(0, 0, (10, 10), crs=UTM44), labels)]
    found = write(made, tmp_path)
    assert [path.name for path in found.files] == ["kmeans.vrt", "kmeans_EPSG32644.vrt"]
    assert read(found.files[0]).shape == (10, 30)
    assert np.array_equal(read(found.files[1]), labels)
    write(made[:2], tmp_path)
    assert not (tmp_path / "kmeans_EPSG32644.vrt").exists()


def test_maps_that_do_not_fit_are_left_out_and_named(tmp_path: Path) -> None:
    labels = labels_of((10, 10), 9)
    turned = replace(placed(0, 0, (10, 10)), transform=(4.0, 3.0, 6e5, 3.0, -4.0, 25e5))
    south_up = replace(placed(0, 0, (10, 10)), transform=(5.0, 0.0, 6e5, 0.0, 5.0, 25e5))
    nowhere = replace(placed(0, 0, (10, 10)), crs=None)
    kinds = {"good": placed(0, 0, (10, 10)), "turned": turned, "south": south_up, "nowhere": nowhere}
    made = [scene(tmp_path, name, grid, labels) for name, grid in kinds.items()]
    found = write([*made, done("gone")], tmp_path)
    assert np.array_equal(read(found.files[0]), labels)
    told = "\n".join(found.sentences)
    assert "leaves out nowhere: its map has no CRS" in told
    assert "leaves out south, turned: its map is turned or south-up" in told
    assert "leaves out gone: its map is missing or damaged" in told


def test_maps_of_other_classes_are_refused(tmp_path: Path) -> None:
    labels = labels_of((10, 10), 9)
    other = (LabelClass(1, "water", "#0072b2"), LabelClass(2, "forest\n" * 90, "#e69f00"), CLASSES[2])
    first = scene(tmp_path, "one", placed(0, 0, (10, 10)), labels)
    assert write([first], tmp_path).files
    found = write([first, scene(tmp_path, "two", placed(0, 9, (10, 10)), labels, classes=other)], tmp_path)
    assert found.files == () and not (tmp_path / "kmeans.vrt").exists()
    (sentence,) = found.sentences
    assert "the value 2 is '<town> & 'more'' in #e69f00 on one, but 'forest forest" in sentence and len(sentence) < 400


def test_clusters_of_different_models_are_refused_but_common_classes_are_joined(tmp_path: Path) -> None:
    labels = labels_of((10, 10), 9)
    made = [
        scene(tmp_path, name, placed(0, place, (10, 10)), labels, model=name, folder=folder)
        for folder in ("labels", "common")
        for place, name in enumerate("ab")
    ]
    found = write(made[:2], tmp_path)
    assert found.files == () and "different models" in found.sentences[0]
    assert write(made[:2], tmp_path, "common").files == (tmp_path / "kmeans.vrt",)
    assert "common/kmeans.tif" in (tmp_path / "kmeans.vrt").read_text()


def test_the_order_of_outcomes_does_not_count_and_foreign_files_stay(tmp_path: Path) -> None:
    foreign = tmp_path / "mine.vrt"
    foreign.write_text("<VRTDataset/>")
    made = [scene(tmp_path, name, placed(0, 5 * n, (10, 10)), labels_of((10, 10), n)) for n, name in enumerate("abc")]
    write(made, tmp_path)
    before = (tmp_path / "kmeans.vrt").read_bytes()
    write(made[::-1], tmp_path)
    assert (tmp_path / "kmeans.vrt").read_bytes() == before and foreign.exists()
    assert str(tmp_path) not in before.decode()


def test_thousands_of_maps_open_without_being_touched(tmp_path: Path) -> None:
    """No map is opened before its pixels are wanted: here none of them even exists."""
    grids = [placed(100 * (n // 50), 100 * (n % 50), (100, 100)) for n in range(2000)]
    tiles = [Tile(f"s{n}.tif", grid, {1: "water"}, {1: "#0072b2"}) for n, grid in enumerate(grids)]
    (tmp_path / "m.vrt").write_text(vrt(tiles, CLASSES, {}), encoding="utf-8")
    write_map(tmp_path / "s77.tif", np.full((100, 100), 1, np.uint8), grid=grids[77])
    with rasterio.open(tmp_path / "m.vrt") as dataset:
        assert dataset.shape == (4000, 5000)
        assert (dataset.read(1, window=((100, 200), (2700, 2800))) == 1).all()


def test_the_grid_is_in_step_with_the_finest_map() -> None:
    found = mosaic_grid([placed(3.2, 1.7, (10, 10), 10.0), placed(0, 0, (10, 10))])
    assert found.pixel_size == (5.0, 5.0) and found.transform[2::3] == (600000.0, 2500000.0)
    assert found.shape == (24, 22)
