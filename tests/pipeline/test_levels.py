"""The classes that a scene's pixels fall into: of whole scenes, of windows of large ones, of scenes without data."""

from pathlib import Path

import pytest
import rasterio
from scenes import write_scene

from rsseg.errors import TrainingError
from rsseg.learn.methods.context import ContextSettings
from rsseg.pipeline import levels as module
from rsseg.pipeline.levels import scene_levels
from rsseg.scene.sensors import open_scene

SETTINGS = ContextSettings(classes=6, fine=8, patch=32, stride=16)


def test_three_kinds_of_land_are_three_classes(tmp_path: Path) -> None:
    found = {
        level.classes: level for level in scene_levels(open_scene(write_scene(tmp_path / "s.tif", 64, 96)), SETTINGS)
    }
    assert min(found) == 2 and found[3].variance > 0.8 > found[2].variance


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    scene = open_scene(write_scene(tmp_path / "s.tif", 64, 96))
    first, second = scene_levels(scene, SETTINGS, seed=3), scene_levels(scene, SETTINGS, seed=3)
    assert [(a.information, a.variance) for a in first] == [(b.information, b.variance) for b in second]


def test_of_a_large_scene_windows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = open_scene(write_scene(tmp_path / "s.tif", 200, 300))
    monkeypatch.setattr(module, "PIXELS", 64 * 64 * 6)
    monkeypatch.setattr(module, "SIDE", 64)
    read: list[int] = []
    complete = module.ArraySource

    def counting(values, valid):  # type: ignore[no-untyped-def]
        read.append(values[0].size)
        return complete(values, valid)

    monkeypatch.setattr(module, "ArraySource", counting)
    found = {level.classes: level for level in scene_levels(scene, SETTINGS)}
    assert 1 < len(read) <= 6 and sum(read) <= 64 * 64 * 6
    assert found[3].variance > 0.8


def test_a_scene_without_data_says_what_to_do(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "empty.tif")
    with rasterio.open(path, "r+") as file:
        file.write(file.read() * 0 + 65535)
    with pytest.raises(TrainingError, match="no pixel in a sample of empty is valid"):
        scene_levels(open_scene(path), SETTINGS)
    with rasterio.open(path, "r+") as file:
        values = file.read()
        values[:, ::3] = 3000
        file.write(values)
    with pytest.raises(TrainingError, match=r"no tile of 32 x 32 pixels of empty is half valid; check its nodata"):
        scene_levels(open_scene(path), SETTINGS)
