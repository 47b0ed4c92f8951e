"""The DCGAN and the auxiliary classifier against the paper's tables, and for patches that the paper does not have."""

import pytest
import torch
from torch import Tensor, nn

from rsseg.errors import UsageError
from rsseg.learn.networks.dcgan import DcganFeatures, DcganGenerator, dropout_at
from rsseg.learn.networks.fuse import fused
from rsseg.learn.networks.imsat import ImsatHead
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec


def count(*modules: nn.Module) -> int:
    """Parameters that are learned."""
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)


def patches(n: int, bands: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(n, bands, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("bands", "size", "dense", "noise", "discriminator", "generator"),
    [(1, 24, False, 100, 167e3, 289e3), (3, 32, True, 200, 4.85e6, 4.40e6), (3, 48, True, 500, 10.10e6, 11.99e6)],
    ids=["MNIST", "CIFAR", "STL"],
)
def test_parameters_are_as_many_as_in_table_3(
    bands: int, size: int, dense: bool, noise: int, discriminator: float, generator: float
) -> None:
    features, made = DcganFeatures(bands, size, dense=dense), DcganGenerator(bands, size, noise, dense=dense)
    found = count(features, nn.Linear(features.width, 1, bias=dense))
    assert found == pytest.approx(discriminator, rel=4e-3)
    assert count(made) == pytest.approx(generator, rel=4e-3)


def test_maps_are_those_of_table_2() -> None:
    features = DcganFeatures(3, 32)
    shapes, x = [], torch.zeros(2, 5, 32, 32)
    for layer in features.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    assert features.width == 1024
    assert DcganFeatures(1, 24, dense=False).width == 1152


@pytest.mark.parametrize("bands", [1, 3, 4])
@pytest.mark.parametrize(("size", "base"), [(8, 1), (16, 2), (24, 3), (32, 4), (11, 1), (28, 3)])
@pytest.mark.parametrize("dense", [True, False])
def test_every_patch_has_features_and_fakes_of_its_size(bands: int, size: int, base: int, dense: bool) -> None:
    features = DcganFeatures(bands, size, channels=4, dense=dense).eval()
    with torch.no_grad():
        assert features(patches(2, bands, size)).shape == (2, features.width)
        fakes = DcganGenerator(bands, size, 10, 4, dense)(torch.rand(2, 10))
    assert features.width == (1024 if dense else 16 * base**2)
    assert fakes.shape == (2, bands, size, size)
    assert float(fakes.abs().max()) <= 1
    assert features.extract(fakes).shape == (2, features.width)


def test_a_patch_below_8_pixels_is_refused() -> None:
    with pytest.raises(UsageError, match="--patch 8"):
        DcganFeatures(3, 7)


def test_weights_start_from_the_papers_gaussian() -> None:
    torch.manual_seed(0)
    features, generator = DcganFeatures(3, 16), DcganGenerator(3, 16, 100)
    weights = [features.layers[4].weight, features.last[1].weight, generator.dense.weight, generator.layers[1].weight]
    assert [float(weight.detach().std()) for weight in weights] == pytest.approx([0.02] * 4, rel=0.05)  # type: ignore[operator]
    assert not generator.dense.bias.any()


def test_batch_norm_follows_the_authors_layouts() -> None:
    dense, flat = DcganFeatures(3, 16), DcganFeatures(3, 16, dense=False)
    norms = [[layer for layer in made.layers if isinstance(layer, nn.BatchNorm2d)] for made in (dense, flat)]
    assert [len(layers) for layers in norms] == [3, 2]
    assert not any(norm.weight.requires_grad for norm in norms[0])
    assert all(norm.weight.requires_grad for norm in norms[1])
    assert all(isinstance(layer, nn.BatchNorm2d) for layer in (flat.layers[1], flat.layers[5]))


def test_the_front_sees_edges_of_the_mean_of_all_bands_and_the_bands_in_the_generators_range() -> None:
    features = DcganFeatures(2, 8, channels=2, dense=False)
    seen: list[Tensor] = []
    features.layers.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    ramp = torch.arange(8.0).repeat(8, 1) / 8
    x = torch.stack([ramp, 3 * ramp])[None]
    features(x)
    torch.testing.assert_close(seen[0][:, 2:], x / 3)
    # the mean rises by 2/8 a column, a third of it in the scaled values; the kernel spans two columns with weight 4
    torch.testing.assert_close(seen[0][0, 0, :, 1:-1], torch.full((8, 6), 8 * (2 / 8) / 3 / 2))
    torch.testing.assert_close(seen[0][0, 1], torch.zeros(8, 8), atol=1e-6, rtol=0)
    features(torch.full((1, 2, 8, 8), 50.0))
    assert float(seen[1].max()) == 1 and float(seen[1].min()) == 0


def test_the_range_is_kept_with_the_weights() -> None:
    features, other = DcganFeatures(1, 8, channels=2), DcganFeatures(1, 8, channels=2)
    features.cover(0, 1)
    other.load_state_dict(features.state_dict())
    ends = other.scaled(torch.tensor([0.0, 0.5, 1.0, 2.0]))
    assert ends.tolist() == [-1, 0, 1, 1]


def test_without_sobel_the_bands_stand_alone() -> None:
    assert DcganFeatures(3, 8, sobel=False).layers[0].weight.shape[1] == 3
    assert DcganFeatures(3, 8).layers[0].weight.shape[1] == 5


def test_gradients_reach_the_generator_through_the_sobel_front() -> None:
    features, generator = DcganFeatures(3, 8, channels=4), DcganGenerator(3, 8, 10, 4)
    (features.extract(generator(torch.rand(4, 10))) ** 2).sum().backward()
    learned = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in learned)


