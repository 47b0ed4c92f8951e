"""Pretrained features as channels: words, weights, stretch, projection, and the same bits in every window."""

from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import resnet, resnet_file, resnet_part, vit_file
from numpy.typing import NDArray
from safetensors.torch import save_file
from tiny import BANDS, blocks_scene
from torch import Tensor
from torch.nn import functional

from rsseg.errors import InputError, ModelError, RssegError, TrainingError, UsageError
from rsseg.learn.channels import backbone_features
from rsseg.learn.channels.backbone import Asked, Backbone, seen_bands
from rsseg.learn.channels.backbone_features import Stretch, hadamard
from rsseg.learn.channels.base import Sample
from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.pixels import HeldPixels, ScenePixels
from rsseg.learn.channels.smooth import SmoothPixels
from rsseg.learn.inputs import SceneInput
from rsseg.learn.methods import settings_of
from rsseg.scene.grid import Window

HEIGHT, WIDTH = 300, 330


@pytest.fixture(scope="module")
def pixels() -> ScenePixels:
    """A scene of several tiles, some of them partly invalid."""
    values, _ = blocks_scene(HEIGHT, WIDTH, seed=3)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:40, :50] = False
    return ScenePixels(SceneInput.of_array("scene", values, valid))


@pytest.fixture(scope="module")
def sample(pixels: ScenePixels) -> Sample:
    return Sample(((pixels, Window(0, 0, HEIGHT, WIDTH)), (pixels, Window(200, 150, 100, 130))), BANDS)


@pytest.fixture(scope="module")
def resnet_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(resnet_file("layer2"), path)
    return str(path)


@pytest.fixture(scope="module")
def vit_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    save_file(vit_file(registers=2), path)
    return str(path)


@pytest.fixture(scope="module")
def fitted(sample: Sample, resnet_path: str) -> Backbone:
    return Backbone.fit("resnet18:layer1", sample, resnet_path)


# words and weights


@pytest.mark.parametrize(
    ("word", "asked"),
    [
        ("vgg16", Asked("vgg16", "relu2_2", 1)),
        ("vgg16:relu4_3@2", Asked("vgg16", "relu4_3", 2)),
        ("resnet50", Asked("resnet50", "layer1", 1)),
        ("resnet18:stem", Asked("resnet18", "stem", 1)),
        ("vit", Asked("vit", "", 2)),
        ("vit:7", Asked("vit", "7", 2)),
        ("vit:@1", Asked("vit", "", 1)),
    ],
)
def test_words_are_read(word: str, asked: Asked) -> None:
    assert Asked.of(word) == asked


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("vgg16:relu5_3", "relu1_2, relu2_2, relu3_3, relu4_3"),
        ("resnet18:relu2_2", "stem, layer1"),
        ("vit:last", "number of a block"),
        ("resnet18:layer1@9", "1 to 4 times"),
    ],
)
def test_words_that_mean_nothing_are_refused(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Backbone.check(word, "imagenet")


def test_a_missing_cache_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=rf"{tmp_path}/checkpoints/resnet18-\w+\.pth; put .* --backbone FILE"):
        Backbone.check("resnet18:layer1", "imagenet")
    with pytest.raises(UsageError, match="DINOv2's layout with --backbone FILE"):
        Backbone.check("vit", "imagenet")
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        Backbone.check("vit", str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize("name", ["vgg16-397923af.pth", "vgg16_bn-6c64b313.pth"])
def test_either_vgg16_is_taken_from_the_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).touch()
    Backbone.check("vgg16", "imagenet")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_both_kinds_of_files_are_read(suffix: str, sample: Sample, fitted: Backbone, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save(resnet_file(), path)
    else:
        save_file(resnet_file(), path)
    tensors = Backbone.fit("resnet18:layer1", sample, str(path)).tensors()
    assert tensors.keys() == fitted.tensors().keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in fitted.tensors().items())


