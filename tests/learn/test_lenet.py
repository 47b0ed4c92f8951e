"""DDC's networks have the layers of section 3.3, at every patch size."""

import math

import pytest
import torch
from torch import Tensor, nn

from rsseg.errors import UsageError
from rsseg.learn.networks.fuse import fused
from rsseg.learn.networks.lenet import LenetFeatures, MlpFeatures
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec, settle


def layers(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not list(module.children())]


@pytest.mark.parametrize("size", [4, 5, 8, 11, 16, 28, 32])
def test_lenet_takes_patches_of_any_size_from_4_on(size: int) -> None:
    features = LenetFeatures(3, size)
    found = features(torch.randn(2, 3, size, size))
    assert found.shape == (2, features.width) == (2, 100)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_lenet_refuses_smaller_patches_and_names_the_way_out(size: int) -> None:
    with pytest.raises(UsageError, match="--patch 4 or more, or --network mlp"):
        LenetFeatures(3, size)


def test_lenet_has_the_papers_layers() -> None:
    first, _, _, second, *_ = LenetFeatures(3, 28).layers
    assert isinstance(first, nn.Conv2d) and first.weight.shape == (32, 3, 5, 5)
    assert isinstance(second, nn.Conv2d) and second.weight.shape == (64, 32, 5, 5)
    kinds = [type(layer).__name__ for layer in layers(LenetFeatures(3, 28))]
    assert kinds == ["Conv2d", "MaxPool2d", "ReLU", "Conv2d", "MaxPool2d", "ReLU", "Linear", "ReLU", "BatchNorm1d"]


@pytest.mark.parametrize(("bands", "size"), [(3, 1), (2000, 1), (3, 5)])
def test_the_fully_connected_network_has_the_papers_widths(bands: int, size: int) -> None:
    features = MlpFeatures(bands, size)
    widths = [tuple(layer.weight.shape) for layer in layers(features) if isinstance(layer, nn.Linear)]
    assert widths == [(200, bands * size * size), (200, 200), (500, 200)]
    assert features(torch.randn(2, bands, size, size)).shape == (2, features.width) == (2, 500)


@pytest.mark.parametrize("kind", [LenetFeatures, MlpFeatures])
def test_the_kernel_sees_values_behind_batch_norm(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = kind(3, 8)
    found: Tensor = network(3 * torch.randn(200, 3, 8, 8))
    assert torch.allclose(found.mean(dim=0), torch.zeros(1), atol=1e-4)
    deviation = found.detach().std(dim=0, correction=0)
    # a unit whose ReLU opens for few samples or none varies less
    assert float(deviation.median()) == pytest.approx(1, abs=1e-3) and float(deviation.max()) < 1.001


@pytest.mark.parametrize("kind", [LenetFeatures, MlpFeatures])
def test_weights_start_as_he_et_al(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for layer in layers(kind(4, 8)):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            inputs = math.prod(layer.weight.shape[1:])
            assert float(layer.weight.detach().std() * math.sqrt(inputs)) == pytest.approx(math.sqrt(2), rel=0.1)
            assert layer.bias is not None and not layer.bias.any()


@pytest.mark.parametrize(("features", "size"), [("lenet", 8), ("mlp", 1)])
def test_a_network_for_labelling_answers_as_the_trained_one(features: str, size: int) -> None:
    torch.manual_seed(0)
    network = PatchNetwork(PatchNetworkSpec(features=features, head="linear"), 3, size, 5)
    batch = torch.randn(64, 3, size, size)
    settle(network, [batch])
    with torch.no_grad():
        wanted = network.eval().predict(batch)[0]
        found = fused(network).predict(batch)[0]
    assert wanted.shape == (64, 5) and len(wanted.argmax(dim=1).unique()) > 1
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(64))
