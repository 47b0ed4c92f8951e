"""Patch networks: features and a head, rebuilt from the few words that a model file records."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rsseg.learn.networks.heads import CentreHead, EntropyHead
from rsseg.learn.networks.simple import MeanFeatures, PixelFeatures
from rsseg.learn.networks.vgg import Cut, VggFeatures


class PatchNetworkSpec(BaseModel):
    """What a patch network is built from, beside bands, patch size and classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: Literal["vgg16-bn", "pixels", "mean"]
    head: Literal["entropy", "centres"]
    cut: Cut = "scene"


class PatchNetwork(nn.Module):
    """One probability vector a patch."""

    def __init__(self, spec: PatchNetworkSpec, bands: int, size: int, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.features: VggFeatures | PixelFeatures | MeanFeatures = _features(spec, bands, size)
        make = EntropyHead if spec.head == "entropy" else CentreHead
        self.head: EntropyHead | CentreHead = make(self.features.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (n, classes) of patches (n, bands, size, size)."""
        return self.head(self.features(x))

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Votes of patches: probabilities (n, classes), and what decides between equal ones (n, classes), in [0, 1]."""
        scores = self(x)
        return self.head.probabilities(scores), functional.softmax(scores.float(), dim=1)


def _features(spec: PatchNetworkSpec, bands: int, size: int) -> VggFeatures | PixelFeatures | MeanFeatures:
    if spec.features == "vgg16-bn":
        return VggFeatures(bands, size, spec.cut)
    return PixelFeatures(bands, size) if spec.features == "pixels" else MeanFeatures(bands, size)


def fused(network: PatchNetwork) -> PatchNetwork:
    """A copy of the network for labelling: evaluation mode, each convolution joined with the batch norm behind it.

    The joined weights differ from the separate ones by rounding only.
    """
    network = deepcopy(network).eval()
    layers = getattr(network.features, "layers", None)
    if layers is not None:
        joined: list[nn.Module] = []
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d) and joined and isinstance(joined[-1], nn.Conv2d):
                joined[-1] = fuse_conv_bn_eval(joined[-1], layer)
            else:
                joined.append(layer)
        network.features.layers = nn.Sequential(*joined)
    return network.requires_grad_(False)


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