@pytest.mark.parametrize("word", ["resnet18:layer1", "resnet34", "vgg16", "vit"])
def test_a_file_of_another_network_is_told_in_a_sentence(word: str, sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state: dict[str, object] = {**resnet_file("layer2"), "conv1.weight": torch.zeros(64, 13, 7, 7)}
    torch.save(state if word.startswith("resnet18") else resnet_file("layer2"), path)
    with pytest.raises(InputError, match=rf"weights\.pth does not hold {word.split(':')[0]} ") as told:
        Backbone.fit(word, sample, str(path))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [3, {"conv1": 3}, "nothing at all"], ids=str)
def test_a_file_of_something_else_is_told(content: object, sample: Sample, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth"):
        Backbone.fit("resnet18", sample, str(tmp_path / "weights.pth"))


# what the network sees


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (("green", "red", "nir"), (2, 1, 0)),
        (("Blue", "Green", "Red", "NIR"), (3, 2, 1)),
        (("blue", "green", "red"), (2, 1, 0)),
        (("1", "2", "3", "4"), (0, 1, 2, 3)),
        (("pan",), (0,)),
    ],
)
def test_false_colours_are_found_by_name(names: tuple[str, ...], places: tuple[int, ...]) -> None:
    assert seen_bands(names) == places


def test_percentiles_become_0_and_1_and_far_values_are_cut() -> None:
    values = np.stack([np.arange(101.0), 5 * np.arange(101.0) - 20, np.full(101, 9.0)], axis=1)
    stretch = Stretch.fit((1, 0, 2), values)
    assert stretch.low == (-10.0, 2.0, 9.0) and stretch.high == (470.0, 98.0, 10.0)
    seen = np.array([[2.0, 98.0, 1e4]], np.float32)
    image = np.stack([seen, 5 * seen - 20, np.full((1, 3), 9, np.float32)])
    found = stretch.apply(image, np.array([[True, True, True]]))
    for place, (mean, spread) in enumerate(((0.485, 0.229), (0.456, 0.224))):
        np.testing.assert_allclose(found[place, 0], (np.array([0, 1, 1.5]) - mean) / spread, rtol=1e-5)
    # 0 to 100 stretched by 2 to 98 has the middle 0.5
    invalid = stretch.apply(image, np.zeros((1, 3), bool))
    np.testing.assert_allclose(invalid[:2, 0, 1], [(0.5 - 0.485) / 0.229, (0.5 - 0.456) / 0.224], rtol=1e-5)


def torchvisions(fitted: Backbone, pixels: ScenePixels) -> NDArray[np.float32]:
    """All channels of the scene (channels, H / 4, W / 4) by torchvision's module on the whole image at once."""
    low, high = (np.array(numbers)[:, None, None] for numbers in (fitted.low, fitted.high))
    values, valid = pixels.read(Window(0, 0, HEIGHT, WIDTH))
    scaled = np.clip((values[[2, 1, 0]] - low) / (high - low), -0.5, 1.5)
    scaled = np.where(valid, scaled, np.array(fitted.fill)[:, None, None])
    mean, spread = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[:, :, None, None]
    with torch.inference_mode():
        x = torch.from_numpy((scaled - mean) / spread).float()[None]
        cells = resnet_part(resnet(), "layer1")(x)[0]
        tensors = fitted.tensors()
        projected = torch.einsum("kc,chw->khw", tensors["matrix"], cells) + tensors["bias"][:, None, None]
    return projected.numpy()


def test_features_are_torchvisions_on_the_whole_image(fitted: Backbone, pixels: ScenePixels) -> None:
    """Away from the scene's border, where torchvision pads with zeros at every layer."""
    found = fitted.compute(pixels, Window(0, 0, HEIGHT, WIDTH))
    wanted = torchvisions(fitted, pixels)
    np.testing.assert_allclose(found[:, 32:268:4, 32:300:4], wanted[:, 8:67, 8:75], atol=2e-3)


def test_pixels_between_cells_are_bilinear(fitted: Backbone, pixels: ScenePixels) -> None:
    found = fitted.compute(pixels, Window(0, 0, HEIGHT, WIDTH))
    np.testing.assert_allclose(
        found[:, 250:252, 40], found[:, [248], 40] * [0.5, 0.25] + found[:, [252], 40] * [0.5, 0.75]
    )


