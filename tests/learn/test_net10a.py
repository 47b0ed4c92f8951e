"""The network of IIC's segmentation: its sizes, what a pixel sees, and that its maps lie exactly on the tile."""

import pytest
import torch
from torch import Tensor, nn

from rsseg.learn.networks.dense import upsampled
from rsseg.learn.networks.net10a import Net10aHead, Net10aTrunk


def convolutions(trunk: Net10aTrunk) -> list[nn.Conv2d]:
    return [layer for layer in trunk.layers if isinstance(layer, nn.Conv2d)]


def test_the_authors_network_has_its_channels_and_parameters() -> None:
    trunk = Net10aTrunk(4)
    assert [layer.out_channels for layer in convolutions(trunk)] == [64, 128, 256, 256, 512, 512]
    assert [layer.dilation for layer in convolutions(trunk)] == [(1, 1)] * 4 + [(2, 2)] * 2
    assert all(layer.bias is None for layer in convolutions(trunk))
    assert sum(p.numel() for p in trunk.parameters()) == pytest.approx(4.50e6, rel=2e-3)
    for classes, count in ((24, 12_288), (3, 1_536)):
        assert sum(p.numel() for p in Net10aHead(trunk.width, classes).parameters()) == count


@pytest.mark.parametrize(("width", "last"), [(None, 512), (64, 512), (16, 128), (1, 8)])
def test_width_scales_all_channels(width: int | None, last: int) -> None:
    trunk = Net10aTrunk(3, width)
    assert trunk.width == last == convolutions(trunk)[-1].out_channels
    assert 8 * convolutions(trunk)[0].out_channels == last


@pytest.mark.parametrize("size", [200, 32, 8])
def test_the_map_has_half_the_tiles_size(size: int) -> None:
    trunk = Net10aTrunk(3, 2).eval()
    features = trunk(torch.rand(1, 3, size, size))
    assert features.shape == (1, 16, size // 2, size // 2)
    assert Net10aHead(16, 5)(features).shape == (1, 5, size // 2, size // 2)


def made_positive(trunk: Net10aTrunk) -> Net10aTrunk:
    """Weights under which every input pixel that is seen changes the output."""
    for layer in convolutions(trunk):
        nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    return trunk.eval().double()


def test_a_pixel_of_the_map_sees_30_by_30_pixels() -> None:
    trunk = made_positive(Net10aTrunk(1, 1))
    ramp = torch.arange(80.0 * 80, dtype=torch.float64).view(1, 1, 80, 80)
    seen = torch.zeros(80, 80, dtype=torch.float64)
    for tile in (ramp, ramp.flip(-1, -2)):  # poolings take their last pixels, then their first
        leaf = tile.clone().requires_grad_()
        trunk(leaf)[0, 0, 20, 20].backward()
        assert leaf.grad is not None
        seen += leaf.grad[0, 0]
    for place in seen.nonzero().unbind(dim=1):
        assert (int(place.min()), int(place.max())) == (40 - 14, 40 + 15)


def test_a_changed_pixel_changes_only_what_sees_it() -> None:
    torch.manual_seed(0)
    trunk = Net10aTrunk(3, 4).eval()
    tile = torch.rand(1, 3, 80, 80)
    changed = tile.clone()
    changed[0, :, 40, 40] += 5
    rows, cols = (trunk(changed) - trunk(tile)).abs().sum(dim=1)[0].nonzero().unbind(dim=1)
    for place in (rows, cols):
        assert int(place.min()) >= 20 - 7 and int(place.max()) <= 20 + 7 and len(place.unique()) > 8


def response(trunk: nn.Module, head: nn.Module, tile: Tensor) -> Tensor:
    return upsampled(head(trunk(tile)).softmax(dim=1), (tile.shape[2], tile.shape[3]))


def test_the_map_lies_exactly_on_the_tile() -> None:
    """A network that does not tell left from right answers a flipped tile with the flipped map, borders included."""
    torch.manual_seed(0)
    trunk, head = Net10aTrunk(2, 2).eval().double(), Net10aHead(16, 4).double()
    with torch.no_grad():
        for layer in convolutions(trunk):
            layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
            layer.weight.copy_((layer.weight + layer.weight.flip(-2)) / 2)
        tile = torch.rand(1, 2, 24, 24, dtype=torch.float64)
        whole = response(trunk, head, tile)
        for axes in ((-1,), (-2,), (-1, -2)):
            torch.testing.assert_close(response(trunk, head, tile.flip(axes)), whole.flip(axes))
    assert whole.std() > 1e-3


def test_the_start_keeps_the_scale_of_the_features() -> None:
    torch.manual_seed(0)
    trunk = Net10aTrunk(3, 8)
    with torch.no_grad():
        features = trunk(torch.randn(2, 3, 64, 64))
    scores = Net10aHead(trunk.width, 10)(features)
    assert 0.3 < float(features.square().mean()) < 1.0 and 0.3 < float(scores.detach().std()) < 3.0
