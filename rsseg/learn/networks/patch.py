"""Patch networks: features and a head, rebuilt from the few words that a model file records."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.dcgan import DcganFeatures
from rsseg.learn.networks.heads import CentreHead, EntropyHead, LinearHead, SubHeads
from rsseg.learn.networks.iic import WIDTH as CLUSTERNET_WIDTH
from rsseg.learn.networks.iic import ClusterNet
from rsseg.learn.networks.imsat import ImsatHead
from rsseg.learn.networks.lenet import LenetFeatures, MlpFeatures
from rsseg.learn.networks.resnet import ResNetFeatures
from rsseg.learn.networks.simple import MeanFeatures, PixelFeatures
from rsseg.learn.networks.sobel import Sobel
from rsseg.learn.networks.vgg import Cut, VggFeatures


class PatchNetworkSpec(BaseModel):
    """What a patch network is built from, beside bands, patch size and classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: str
    head: str
    cut: Cut = "scene"
    front: Literal["none", "sobel"] = "none"
    heads: int = Field(1, ge=1)
    width: int | None = Field(None, ge=1)
    units: int = Field(1024, ge=1)

    @field_validator("features")
    @classmethod
    def _known_features(cls, name: str) -> str:
        if name not in FEATURES:
            raise ValueError(f"no features are called {name!r}")
        return name

    @field_validator("head")
    @classmethod
    def _known_head(cls, name: str) -> str:
        if name not in HEADS:
            raise ValueError(f"no head is called {name!r}")
        return name


FEATURES: dict[str, Callable[[PatchNetworkSpec, int, int], Any]] = {
    "vgg16-bn": lambda spec, channels, size: VggFeatures(channels, size, spec.cut),
    "lenet": lambda spec, channels, size: LenetFeatures(channels, size),
    "mlp": lambda spec, channels, size: MlpFeatures(channels, size),
    "clusternet": lambda spec, channels, size: ClusterNet(channels, size, spec.width or CLUSTERNET_WIDTH),
    "resnet34": lambda spec, channels, size: ResNetFeatures(channels, size, spec.width or CLUSTERNET_WIDTH),
    "dcgan": lambda spec, channels, size: DcganFeatures(channels, size, spec.width),
    "dcgan-flat": lambda spec, channels, size: DcganFeatures(channels, size, spec.width, dense=False),
    "dcgan-no-sobel": lambda spec, channels, size: DcganFeatures(channels, size, spec.width, sobel=False),
    "dcgan-flat-no-sobel": lambda spec, channels, size: DcganFeatures(channels, size, spec.width, False, False),
    "pixels": lambda spec, channels, size: PixelFeatures(channels, size),
    "mean": lambda spec, channels, size: MeanFeatures(channels, size),
}
"""Name -> features made for a number of channels and a patch size: modules (n, channels, s, s) -> (n, width)."""

HEADS: dict[str, Callable[[PatchNetworkSpec, int, int], Any]] = {
    "entropy": lambda spec, width, classes: EntropyHead(width, classes),
    "centres": lambda spec, width, classes: CentreHead(width, classes),
    "linear": lambda spec, width, classes: LinearHead(width, classes),
    "sub-heads": lambda spec, width, classes: SubHeads(width, classes, spec.heads),
    "imsat": lambda spec, width, classes: ImsatHead(width, classes, spec.heads, spec.units),
}
"""Name -> head made for features of a width: modules (n, width) -> scores (n, classes), with ``probabilities``."""


class PatchNetwork(nn.Module):
    """One probability vector a patch."""

    def __init__(self, spec: PatchNetworkSpec, bands: int, size: int, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.front: nn.Module = Sobel(bands) if spec.front == "sobel" else nn.Identity()
        channels = self.front.channels if isinstance(self.front, Sobel) else bands
        self.features = FEATURES[spec.features](spec, channels, size)
        self.head = HEADS[spec.head](spec, self.features.width, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Features (n, width) of patches (n, bands, size, size)."""
        features: Tensor = self.features(self.front(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, classes) of patches (n, bands, size, size)."""
        scores: Tensor = self.head(self.embed(x))
        return scores

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Votes of patches: probabilities (n, classes), and what decides between equal ones (n, classes), in [0, 1]."""
        scores = self(x)
        return self.head.probabilities(scores), functional.softmax(scores.float(), dim=1)


@torch.no_grad()
def settle(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the stored batch-norm statistics to the plain average over ``batches``, in training mode.

    A running average lags behind weights that still move; labelling uses stored statistics, so they are taken again.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    for batch in batches:
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