# the projection


def test_the_channels_keep_the_features_distances(fitted: Backbone) -> None:
    """All are scaled by one number: a standardisation of each channel leaves distances in proportion."""
    matrix = fitted.tensors()["matrix"].double()
    product = matrix @ matrix.T
    torch.testing.assert_close(product / product[0, 0], torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-5)


def test_each_channel_has_unit_variance_on_the_sample(fitted: Backbone, pixels: ScenePixels) -> None:
    """Cells of the one tile that both windows of the sample have their middle in are all that was fitted on."""
    where = fitted._fitted.tiling
    cells = fitted._fitted.tile(pixels, 0, 0)[:, 1:-1, 1:-1]
    _, valid = pixels.read(Window(0, 0, where.side, where.side))
    chosen = cells[:, valid[np.ix_(where.middles, where.middles)]]
    np.testing.assert_allclose(chosen.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(chosen.std(axis=1), 1, atol=1e-2)


def test_the_channels_span_the_largest_principal_components(sample: Sample, resnet_path: str) -> None:
    """No other 16 directions keep more of the variance: the oracle is the singular values of the features."""
    fitted = Backbone.fit("resnet18:layer1", sample, resnet_path)._fitted
    (pixels, _), *_ = sample.places
    values, valid = backbone_features.read_tile(pixels, fitted.tiling, 0, 0)
    cells = backbone_features.run(fitted.trunk, fitted.stretch.apply(values, valid), fitted.tiling)[:, 1:-1, 1:-1]
    inside = valid[fitted.tiling.margin :, fitted.tiling.margin :]
    features = cells[:, torch.from_numpy(inside[np.ix_(fitted.tiling.middles, fitted.tiling.middles)])].double()
    centred = features - features.mean(dim=1, keepdim=True)
    best = float((torch.linalg.svdvals(centred)[:16] ** 2).sum())
    unit = fitted.matrix.double() / fitted.matrix[0].double().norm()
    assert float((unit @ centred).pow(2).sum()) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 16])
def test_the_turn_is_orthogonal_and_even(count: int) -> None:
    turn = hadamard(count)
    np.testing.assert_allclose(turn @ turn.T, np.eye(count), atol=1e-12)
    np.testing.assert_allclose(np.abs(turn), count**-0.5)


def test_a_sample_without_valid_pixels_is_told(resnet_path: str, pixels: ScenePixels) -> None:
    nothing = ScenePixels(SceneInput.of_array("scene", np.ones((3, 64, 64)), np.zeros((64, 64), bool)))
    stretch = Stretch((2, 1, 0), (0.0,) * 3, (1.0,) * 3, (0.5,) * 3)
    trunk = Backbone.fit("resnet18:stem", Sample(((pixels, Window(0, 0, 64, 64)),), BANDS), resnet_path)._fitted.trunk
    with pytest.raises(TrainingError, match="nodata"):
        backbone_features.fitted_projection(Sample(((nothing, Window(0, 0, 64, 64)),), BANDS), stretch, trunk, 1)


# the same bits everywhere


