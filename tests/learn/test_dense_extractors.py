"""The extractors of the superpixel family: shapes, sizes, and what training must not change."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.dic import DeepClusteringSubnetwork, DicHead, DicTrunk
from rsseg.learn.networks.kanezaki import KanezakiTrunk, ResponseHead
from rsseg.learn.networks.seek import SeekTrunk, SqueezeExcite

EXTRACTORS = pytest.mark.parametrize(
    ("trunk", "head"), [(DicTrunk, DicHead), (KanezakiTrunk, ResponseHead), (SeekTrunk, ResponseHead)]
)
Maker = Callable[..., nn.Module]


def tile(n: int = 2, bands: int = 3, height: int = 16, width: int = 16, seed: int = 0) -> Tensor:
    return torch.rand(n, bands, height, width, generator=torch.Generator().manual_seed(seed))


def made(
    trunk: Maker, head: Maker, bands: int = 3, width: int | None = 8, classes: int = 6, seed: int = 0
) -> nn.Module:
    torch.manual_seed(seed)
    body = trunk(bands, width)
    return nn.Sequential(body, head(body.width, classes))


def learnt(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@EXTRACTORS
@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 17), (1, 1)])
def test_scores_have_the_size_of_the_tile(trunk: Maker, head: Maker, bands: int, height: int, width: int) -> None:
    network = made(trunk, head, bands).eval()
    assert network(tile(2, bands, height, width)).shape == (2, 6, height, width)


@pytest.mark.parametrize(("trunk", "width"), [(DicTrunk, 128), (KanezakiTrunk, 100), (SeekTrunk, 128)])
def test_the_default_width_is_the_papers(trunk: Maker, width: int) -> None:
    assert trunk(3).width == width


def test_layers_are_the_papers() -> None:
    """Learned numbers, counted by hand from the papers' tables: convolutions, biases and batch norms."""

    def double(entering: int, width: int) -> int:
        return 9 * width * (entering + width) + 2 * width + 4 * width

    assert learnt(DicTrunk(3)) == double(3, 64) + double(64, 128) + double(192, 128)
    assert learnt(DicHead(128, 100)) == 128 * 100 + 100 + 200 + (100 * 100 + 100) + 100 * 100
    assert learnt(KanezakiTrunk(3)) == 9 * 100 * (3 + 100) + 2 * 100 + 4 * 100
    assert learnt(KanezakiTrunk(3, blocks=3)) == 9 * 100 * (3 + 200) + 3 * 100 + 6 * 100
    assert learnt(ResponseHead(100, 100)) == 100 * 100 + 100 + 200
    seek = 9 * 3 * 128 + 256 + (128 * 128 + 256) + (9 * 128 * 64 + 128) + (64 * 128 + 256)
    assert learnt(SeekTrunk(3)) == seek + 128 * 16 + 16 + 16 * 128 + 128


def test_kanezaki_normalises_after_the_relu() -> None:
    kinds = [type(layer) for layer in KanezakiTrunk(3, 8).layers]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d] * 2


@EXTRACTORS
def test_the_same_seed_gives_the_same_scores(trunk: Maker, head: Maker) -> None:
    x = tile()
    assert torch.equal(made(trunk, head)(x), made(trunk, head)(x))
    assert not torch.equal(made(trunk, head)(x), made(trunk, head, seed=1)(x))


@EXTRACTORS
def test_tiles_of_a_batch_do_not_meet_in_evaluation(trunk: Maker, head: Maker) -> None:
    network = made(trunk, head).eval()
    x = tile(3)
    alone = torch.cat([network(x[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x), alone)


@EXTRACTORS
def test_every_learned_number_has_a_gradient(trunk: Maker, head: Maker) -> None:
    network = made(trunk, head)
    network(tile()).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


def test_seek_passes_its_block_twice() -> None:
    """out = x + y + SE(block(y)) with y = SE(block(x))."""
    trunk = SeekTrunk(3, 16).eval()
    x = trunk.entry(tile())
    y = trunk.excite(trunk.block(x))
    torch.testing.assert_close(trunk(tile()), x + y + trunk.excite(trunk.block(y)))


def test_squeeze_and_excitation_weighs_channels_by_the_whole_tile() -> None:
    excite = SqueezeExcite(16)
    x = tile(2, 16)
    weights = excite(x) / x
    assert (weights > 0).all() and (weights < 1).all()
    torch.testing.assert_close(weights, weights[:, :, :1, :1].expand_as(weights))


def slow_mixtures(block: DeepClusteringSubnetwork, pixels: Tensor) -> Tensor:
    """Expectation maximisation as DIC states it, of one tile: pixels (count, width)."""
    entered = pixels @ block.enter.weight.T + block.enter.bias
    directions = block.start[0]
    for _ in range(3):
        shares = torch.stack([torch.softmax(row @ directions, dim=0) for row in entered])
        means = [(entered * s[:, None]).sum(dim=0) / (1e-6 + s.sum()) for s in shares.T]
        directions = torch.stack([mean / mean.norm() for mean in means], dim=1)
    return torch.stack([directions @ share for share in shares])


@torch.no_grad()
def test_dcs_is_the_papers_expectation_maximisation() -> None:
    torch.manual_seed(0)
    block = DeepClusteringSubnetwork(6)
    x = tile(2, 6, 5, 4)
    for image, found in zip(x, block(x), strict=True):
        pixels = image.flatten(1).T
        mixed = functional.relu(slow_mixtures(block, pixels))
        expected = functional.relu(pixels + mixed @ block.leave.weight.T)
        torch.testing.assert_close(found.flatten(1).T, expected)


def test_dcs_starts_from_directions_of_length_one() -> None:
    start = DeepClusteringSubnetwork(10).start
    assert start.shape == (1, 10, 32)
    torch.testing.assert_close(start.norm(dim=1), torch.ones(1, 32))


def test_training_never_changes_the_centres() -> None:
    network = made(DicTrunk, DicHead)
    block = network[1].cluster
    fixed = {name: tensor.clone() for name, tensor in block.state_dict().items() if not name.startswith("leave")}
    assert set(fixed) == {"start", "enter.weight", "enter.bias"}
    leaving = block.leave.weight.detach().clone()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimiser.zero_grad()
        network(tile()).square().mean().backward()
        optimiser.step()
    assert all(torch.equal(tensor, block.state_dict()[name]) for name, tensor in fixed.items())
    assert not torch.equal(leaving, block.leave.weight)


def test_dic_scores_are_not_negative_and_the_others_are_centred() -> None:
    assert (made(DicTrunk, DicHead)(tile()) >= 0).all()
    for trunk in (KanezakiTrunk, SeekTrunk):
        scores = made(trunk, ResponseHead)(tile())
        torch.testing.assert_close(scores.mean(dim=(0, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_does_not_matter(layout: torch.memory_format) -> None:
    network = made(DicTrunk, DicHead).eval()
    expected = network(tile())
    found = network.to(memory_format=layout)(tile().to(memory_format=layout))
    torch.testing.assert_close(found, expected)
