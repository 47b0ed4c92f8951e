from pathlib import Path

import numpy as np
import pytest
from labelmaps import grid_for, write_map
from scenes import write_scene

from rsseg.errors import GridError
from rsseg.label import moments as moments_module
from rsseg.label.maps import LabelMap
from rsseg.label.moments import Moments
from rsseg.label.spectra import cluster_spectra
from rsseg.scene.sensors import open_scene


def test_moments_are_those_of_the_valid_pixels(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments_module, "CHUNK", 1000)  # several chunks a strip
    scene = open_scene(write_scene(tmp_path / "s.tif", 600, 48))
    labels = rng.integers(0, 7, (600, 48)).astype(np.uint8)
    labels[:300][labels[:300] == 6] = 1  # a cluster that the first strips lack
    labels[:3, :5] = 200  # where the scene has no data
    with LabelMap(write_map(tmp_path / "l.tif", labels)) as source:
        found = cluster_spectra(source, scene)
    with scene.open() as reader:
        values, valid = reader.read(scene.grid.window)
    assert found.bands == scene.band_names
    assert found.pixels[200] == 15 and found.counts[200] == 0 and found.pixels[0] == found.counts[0] == 0
    for cluster in range(1, 7):
        pixels = values[:, (labels == cluster) & valid] * 1e-4 - 0.1
        assert found.counts[cluster] == pixels.shape[1]
        assert np.allclose(found.means[cluster], pixels.mean(axis=1), rtol=1e-12)
        assert np.allclose(found.variances[cluster], pixels.var(axis=1), rtol=1e-9)
    everything = values[:, (labels > 0) & valid] * 1e-4 - 0.1
    expected = (found.means - everything.mean(axis=1)) / everything.std(axis=1)
    assert np.allclose(found.standardised[1:7], expected[1:7])


def test_large_numbers_with_a_small_spread_keep_their_digits(rng: np.random.Generator) -> None:
    moments, values = Moments(1), 1e9 + rng.normal(size=40000)
    for part in np.split(values, 8):
        moments.add(np.full(5000, 3), part[None])
    assert moments.squares[3, 0] / 40000 == pytest.approx(values.var(), rel=1e-6)


def test_a_scene_of_another_grid_is_refused(tmp_path: Path) -> None:
    scene = open_scene(write_scene(tmp_path / "s.tif", 48, 64))
    path = write_map(tmp_path / "l.tif", np.ones((48, 63), np.uint8), grid=grid_for((48, 63)))
    with LabelMap(path) as source, pytest.raises(GridError, match=r"48 x 64 .* 48 x 63 .* give the scene"):
        cluster_spectra(source, scene)