@pytest.mark.parametrize("word", ["resnet18:layer1", "resnet18:stem@2", "vit", "vit:0@1"])
def test_a_pixels_bits_do_not_depend_on_the_window(
    word: str, sample: Sample, pixels: ScenePixels, resnet_path: str, vit_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Backbone.fit(word, sample, vit_path if word.startswith("vit") else resnet_path)
    whole = made.compute(pixels, Window(0, 0, HEIGHT, WIDTH))
    assert whole.shape == (16, HEIGHT, WIDTH) and whole.dtype == np.float32 and np.isfinite(whole).all()
    other = made.restored(made.tensors())
    monkeypatch.setattr(backbone_features, "CACHE", 1)
    for window in (Window(250, 240, 20, 40), Window(7, 300, 1, 30), Window(0, 0, 299, 1)):
        rows, cols = window.slices
        np.testing.assert_array_equal(other.compute(HeldPixels(pixels, window), window), whole[:, rows, cols])
    assert len(other._fitted._tiles) == 1


def test_smoothed_scenes_are_cut_into_tiles_once_too(resnet_path: str, pixels: ScenePixels) -> None:
    settings = settings_of("kmeans", channels=("resnet18:stem", "bands"), denoise=True, backbone=resnet_path)
    channels = fit_channels(settings, [pixels.scene], BANDS)
    assert channels is not None and channels.smoothing is not None
    windows = (Window(0, 0, 9, 9), Window(60, 60, 9, 9))
    smoothed = tuple((SmoothPixels(pixels, channels.smoothing), window) for window in windows)
    where = channels.parts[0]._fitted.tiling  # type: ignore[union-attr]
    assert len(list(backbone_features._sample_tiles(Sample(smoothed, BANDS), where))) == 1
    whole, _ = derived(pixels.scene, channels).source.read(Window(0, 0, HEIGHT, WIDTH))
    part, _ = derived(pixels.scene, channels).source.read(Window(30, 250, 40, 50))
    np.testing.assert_array_equal(part, whole[:, 30:70, 250:300])


def test_a_tile_is_computed_once(fitted: Backbone, pixels: ScenePixels, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fitted.compute(pixels, Window(0, 0, 30, WIDTH))
    monkeypatch.setattr(backbone_features, "run", None)
    held = HeldPixels(pixels, Window(10, 0, 20, WIDTH))
    np.testing.assert_array_equal(fitted.compute(held, Window(10, 0, 20, WIDTH)), first[:, 10:])


def test_scenes_are_not_taken_for_one_another(fitted: Backbone, pixels: ScenePixels) -> None:
    window = Window(100, 100, 8, 8)
    found = []
    for seed in (5, 6):
        values, _ = blocks_scene(HEIGHT, WIDTH, seed=seed)
        found.append(fitted.compute(ScenePixels(SceneInput.of_array("scene", values)), window))
    assert not np.array_equal(found[0], found[1])


def test_what_invalid_pixels_hold_changes_nothing(fitted: Backbone) -> None:
    valid = np.ones((64, 64), bool)
    valid[20:30, 20:30] = False
    values, _ = blocks_scene(64, 64)
    changed = np.where(valid, values, 255).astype(values.dtype)
    window = Window(0, 0, 64, 64)
    found = [fitted.compute(ScenePixels(SceneInput.of_array("s", each, valid)), window) for each in (values, changed)]
    np.testing.assert_array_equal(found[0], found[1])


# the model file


def test_what_is_kept_makes_the_channel_again(fitted: Backbone, pixels: ScenePixels) -> None:
    again = Backbone.model_validate_json(fitted.model_dump_json()).restored(fitted.tensors())
    window = Window(90, 200, 60, 100)
    assert again.names == fitted.names == tuple(f"resnet18:layer1 {number}" for number in range(1, 17))
    assert again.word == "resnet18:layer1" and again == fitted
    np.testing.assert_array_equal(again.compute(pixels, window), fitted.compute(pixels, window))


def test_other_weights_are_another_channel(fitted: Backbone) -> None:
    tensors = fitted.tensors()
    assert fitted.restored({**tensors, "bias": tensors["bias"] + 1}) != fitted
    assert fitted.restored({**tensors, "network.conv1.bias": tensors["network.conv1.bias"] + 1}) != fitted


def test_missing_tensors_are_said(fitted: Backbone, pixels: ScenePixels) -> None:
    bare = Backbone.model_validate(fitted.model_dump())
    with pytest.raises(ModelError, match="lacks its tensors"):
        bare.compute(pixels, Window(0, 0, 4, 4))
    for name in ("matrix", "network.layer1.1.conv2.bias"):
        fewer: dict[str, Tensor] = {key: tensor for key, tensor in fitted.tensors().items() if key != name}
        with pytest.raises(ModelError, match="lacks tensors of resnet18:layer1"):
            bare.restored(fewer)
    with pytest.raises(RssegError):
        bare.restored({**fitted.tensors(), "matrix": functional.pad(fitted.tensors()["matrix"], (0, 1))})
