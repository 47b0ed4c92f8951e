"""The cut VGG16-BN against torchvision's, and where its weights may come from."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import vgg16_bn

from rsseg.errors import InputError, UsageError, WeightsWarning
from rsseg.learn.methods import settings_of
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.vgg import VggFeatures, poolings, start, vgg16_layers
from rsseg.learn.networks.weights import spread_filters


@pytest.fixture(scope="module")
def reference() -> nn.Sequential:
    """torchvision's feature layers with weights and statistics that are nothing special."""
    torch.manual_seed(0)
    with torch.device("meta"):
        features = vgg16_bn(weights=None).features
    features = features.to_empty(device="cpu")
    for name, tensor in features.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.zero_()
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        else:
            tensor.normal_(0, 0.05)
    return features.eval()


@pytest.fixture(scope="module")
def weights(reference: nn.Sequential) -> dict[str, Tensor]:
    """A state dictionary as torchvision stores it."""
    state = {f"features.{name}": tensor for name, tensor in reference.state_dict().items()}
    return {**state, "classifier.0.bias": torch.zeros(4)}


@pytest.mark.parametrize("cut", [3, 4, 5])
def test_layers_are_torchvisions_up_to_the_cut(reference: nn.Sequential, cut: int) -> None:
    modules = {3: 24, 4: 34, 5: 44}[cut]
    mine, theirs = nn.Sequential(*vgg16_layers(3, cut)), reference[:modules]
    shapes = {name: tensor.shape for name, tensor in mine.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in theirs.state_dict().items()}
    assert [type(layer) for layer in mine] == [type(layer) for layer in theirs]
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(mine.eval()(x), theirs(x))


@pytest.mark.parametrize(
    ("size", "cut", "shape"),
    [
        (8, "scene", (256, 1, 1)),
        (16, "scene", (256, 2, 2)),
        (32, "scene", (256, 4, 4)),
        (8, "input", (256, 1, 1)),
        (16, "input", (512, 1, 1)),
        (28, "input", (512, 1, 1)),
        (32, "input", (512, 1, 1)),
        (64, "input", (512, 2, 2)),
        (4, "scene", (128, 1, 1)),
        (12, "scene", (256, 1, 1)),
    ],
)
def test_sizes_after_the_cut_are_the_papers(size: int, cut: str, shape: tuple[int, int, int]) -> None:
    features = VggFeatures(3, size, cut)  # type: ignore[arg-type]
    with torch.no_grad():
        x = torch.randn(2, 3, size, size)
        assert features.eval().layers(x).shape[1:] == shape
        assert features(x).shape == (2, features.width)
    assert features.width == shape[0] * shape[1] * shape[2]


def test_no_cut_goes_beyond_what_vgg16_has() -> None:
    assert [poolings("scene", size) for size in (2, 3, 4, 8, 64)] == [1, 1, 2, 3, 3]
    assert [poolings("input", size) for size in (2, 8, 16, 32, 224)] == [1, 3, 4, 5, 5]


def test_a_patch_of_one_pixel_is_refused() -> None:
    with pytest.raises(UsageError, match="--patch 8"):
        VggFeatures(3, 1)


def test_the_start_is_torchvisions_kaiming_and_the_heads_xavier() -> None:
    torch.manual_seed(1)
    network = PatchNetwork(PatchNetworkSpec(features="vgg16-bn", head="entropy"), 3, 8, 10)
    convolution = network.features.layers[7]  # type: ignore[union-attr,index]
    assert float(convolution.weight.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.05)
    assert not convolution.bias.any()
    bound = (6 / (256 + 10)) ** 0.5
    weight = network.head.linear.weight  # type: ignore[union-attr]
    assert 0.95 * bound < float(weight.detach().abs().max()) <= bound and not network.head.linear.bias.any()  # type: ignore[union-attr]


