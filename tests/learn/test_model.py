"""Model files: what comes back, and what is refused."""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import blocks_scene, scene_of, tiny_model

from rsseg.errors import ModelError, UsageError
from rsseg.label.segment import Labeller
from rsseg.learn.model import Inference, Model, identity_of, load_model
from rsseg.learn.tensors import is_channels_last, load_tensors, save_tensors


@pytest.fixture(scope="module")
def model() -> Model:
    made = tiny_model(patch=4, stride=4)
    made.provenance = {"scenes": ["a"], "score": -1.25}
    return made


@pytest.fixture
def path(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def notes_of(path: Path) -> dict[str, Any]:
    return load_tensors(path, "model")[1]


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> None:
    """Change the notes or tensors of a model file, and give it the identity that fits them, as a forger would."""
    tensors, notes = load_file(path), notes_of(path)
    change(notes, tensors)
    with suppress(ValueError):
        notes["identity"] = identity_of(Inference.model_validate(notes["inference"]), tensors)
    save_file(tensors, path, metadata={"rsseg": json.dumps(notes)})


def refused(path: Path, match: str) -> str:
    with pytest.raises(ModelError, match=match) as problem:
        load_model(path)
    message = str(problem.value)
    assert message.startswith(str(path)) or str(path) in message
    assert "\n" not in message
    return message


def test_a_loaded_model_labels_as_the_saved_one(model: Model, path: Path) -> None:
    loaded = load_model(path)
    assert loaded.inference == model.inference and loaded.provenance == model.provenance
    assert loaded.identity == model.identity == notes_of(path)["identity"]
    scene = scene_of(blocks_scene(30, 41)[0])
    first, second = (list(Labeller(m, scene, stride=3).blocks()) for m in (model, loaded))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.labels, b.labels) and np.array_equal(a.confidence, b.confidence)


def test_the_memory_layout_comes_back(tmp_path: Path) -> None:
    model = tiny_model(patch=4)
    model.network.to(memory_format=torch.channels_last)
    model.save(tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    for (name, found), wanted in zip(loaded.network.named_parameters(), model.network.parameters(), strict=True):
        assert found.stride() == wanted.stride(), name
    assert any(is_channels_last(tensor) for tensor in loaded.network.parameters())
    assert loaded.identity == model.identity


def test_equal_models_are_equal_files(model: Model, path: Path, tmp_path: Path) -> None:
    assert model.save(tmp_path / "again.safetensors") == model.identity
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    load_model(path).save(tmp_path / "third.safetensors")
    assert (tmp_path / "third.safetensors").read_bytes() == path.read_bytes()


def test_any_tensor_and_any_inference_setting_is_part_of_the_identity(model: Model) -> None:
    tensors, first = model.network.state_dict(), model.identity
    for name in tensors:
        changed = {key: tensor.clone() for key, tensor in tensors.items()}
        changed[name].view(-1)[0] += 1
        assert identity_of(model.inference, changed) != first, name
    for change in ({"stride": 2}, {"units": "reflectance"}, {"bands": ("a", "b", "c")}, {"method": "other"}):
        assert identity_of(model.inference.model_copy(update=change), tensors) != first
    assert model.identity == first


def test_provenance_is_not_part_of_the_identity(model: Model) -> None:
    other = Model(model.inference, model.network, {"scenes": ["b"]})
    assert other.identity == model.identity


def test_an_existing_file_is_kept_unless_overwritten(model: Model, path: Path) -> None:
    with pytest.raises(UsageError, match="--overwrite"):
        model.save(path)
    model.save(path, overwrite=True)
    assert load_model(path).identity == model.identity


# what is refused


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "there is no model")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "is not a model of rsseg")


@pytest.mark.parametrize("length", [0, 7, 8, 500, -1, -5000])
def test_a_truncated_file_is_refused(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])
    refused(path, "is not a model of rsseg, or it is damaged")


