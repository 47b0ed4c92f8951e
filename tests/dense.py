"""A small dense network for tests of what surrounds it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from tiny import BANDS
from torch import Tensor, nn

from rsseg.learn.model import Inference, Model
from rsseg.learn.networks import dense
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.normalise import Normalisation


class TinyTrunk(nn.Module):
    """Two convolutions, the second at half the size, and a pool over the whole tile, as some networks have."""

    def __init__(self, channels: int, width: int | None = None) -> None:
        super().__init__()
        self.width = width or 6
        self.layers = nn.Sequential(
            nn.Conv2d(channels, self.width, 3, padding=1), nn.BatchNorm2d(self.width), nn.Tanh(), nn.AvgPool2d(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features + 0.1 * features.mean(dim=(2, 3), keepdim=True)


@contextmanager
def tiny_trunk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setitem(dense.TRUNKS, "tiny", (TinyTrunk, lambda width, classes: nn.Conv2d(width, classes, 1)))
        yield


def tiny_dense_model(*, patch: int = 16, classes: int = 4, seed: int = 0, heads: int = 1) -> Model:
    torch.manual_seed(seed)
    spec = DenseNetworkSpec(trunk="tiny", heads=heads)
    network = DenseNetwork(spec, len(BANDS), classes)
    with torch.no_grad():
        for head in network.heads:
            head.weight.mul_(6)  # type: ignore[operator]
    centre, spread = (80.0, 80.0, 130.0), (50.0, 50.0, 80.0)
    normalisation = Normalisation(kind="standardise", centre=centre, spread=spread, mean=centre)
    inference = Inference(
        method="wce",
        network=spec,
        bands=BANDS,
        units="uncalibrated",
        normalisation=normalisation,
        patch=patch,
        stride=patch,
        classes=classes,
    )
    return Model(inference, network.eval())