def test_evaluation_has_no_dropout_and_training_has() -> None:
    features, x = DcganFeatures(3, 8, channels=4), patches(4, 3, 8)
    with torch.no_grad():
        assert not torch.equal(features(x), features(x))
        features.eval()
        assert torch.equal(features(x), features(x))


def test_dropout_alone_leaves_batch_norm_as_it_is() -> None:
    features, x = DcganFeatures(3, 8, channels=4, dense=False).eval(), patches(64, 3, 8)
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    with torch.no_grad():
        plain = features(x)
        with dropout_at(features, 0.1):
            noisy = features(x)
        with dropout_at(features, 0.0):
            assert torch.equal(features(x), plain)
        assert torch.equal(features(x), plain)
    assert float((noisy == 0).float().mean()) == pytest.approx(0.1, abs=0.02)
    assert all(torch.equal(before[name], tensor) for name, tensor in features.state_dict().items())
    assert [layer.p for layer in features.modules() if isinstance(layer, nn.Dropout)] == [0.2] * 3


# the auxiliary classifier


def test_the_chosen_head_answers() -> None:
    head, m = ImsatHead(12, 5, 3), torch.randn(4, 12)
    head.start(0.1)
    for chosen in range(3):
        head.chosen.fill_(chosen)
        torch.testing.assert_close(head(m), head.all(m)[chosen])
    torch.testing.assert_close(head.probabilities(head(m)).sum(dim=1), torch.ones(4))


def test_the_classifier_is_the_papers() -> None:
    head = ImsatHead(1024, 10, 5)
    assert count(head) == 2 * (1024 * 1024 + 1024) + 5 * (1024 * 10 + 10)
    head.start(1e-3)
    assert float(head.hidden[0].weight.detach().std()) == pytest.approx(1e-3, rel=0.05)  # type: ignore[operator]


@pytest.mark.parametrize("name", ["dcgan", "dcgan-flat", "dcgan-no-sobel", "dcgan-flat-no-sobel"])
def test_labelling_joins_convolutions_and_batch_norm(name: str) -> None:
    torch.manual_seed(1)
    network = PatchNetwork(PatchNetworkSpec(features=name, head="imsat", heads=2, width=4), 4, 8, 6)
    network.head.start(0.1)
    with torch.no_grad():
        for seed in range(3):
            network(patches(32, 4, 8, seed))
        network.eval()
        joined = fused(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in joined.modules())
        torch.testing.assert_close(joined(patches(5, 4, 8)), network(patches(5, 4, 8)), rtol=1e-4, atol=1e-5)
