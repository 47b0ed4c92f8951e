"""Networks made ready for labelling answer as the trained ones."""

import pytest
import torch

from rsseg.learn.networks.fuse import NearestCentres, fused
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec


@pytest.mark.parametrize("size", [1, 3])
def test_nearest_centres_answer_as_the_network(size: int) -> None:
    torch.manual_seed(0)
    network = PatchNetwork(PatchNetworkSpec(features="pixels", head="centres"), 3, size, 7).eval()
    network.head.centres.normal_()
    lean = fused(network)
    assert isinstance(lean, NearestCentres)
    x = torch.randn(500, 3, size, size)
    for found, wanted in zip(lean.predict(x), network.predict(x), strict=True):
        assert found.dtype == wanted.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert torch.equal(lean.predict(x)[0], network.predict(x)[0])
