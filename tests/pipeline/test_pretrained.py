"""Pretrained features from the command line: trained on, kept in the model, and labelled with."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from backbones import resnet_file, vit_file
from safetensors.torch import save_file
from scenes import write_scene

from rsseg.learn.model import load_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "scene.tif")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(resnet_file(), tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


def labels_of(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read(1)


def trained(rsseg: Run, scene: Path, model: Path, channels: str, weights: Path) -> Path:
    options = ("--classes", 4, "--channels", channels, "--backbone", weights, "-q")
    code, _, err = rsseg("train", "kmeans", scene, "-o", model, *options)
    assert code == 0, err
    return model


def test_a_model_of_features_needs_no_other_file(rsseg: Run, scene: Path, weights: Path, tmp_path: Path) -> None:
    model = trained(rsseg, scene, tmp_path / "m.safetensors", "bands,resnet18:layer1", weights)
    weights.unlink()
    inference = load_model(model).inference
    assert inference.channels is not None and len(inference.channels.names) == 3 + 16
    assert rsseg("segment", scene, "--model", model, "-o", tmp_path / "labels.tif", "-q")[0] == 0
    labels = labels_of(tmp_path / "labels.tif")
    assert (labels[:3, :5] == 0).all() and set(np.unique(labels)) == {0, 1, 2, 3, 4}
    with rasterio.open(tmp_path / "labels.tif") as file:
        left, top = file.transform * (20, 11)
        right, bottom = file.transform * (51, 40)
    part = ("--bounds", left, bottom, right, top)
    assert rsseg("segment", scene, "--model", model, "-o", tmp_path / "part.tif", "-q", *part)[0] == 0
    np.testing.assert_array_equal(labels_of(tmp_path / "part.tif"), labels[11:40, 20:51])


def test_equal_trainings_give_equal_files(rsseg: Run, scene: Path, tmp_path: Path) -> None:
    save_file(vit_file(), tmp_path / "vit.safetensors")
    models = [
        trained(rsseg, scene, tmp_path / f"{name}.safetensors", "vit", tmp_path / "vit.safetensors") for name in "ab"
    ]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert load_model(models[0]).provenance["settings"]["backbone"] == "vit.safetensors"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ("--channels resnet18:layer9", 2, "has no layer 'layer9'; choose one of stem, layer1"),
        ("--channels vit", 2, "name a file in DINOv2's layout with --backbone FILE"),
        ("--channels resnet18 --backbone nowhere.pth", 1, "no resnet18 weights at nowhere.pth"),
        ("--channels resnet18", 1, "resnet18-f37072fd.pth there, or name a file"),
        ("--channels vgg16 --backbone FILE", 1, "does not hold vgg16 as torchvision stores it"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    rsseg: Run, scene: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, options: str, code: int, message: str
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(scene.parent))
    words = options.replace("FILE", str(weights)).split()
    found, _, err = rsseg("train", "kmeans", scene, "-o", scene.parent / "m.safetensors", *words)
    assert found == code and message in " ".join(err.split())
    assert not (scene.parent / "m.safetensors").exists()
