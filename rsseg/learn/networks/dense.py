"""Dense networks: one probability vector a pixel, rebuilt from the few words that a model file records."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.dic import DicHead, DicTrunk
from rsseg.learn.networks.kanezaki import KanezakiTrunk, ResponseHead
from rsseg.learn.networks.neighbourhood import NeighbourhoodTrunk
from rsseg.learn.networks.net10a import Net10aHead, Net10aTrunk
from rsseg.learn.networks.seek import SeekTrunk
from rsseg.learn.networks.sobel import Sobel


class DenseNetworkSpec(BaseModel):
    """What a dense network is built from, beside bands and classes.

    ``width``: channels, None for the paper's; ``head``: the trunk's own, or one 1 x 1 convolution.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trunk: str
    heads: int = Field(1, ge=1)
    front: Literal["none", "sobel"] = "none"
    width: int | None = Field(None, ge=1)
    head: Literal["own", "linear"] = "own"

    @field_validator("trunk")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in TRUNKS:
            raise ValueError(f"no trunk is called {name!r}")
        return name


def pointwise(width: int, classes: int) -> nn.Module:
    """A linear head: one 1 x 1 convolution."""
    return nn.Conv2d(width, classes, 1)


TRUNKS: dict[str, tuple[Callable[[int, int | None], Any], Callable[[int, int], nn.Module]]] = {
    "net10a": (Net10aTrunk, Net10aHead),
    "dic": (DicTrunk, DicHead),
    "kanezaki": (KanezakiTrunk, ResponseHead),
    "seek": (SeekTrunk, ResponseHead),
    "neighbourhood": (NeighbourhoodTrunk, pointwise),
}
"""Name -> a trunk made for channels and a width, (n, channels, h, w) -> (n, trunk.width, h', w'), and its head, made
for the trunk's width and the classes, -> scores (n, classes, h', w')."""


class DenseNetwork(nn.Module):
    """One probability vector a pixel; several heads on one trunk, of which the ``chosen`` one answers."""

    chosen: Tensor

    def __init__(self, spec: DenseNetworkSpec, bands: int, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.front: nn.Module = Sobel(bands) if spec.front == "sobel" else nn.Identity()
        channels = self.front.channels if isinstance(self.front, Sobel) else bands
        make_trunk, own_head = TRUNKS[spec.trunk]
        make_head = own_head if spec.head == "own" else pointwise
        self.trunk = make_trunk(channels, spec.width)
        self.heads = nn.ModuleList(make_head(self.trunk.width, classes) for _ in range(spec.heads))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def embed(self, x: Tensor) -> Tensor:
        """Features (n, width, h', w') of tiles (n, bands, h, w)."""
        features: Tensor = self.trunk(self.front(x))
        return features

    def responses(self, x: Tensor) -> list[Tensor]:
        """Scores (n, classes, h', w') of every head."""
        features = self.embed(x)
        return [head(features) for head in self.heads]

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, classes, h', w') of the chosen head."""
        scores: Tensor = self.heads[int(self.chosen)](self.embed(x))
        return scores

    def predict(self, x: Tensor) -> Tensor:
        """Probabilities (n, classes, h, w) float32 of tiles (n, bands, h, w)."""
        return upsampled(functional.softmax(self(x).float(), dim=1), (x.shape[2], x.shape[3]))


def upsampled(probabilities: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear maps at ``size``; coarse pixels are areas, so that a map of half the size lies exactly on the tile."""
    if probabilities.shape[2:] == size:
        return probabilities
    return functional.interpolate(probabilities, size=size, mode="bilinear", align_corners=False)
