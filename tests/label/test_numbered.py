from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_map, write_plain

from rsseg.errors import InputError
from rsseg.label.contingency import contingency
from rsseg.label.numbered import NumberedMap, pair_counts
from rsseg.publish.labels import LabelClass

GRID = grid_for((30, 20))


def test_bytes_keep_their_values(tmp_path: Path) -> None:
    labels = np.full((30, 20), 7, np.uint8)
    with NumberedMap(write_map(tmp_path / "m.tif", labels, classes=[LabelClass(7, "reef", "#112233")])) as opened:
        assert np.array_equal(opened.read(GRID.window), labels)
        assert (opened.title(7), opened.title(8), opened.given_name(8)) == ("reef", "cluster 8", "")


@pytest.mark.parametrize(("dtype", "values"), [("uint16", 65535), ("int32", 65535), ("int16", 32767), ("uint16", 900)])
def test_values_of_more_than_a_byte_are_numbered(
    tmp_path: Path, rng: np.random.Generator, dtype: str, values: int
) -> None:
    labels = rng.integers(0, values + 1, GRID.shape).astype(dtype)
    labels[3, 4], labels[0, 0] = values, 0
    with NumberedMap(write_plain(tmp_path / "m.tif", labels, GRID)) as opened:
        codes = opened.read(GRID.window)
        assert np.array_equal(opened.values[codes], labels)
        assert np.array_equal(opened.values, np.union1d([0], labels))
        assert opened.title(int(codes[3, 4])) == f"cluster {values}"


def test_few_values_are_bytes_and_nodata_is_none(tmp_path: Path) -> None:
    labels = np.array([[5000, 65535], [5000, 1]] * 2, np.uint16)
    with NumberedMap(write_plain(tmp_path / "m.tif", labels, grid_for((4, 2)), nodata=65535)) as opened:
        codes = opened.read(opened.grid.window)
        assert codes.dtype == np.uint8 and codes[:2].tolist() == [[2, 0], [2, 1]]


@pytest.mark.parametrize("wrong", [-1, 65536])
def test_other_values_are_refused(tmp_path: Path, wrong: int) -> None:
    labels = np.full((30, 20), 3, np.int32)
    labels[29, 19] = wrong
    with pytest.raises(InputError, match=rf"holds the value {wrong}; clusters are 1 to 65535"):
        NumberedMap(write_plain(tmp_path / "m.tif", labels, GRID))


def test_pairs_are_counted_as_in_bytes(rng: np.random.Generator) -> None:
    labels, codes = rng.integers(0, 200, (80, 90)), rng.integers(0, 6, (80, 90)).astype(np.uint8)
    expected = contingency(labels.astype(np.uint8), codes, 199, 5)
    assert np.array_equal(pair_counts(labels.astype(np.uint16), codes, 199, 5), expected)
    wide = pair_counts((labels * 300).astype(np.uint16), codes, 65535, 5)
    assert np.array_equal(wide[::300][:200], expected) and wide.sum() == labels.size
