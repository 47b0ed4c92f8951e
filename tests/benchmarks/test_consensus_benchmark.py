import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rsseg.scene.raster import read_labels


@pytest.fixture
def benchmark(beside_the_scripts: None) -> ModuleType:
    return importlib.import_module("consensus")


def test_every_part_runs_on_the_maps_that_are_made(tmp_path: Path, benchmark: ModuleType) -> None:
    benchmark.make_maps(tmp_path, 90, 130, 4, [])
    for part in benchmark.PARTS:
        found = benchmark.run_part(part, tmp_path)
        assert found["seconds"] > 0 and found["peak_mib"] > 10
    assert (tmp_path / "out" / "consensus.json").exists()


def test_given_maps_are_tiled_to_the_size(tmp_path: Path, benchmark: ModuleType) -> None:
    benchmark.make_maps(tmp_path, 40, 50, 4, [])
    given = [tmp_path / "0.tif", tmp_path / "1.tif"]
    (tmp_path / "large").mkdir()
    benchmark.make_maps(tmp_path / "large", 600, 75, 4, given)
    for path in given:
        small, large = read_labels(path)[0], read_labels(tmp_path / "large" / path.name)[0]
        assert np.array_equal(large, np.tile(small, (15, 2))[:600, :75])
