from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from products import make_liss4

from rsseg.errors import UsageError
from rsseg.pipeline.stages.tile import tile
from rsseg.scene.sensors import open_scene


@pytest.fixture
def product(tmp_path: Path) -> Path:
    return make_liss4(tmp_path / "product", shape=(40, 52))


def test_the_catalogue_holds_each_patch_with_its_box_and_statistics(product: Path, tmp_path: Path) -> None:
    result = tile(product, tmp_path / "p.parquet", patch=8, stride=5)
    table = geopandas.read_parquet(tmp_path / "p.parquet")
    scene = open_scene(product)
    with scene.open() as reader:
        values, valid = reader.read(scene.grid.window)
    assert len(table) == result.patches == 8 * 10
    for row in table.itertuples():
        rows, cols = slice(row.row, row.row + 8), slice(row.col, row.col + 8)
        inside = valid[rows, cols]
        left, bottom, right, top = row.geometry.bounds
        assert (left, top) == pytest.approx(scene.grid.xy(row.row, row.col))
        assert (right, bottom) == pytest.approx(scene.grid.xy(row.row + 8, row.col + 8))
        assert row.valid == pytest.approx(inside.mean())
        if inside.any():
            green = values[0, rows, cols][inside] * scene.scales[0] + scene.offsets[0]
            assert (row.mean_green, row.std_green) == pytest.approx((green.mean(), green.std()), abs=1e-6)
        else:
            assert np.isnan(row.mean_green)


def test_chips_are_the_training_patches_in_their_place(product: Path, tmp_path: Path) -> None:
    result = tile(product, tmp_path / "p.parquet", export=tmp_path / "chips")
    table = geopandas.read_parquet(tmp_path / "p.parquet").set_index("patch")
    chips = sorted((tmp_path / "chips").glob("*.tif"))
    assert len(chips) == result.training == (table.valid >= 0.99).sum()
    with rasterio.open(chips[0]) as chip:
        number = int(chips[0].stem)
        assert chip.bounds == pytest.approx(table.geometry[number].bounds)
        mean = (chip.read(1) * chip.scales[0] + chip.offsets[0]).mean()
        assert mean == pytest.approx(table.mean_green[number], abs=1e-6)


def test_a_folder_of_other_files_is_never_replaced_by_chips(product: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="holds other files"):
        tile(product, tmp_path / "p.parquet", export=tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists() and not (tmp_path / "p.parquet").exists()


def test_the_command_counts_patches(rsseg: Callable[..., tuple[int, str, str]], product: Path, tmp_path: Path) -> None:
    code, out, _ = rsseg("tile", product, "-o", tmp_path / "p.parquet", "--json")
    assert code == 0 and '"patches": 35' in out