@pytest.mark.parametrize("content", [b"hello world, this is no model", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_file_of_something_else_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path, "is not a model of rsseg")


def test_a_pickle_is_refused(model: Model, tmp_path: Path) -> None:
    torch.save(model.network.state_dict(), tmp_path / "m.pth")
    refused(tmp_path / "m.pth", "is not a model of rsseg")


def test_a_changed_byte_is_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    refused(path, "altered or damaged")


def test_a_changed_description_is_refused(path: Path) -> None:
    content = path.read_bytes()
    assert b"uncalibrated" in content
    path.write_bytes(content.replace(b"uncalibrated", b"Uncalibrated", 1))
    refused(path, "altered or damaged")


def test_a_lying_header_is_refused(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 1 << 60) + content[8:])
    refused(path, "is not a model of rsseg")


def test_tensors_without_notes_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors")
    refused(tmp_path / "m.safetensors", r"is not a model of rsseg.*TypeError|KeyError")
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors", metadata={"rsseg": "no json"})
    refused(tmp_path / "m.safetensors", "is not a model of rsseg")
    save_file({"a": torch.zeros(2)}, tmp_path / "m.safetensors", metadata={"rsseg": "[1]"})
    refused(tmp_path / "m.safetensors", "is not a model of rsseg")


def test_a_checkpoint_is_no_model(tmp_path: Path) -> None:
    save_tensors(tmp_path / "m.safetensors", {"network/a": torch.zeros(2)}, {"progress": {}})
    refused(tmp_path / "m.safetensors", "a checkpoint, perhaps")


def test_another_schema_is_named(path: Path) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(schema_number=2))
    refused(path, "its schema is 2, this rsseg reads 1")


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"bands": "green"},
        {"classes": "many"},
        {"normalisation": {}},
        {"network": {"features": "resnet", "head": "entropy"}},
    ],
    ids=str,
)
def test_a_description_that_is_not_understood_is_refused(path: Path, change: dict[str, Any]) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(change))
    refused(path, "cannot be used by this version of rsseg")


@pytest.mark.parametrize("inference", ["text", [1, 2], None, 7])
def test_a_description_of_another_kind_is_refused(path: Path, inference: object) -> None:
    rewrite(path, lambda notes, tensors: notes.update(inference=inference))
    refused(path, "cannot be used by this version of rsseg")


@pytest.mark.parametrize(
    "change",
    [
        {"patch": 32},
        {"patch": 1},
        {"patch": 0},
        {"classes": 6},
        {"classes": -1},
        {"classes": 10**12},
        {"bands": ["green", "red"]},
        {"network": {"features": "mean", "head": "centres"}},
    ],
    ids=str,
)
def test_tensors_that_are_not_those_described_are_refused(path: Path, change: dict[str, Any]) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"].update(change))
    refused(path, "holds other tensors than its|cannot be used by this version|is of no network|a number of more than")


def test_missing_and_surplus_tensors_are_refused(path: Path) -> None:
    before = path.read_bytes()
    rewrite(path, lambda notes, tensors: tensors.pop("head.linear.bias"))
    refused(path, "holds other tensors")
    path.write_bytes(before)
    rewrite(path, lambda notes, tensors: tensors.update(more=torch.zeros(1)))
    refused(path, "holds other tensors")


def test_a_normalisation_of_other_bands_is_refused(path: Path) -> None:
    rewrite(path, lambda notes, tensors: notes["inference"]["normalisation"].update(centre=[1.0, 2.0]))
    refused(path, "cannot be used|holds other")


# scenes that do not fit


def test_other_bands_are_refused_with_both_sides_named(model: Model) -> None:
    model.check_scene("s", ("green", "red", "nir"), "uncalibrated")
    with pytest.raises(ModelError, match=r"bands green, red, nir, but s gives red, green, nir; .*--bands"):
        model.check_scene("s", ("red", "green", "nir"), "uncalibrated")


def test_other_units_are_refused_with_both_sides_named(model: Model) -> None:
    with pytest.raises(
        ModelError, match=r"trained on uncalibrated values, but s is reflectance; .*uncalibrated numbers"
    ):
        model.check_scene("s", ("green", "red", "nir"), "reflectance")


def test_provenance_names_files_without_their_folders() -> None:
    from rsseg.learn.methods import settings_of

    assert settings_of("recal", weights="/home/somebody/vgg.pth").described()["weights"] == "vgg.pth"
    assert settings_of("recal").described()["weights"] == "random"
