"""Parts that networks share: Sobel front end, sub-heads, dense heads, fusing for labelling."""

from collections.abc import Iterator

import pytest
import torch
from dense import tiny_trunk
from pydantic import ValidationError
from torch import nn

from rsseg.learn.networks.build import build_network, is_dense
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec, upsampled
from rsseg.learn.networks.fuse import fused
from rsseg.learn.networks.heads import SubHeads
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.sobel import Sobel
from rsseg.learn.networks.vote import VoteSpec


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tiny_trunk(monkeypatch):
        yield


def test_sobel_of_a_slope_is_its_gradient_eightfold() -> None:
    rows, cols = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    x = torch.stack([2 * cols + 3 * rows, torch.zeros(7, 9)])[None]  # the mean of the bands has half the slope
    found = Sobel(2)(x)
    assert found.shape == (1, 4, 7, 9)
    assert torch.allclose(found[0, 0, 1:-1, 1:-1], torch.tensor(8.0)) and torch.allclose(
        found[0, 1, 1:-1, 1:-1], torch.tensor(12.0)
    )
    assert torch.equal(found[:, 2:], x)


def test_sobel_draws_no_edge_around_a_patch() -> None:
    assert Sobel(3, keep=False)(torch.full((2, 3, 5, 5), 9.0)).abs().max() == 0
    assert Sobel(3, keep=False).channels == 2


def test_the_chosen_sub_head_answers() -> None:
    heads = SubHeads(5, 3, 4)
    x = torch.randn(6, 5)
    heads.chosen.fill_(2)
    assert torch.equal(heads(x), heads.all(x)[2]) and heads.all(x).shape == (4, 6, 3)


def test_a_front_end_is_part_of_the_network() -> None:
    network = PatchNetwork(PatchNetworkSpec(features="pixels", head="linear", front="sobel"), 3, 4, 6)
    assert network(torch.randn(2, 3, 4, 4)).shape == (2, 6) and network.features.width == 5 * 16


def test_dense_probabilities_have_the_tiles_size() -> None:
    network = DenseNetwork(DenseNetworkSpec(trunk="tiny", heads=2, front="sobel"), 3, 4).eval()
    x = torch.randn(2, 3, 10, 12)
    p = network.predict(x)
    assert p.shape == (2, 4, 10, 12) and torch.allclose(p.sum(dim=1), torch.ones(2, 10, 12))
    assert [r.shape for r in network.responses(x)] == [(2, 4, 5, 6)] * 2
    network.chosen.fill_(1)
    assert torch.equal(network(x), network.responses(x)[1])


def test_coarse_maps_lie_exactly_on_the_tile() -> None:
    coarse = torch.rand(1, 2, 4, 5)
    fine = upsampled(coarse, (8, 10))
    assert torch.allclose(fine.flip(-1), upsampled(coarse.flip(-1), (8, 10)))
    inner = torch.nn.functional.avg_pool2d(upsampled(torch.arange(5.0).expand(1, 1, 4, 5), (8, 10)), 2)
    assert torch.allclose(inner[0, 0, 0, 1:-1], torch.tensor([1.0, 2.0, 3.0]))


def test_specs_build_the_networks_they_name() -> None:
    patch, dense = PatchNetworkSpec(features="mean", head="linear"), DenseNetworkSpec(trunk="tiny")
    for spec, wanted in (
        (patch, False),
        (dense, True),
        (VoteSpec(members=2, of=patch), False),
        (VoteSpec(members=2, of=dense), True),
    ):
        network = build_network(spec, 3, 8, 5)
        assert is_dense(network) is wanted and network.classes == 5 and network.spec == spec


@pytest.mark.parametrize("bad", [{"features": "magic", "head": "linear"}, {"features": "mean", "head": "magic"}])
def test_unknown_parts_are_refused(bad: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="magic"):
        PatchNetworkSpec(**bad)
    with pytest.raises(ValidationError, match="magic"):
        DenseNetworkSpec(trunk="magic")


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_fusing_joins_what_follows_directly_and_changes_no_answer() -> None:
    network, x = Nested(), torch.randn(8, 3, 6, 6)
    for _ in range(3):
        network(3 * torch.randn(16, 3, 6, 6) + 1)
    lean = fused(network)
    assert torch.allclose(lean(x), network.eval()(x), atol=1e-5)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in lean.modules()) == 1
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 3
