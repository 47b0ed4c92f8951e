"""Channels through the commands: train, segment, --init and --labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scenes import write_reference, write_scene

from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.methods import settings_of
from rsseg.learn.model import load_model
from rsseg.pipeline.inputs import open_scenes, reading
from rsseg.pipeline.regions import region_maker
from rsseg.scene.grid import Window

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


def kmeans(rsseg: Command, scene: Path, output: Path, *options: object) -> Path:
    code, _, said = rsseg("train", "kmeans", scene, "-o", output, "--classes", 3, "--starts", 2, *options)
    assert code == 0, said
    return output


def test_defaults_give_the_model_of_before(rsseg: Command, scene: Path, tmp_path: Path) -> None:
    plain = kmeans(rsseg, scene, tmp_path / "a.safetensors")
    named = kmeans(rsseg, scene, tmp_path / "b.safetensors", "--channels", "bands", "--no-denoise")
    assert plain.read_bytes() == named.read_bytes()
    assert b'"channels"' not in plain.read_bytes() and b"denoise" not in plain.read_bytes()


def test_a_map_from_channels(rsseg: Command, scene: Path, tmp_path: Path) -> None:
    options = ("--channels", "bands,indices,texture", "--denoise", "--normalise", "robust")
    model = kmeans(rsseg, scene, tmp_path / "m.safetensors", *options)
    found = load_model(model)
    assert found.inference.channels is not None and found.inference.inputs == 3 + 2 + 1
    assert found.provenance["settings"]["channels"] == ["bands", "indices", "texture"]
    assert found.provenance["settings"]["denoise"] is True
    code, _, said = rsseg("segment", scene, "--model", model, "-o", tmp_path / "labels.tif")
    assert code == 0, said
    with rasterio.open(tmp_path / "labels.tif") as raster:
        labels = raster.read(1)
    assert set(np.unique(labels)) == {0, 1, 2, 3} and not labels[:3, :5].any()


@pytest.mark.filterwarnings("ignore::rsseg.errors.WeightsWarning", "ignore::rsseg.errors.CollapseWarning")
@pytest.mark.parametrize("method", [("iic", "--width", 4, "--repeats", 1), ("ddc",)], ids=["iic", "ddc"])
def test_networks_train_on_channels_and_start_from_a_model_of_them(
    rsseg: Command, scene: Path, tmp_path: Path, method: tuple[object, ...]
) -> None:
    name, *own = method
    common = (*own, "--classes", 3, "--patch", 4, "--stride", 4, "--epochs", 1, "--batch", 32)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    code, _, said = rsseg("train", name, scene, "-o", first, *common, "--channels", "bands,indices")
    assert code == 0, said
    code, _, said = rsseg("train", name, scene, "-o", second, *common, "--init", first)
    assert code == 0, said
    assert load_model(second).inference.channels == load_model(first).inference.channels
    assert load_model(second).provenance["settings"]["channels"] == ["bands", "indices"]
    other = ("--channels", "texture", "--init", first)
    code, _, said = rsseg("train", name, scene, "-o", second, *common, *other, "--overwrite")
    assert code == 2 and "sees bands, indices; leave out --channels" in said


def test_a_head_on_labels_sees_the_models_channels(rsseg: Command, scene: Path, tmp_path: Path) -> None:
    model = kmeans(rsseg, scene, tmp_path / "m.safetensors", "--channels", "components,means")
    reference, head = write_reference(tmp_path / "ref.gpkg"), tmp_path / "head.safetensors"
    common = ("train", "kmeans", scene, "-o", head, "--init", model, "--labels", reference, "--field", "class")
    code, _, said = rsseg(*common, "--epochs", 2)
    assert code == 0, said
    assert load_model(head).inference.channels == load_model(model).inference.channels
    code, _, said = rsseg(*common, "--channels", "bands", "--overwrite")
    assert code == 2 and "--channels follows from the model" in said


def test_indices_of_unnamed_bands_are_refused(rsseg: Command, scene: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    code, _, said = rsseg("train", "kmeans", scene, "-o", model, "--bands", "green,red", "--channels", "indices")
    assert code == 2 and "the scene's are green, red" in said and not model.exists()


def test_an_unknown_word_is_refused(rsseg: Command, scene: Path, tmp_path: Path) -> None:
    code, _, said = rsseg("train", "kmeans", scene, "-o", tmp_path / "m.safetensors", "--channels", "bands,ndvi")
    assert code == 2 and "nothing is called 'ndvi'" in said


def test_superpixels_follow_the_bands_whatever_the_network_sees(scene: Path) -> None:
    settings = settings_of("wce", channels=("texture",), superpixel_size=8)
    opened, window = open_scenes([scene]), Window(8, 8, 32, 32)
    with reading(opened) as (source,), region_maker(settings, opened) as make:
        assert make is not None
        seen = derived(source, fit_channels(settings, [source], opened[0].band_names))
        bands, valid = source.source.read(window)
        wanted = make(bands, valid, source, window)
        assert np.array_equal(make(seen.source.read(window)[0], valid, seen, window), wanted)
        assert wanted.max() > 4
