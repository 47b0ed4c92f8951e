"""VGG16 and ResNets up to a layer against torchvision's modules."""

import pytest
import torch
from backbones import resnet, resnet_file, resnet_part, vgg_features
from torch import Tensor, nn

from rsseg.learn.channels.backbone_convolutions import (
    ConvolutionTrunk,
    ResnetTrunk,
    VggTrunk,
    geometry,
    resnet_tensors,
    vgg_tensors,
)


def vgg_state(features: nn.Sequential) -> dict[str, Tensor]:
    return {f"features.{name}": tensor for name, tensor in features.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "stem"),
        ("resnet18", "layer1"),
        ("resnet18", "layer3"),
        ("resnet34", "layer2"),
        ("resnet50", "layer2"),
    ],
)
@torch.inference_mode()
def test_resnets_are_torchvisions(name: str, layer: str) -> None:
    module = resnet(name)
    trunk = ResnetTrunk(name, layer, resnet_tensors(module.state_dict(), name, layer, 3))
    x = torch.randn(1, 3, 96, 96)
    wanted = resnet_part(module, layer)(x)[0]
    assert trunk(x).shape == (trunk.width, 96 // trunk.stride, 96 // trunk.stride)
    torch.testing.assert_close(trunk(x), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize(
    ("name", "layer", "modules"),
    [("vgg16", "relu1_2", 4), ("vgg16", "relu3_3", 16), ("vgg16_bn", "relu2_2", 13), ("vgg16_bn", "relu4_3", 33)],
)
@torch.inference_mode()
def test_vgg16_is_torchvisions_with_batch_norm_and_without(name: str, layer: str, modules: int) -> None:
    features = vgg_features(name, modules)
    trunk = VggTrunk(layer, vgg_tensors(vgg_state(features), layer, 3))
    x = torch.randn(1, 3, 64, 64)
    wanted = features(x)[0]
    assert trunk(x).shape == (trunk.width, 64 // trunk.stride, 64 // trunk.stride)
    torch.testing.assert_close(trunk(x), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


def small(network: str, layer: str) -> ConvolutionTrunk:
    if network == "resnet18":
        return ResnetTrunk(network, layer, resnet_tensors(resnet_file("layer2"), network, layer, 3))
    features = vgg_features("vgg16", 16)
    return VggTrunk(layer, vgg_tensors(vgg_state(features), layer, 3))


@pytest.mark.parametrize(
    ("network", "layer"), [("resnet18", "stem"), ("resnet18", "layer2"), ("vgg16", "relu1_2"), ("vgg16", "relu3_3")]
)
@pytest.mark.parametrize("zoom", [1, 2])
@torch.inference_mode()
def test_no_cell_of_a_core_sees_beyond_the_halo(network: str, layer: str, zoom: int) -> None:
    """A tile's cells are those of a far larger image, whatever the network pads with at the tile's border."""
    trunk = small(network, layer)
    where = trunk.tiling(zoom)
    extent, more = 64 // trunk.stride * trunk.stride, 64
    core = torch.randn(1, 3, extent + 2 * (where.halo + more), extent + 2 * (where.halo + more))
    large = trunk(core)
    tile = trunk(core[..., more:-more, more:-more].contiguous())
    first = where.halo // trunk.stride - 1
    inner = slice(first, tile.shape[1] - first)
    outer = slice(first + more // trunk.stride, large.shape[1] - first - more // trunk.stride)
    torch.testing.assert_close(tile[:, inner, inner], large[:, outer, outer], rtol=1e-3, atol=1e-4)


def test_strides_places_and_reaches_are_those_worked_out_by_hand() -> None:
    seven, pool, three, halving = (7, 2, 3), (3, 2, 1), (3, 1, 1), (2, 2, 0)
    assert geometry([seven]) == (2, 0.0, 3)
    assert geometry([seven, pool, *[three] * 4]) == (4, 0.0, 3 + 2 + 4 * 4)
    assert geometry([three, three, halving, three, three]) == (2, 0.5, 7)
    assert geometry([halving, halving, halving]) == (8, 3.5, 4)


@torch.inference_mode()
def test_cells_lie_where_geometry_says() -> None:
    """A bright pixel of a black image answers most, and evenly around it, in the cell that lies on it."""
    ones = {"conv1.weight": torch.ones(1, 1, 7, 7), "conv1.bias": torch.zeros(1)}
    trunk = ResnetTrunk("resnet18", "stem", ones)
    x = torch.zeros(1, 1, 32, 32)
    x[..., 16, 16] = 1
    cells = trunk(x)[0]
    cell = int((16 - trunk.centre) / trunk.stride)
    assert torch.equal(cells.nonzero().double().mean(dim=0), torch.tensor([cell, cell], dtype=torch.float64))


@pytest.mark.parametrize("inputs", [1, 2, 4, 7])
@torch.inference_mode()
def test_other_numbers_of_inputs_answer_grey_alike(inputs: int) -> None:
    state = resnet_file()
    grey = torch.randn(1, 1, 32, 32)
    answers = [
        ResnetTrunk("resnet18", "layer1", resnet_tensors(state, "resnet18", "layer1", count))(
            grey.expand(-1, count, -1, -1)
        )
        for count in (3, inputs)
    ]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-3, atol=1e-3)


def test_only_the_layers_that_are_used_are_kept() -> None:
    kept = resnet_tensors(resnet().state_dict(), "resnet18", "layer1", 3)
    assert not [name for name in kept if name.startswith(("layer2", "fc", "bn1"))]
    assert vgg_tensors(vgg_state(vgg_features("vgg16", 16)), "relu1_2", 3).keys() == {
        f"convolution{number}.{part}" for number in (0, 1) for part in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("asked", "given"), [("resnet18", "resnet34"), ("resnet34", "resnet50"), ("resnet50", "resnet34")]
)
def test_another_resnet_is_told_apart(asked: str, given: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        resnet_tensors(resnet(given).state_dict(), asked, "layer1", 3)


def test_another_vgg_is_told_apart() -> None:
    """VGG19 has a fourth convolution in its third block."""
    with pytest.raises((KeyError, ValueError)):
        vgg_tensors(vgg_state(vgg_features("vgg19", 28)), "relu4_3", 3)