# weights from elsewhere


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 6, 7])
def test_the_response_to_grey_is_that_of_three_bands(weights: dict[str, Tensor], bands: int) -> None:
    original, features = VggFeatures(3, 8), VggFeatures(bands, 8)
    original.load_imagenet(weights)
    features.load_imagenet(weights)
    grey = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        found = features.layers[0](grey.expand(-1, bands, -1, -1))
        wanted = original.layers[0](grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_filters_are_repeated_in_the_order_of_the_bands(weights: dict[str, Tensor]) -> None:
    filters = weights["features.0.weight"]
    assert torch.equal(spread_filters(filters, 3), filters)
    four = spread_filters(filters, 4)
    assert torch.equal(four[:, 1:3], filters[:, 1:3])
    assert torch.equal(four[:, 0], filters[:, 0] / 2) and torch.equal(four[:, 3], filters[:, 0] / 2)


def test_weights_of_other_layers_are_those_of_the_file(reference: nn.Sequential, weights: dict[str, Tensor]) -> None:
    features = VggFeatures(3, 8)
    features.load_imagenet(weights)
    x = torch.randn(4, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(features.eval()(x), reference[:24](x).flatten(1))


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_are_read_from_a_local_file(kind: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"weights.{kind}"
    small = {name: tensor for name, tensor in weights.items() if int(name.split(".")[1]) < 24}
    if kind == "pth":
        torch.save(small, path)
    else:
        save_file({name: tensor.contiguous() for name, tensor in small.items()}, path)
    features = VggFeatures(3, 8)
    start(features, str(path))
    assert torch.equal(features.layers[0].weight, weights["features.0.weight"])


class Trap:
    """Unpickling it would run a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_code_is_refused_and_does_not_run(legacy: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "weights.pth", tmp_path / "ran"
    if legacy:
        path.write_bytes(pickle.dumps({"features.0.weight": Trap(mark)}))
    else:
        torch.save({"features.0.weight": Trap(mark)}, path)
    with pytest.raises(InputError, match="cannot be read as weights"):
        start(VggFeatures(3, 8), str(path))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no zip"])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_of_something_else_is_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as weights"):
        start(VggFeatures(3, 8), str(path))


@pytest.mark.parametrize(
    "state",
    [
        {"state_dict": torch.zeros(3)},
        {"features.0.weight": torch.zeros(64, 3, 3, 3)},
        "one band",
        "other shape",
        "no tensor",
    ],
    ids=str,
)
def test_weights_of_another_network_are_refused(state: object, weights: dict[str, Tensor]) -> None:
    first = {
        "one band": weights["features.0.weight"][:, :1],
        "other shape": torch.zeros(64, 3, 5, 5),
        "no tensor": 3,
    }
    given = state if isinstance(state, dict) else {**weights, "features.0.weight": first[str(state)]}
    with pytest.raises(InputError, match="not those of VGG16-BN"):
        VggFeatures(3, 8).load_imagenet(given)


def test_a_list_of_tensors_is_no_state_dictionary(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "weights.pth")
    with pytest.raises(InputError, match="no state dictionary"):
        start(VggFeatures(3, 8), str(tmp_path / "weights.pth"))


def test_missing_imagenet_weights_are_said_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(InputError, match=rf"{tmp_path}/checkpoints/vgg16_bn-.*\.pth.*put torchvision's"):
        start(VggFeatures(3, 8), "imagenet")
    with pytest.raises(InputError, match=str(tmp_path)):
        settings_of("recal", weights="imagenet").check()


def test_a_missing_weights_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pth"):
        settings_of("recal", weights=str(tmp_path / "nowhere.pth")).check()


def test_imagenet_weights_come_from_the_users_cache(
    weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import VGG16_BN_Weights

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights, tmp_path / "checkpoints" / Path(VGG16_BN_Weights.IMAGENET1K_V1.url).name)
    features = VggFeatures(3, 8)
    start(features, "imagenet")
    assert torch.equal(features.layers[0].weight, weights["features.0.weight"])


def test_a_random_start_is_said() -> None:
    with pytest.warns(WeightsWarning, match="random weights"):
        start(VggFeatures(3, 8), "random")
    settings_of("recal").check()
