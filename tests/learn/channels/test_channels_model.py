"""Models that see channels: in files, and in the labels of parts of scenes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from channelled import SIMPLE, fitted, gappy_scene
from tiny import BANDS, CPU, quiet_build, samples_of

from rsseg.label.segment import Labeller
from rsseg.learn.channels.derived import derived
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Inference, Model, load_model
from rsseg.learn.training import Trainer, TrainingSettings
from rsseg.scene.grid import Window


def kmeans_model(scene: SceneInput, *words: str, denoise: bool, patch: int = 1) -> Model:
    channels = fitted(scene, *words, denoise=denoise)
    samples = samples_of(derived(scene, channels), patch, patch)

    def make() -> object:
        return quiet_build("kmeans", len(channels.names), classes=4, patch=patch, stride=patch)

    network = Trainer(make, samples, TrainingSettings(), CPU).train().method.network  # type: ignore[arg-type]
    inference = Inference(
        method="kmeans",
        network=network.spec,
        bands=BANDS,
        units="reflectance",
        normalisation=samples.normalisation,
        patch=patch,
        stride=patch,
        classes=4,
        channels=channels,
    )
    return Model(inference, network)


def labels_of(model: Model, scene: SceneInput, window: Window | None = None, **options: int) -> np.ndarray:
    return np.concatenate([block.labels for block in Labeller(model, scene, window=window, **options).blocks()])  # type: ignore[arg-type]


@pytest.mark.parametrize("patch", [1, 4])
def test_the_labels_of_a_crop_are_the_crop_of_the_labels(patch: int) -> None:
    scene = gappy_scene()
    model = kmeans_model(scene, "indices", "texture", denoise=True, patch=patch)
    labels = labels_of(model, scene)
    assert labels.shape == (40, 52) and len(np.unique(labels)) == 5
    assert np.array_equal(labels_of(model, scene, block_rows=3), labels)
    for window in (Window(0, 0, 9, 11), Window(13, 22, 20, 17), Window(39, 51, 1, 1)):
        assert np.array_equal(labels_of(model, scene, window), labels[window.slices])


def test_a_model_file_keeps_its_channels(tmp_path: Path) -> None:
    scene = gappy_scene()
    model = kmeans_model(scene, *SIMPLE, denoise=True)
    identity = model.save(tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert again.identity == identity and again.inference == model.inference
    assert np.array_equal(labels_of(again, scene), labels_of(model, scene))


def test_what_was_fitted_is_part_of_a_models_identity() -> None:
    model = kmeans_model(gappy_scene(), "brightness", "texture", denoise=True)
    channels = model.inference.channels
    assert channels is not None
    bright, texture = channels.parts
    others = [
        channels.model_copy(update={"smoothing": None}),
        channels.model_copy(update={"parts": (texture, bright)}),
        channels.model_copy(update={"parts": (bright, texture.model_copy(update={"floor": 0.5}))}),
    ]
    changed = [replace(model, inference=model.inference.model_copy(update={"channels": other})) for other in others]
    assert len({model.identity, *(other.identity for other in changed)}) == 4


def test_a_normalisation_has_one_number_a_channel() -> None:
    own = kmeans_model(gappy_scene(), "bands", "texture", denoise=False).inference
    assert own.inputs == 4
    with pytest.raises(ValueError, match="not of 3 channels"):
        Inference.model_validate({**own.model_dump(), "channels": None})
