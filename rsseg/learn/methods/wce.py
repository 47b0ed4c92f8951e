"""Superpixel weighted cross entropy (Ferreira et al., "Ablation Studies for A Novel Unsupervised Approach for Training
Convolutional DSSNs on Remote Sensing"): a dense network learns its own labels, made equal within each superpixel.

What the paper gives: 100 classes, DIC's extractor with two classifiers, weights renewed in every batch, tiles of 200 px
in batches of 10, 10 epochs, a learning rate falling exponentially from 1e-4 to 1e-5, values in 0 to 1, no augmentation.
What it leaves open is ours: the optimiser (Adam), the formula of the weights, the superpixels, that the losses of both
classifiers are added, and which of them answers: the one with the lower loss on a fixed sample.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsseg.errors import InputError, UsageError
from rsseg.learn.augment import gain_offset
from rsseg.learn.gather import largest
from rsseg.learn.losses.superpixels import (
    Weights,
    class_weights,
    continuity,
    mumford_shah,
    refine,
    weighted_cross_entropy,
)
from rsseg.learn.methods.base import Method, MethodSettings, Phase, backward, cluster_shares, shuffled
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.patch import settle
from rsseg.learn.normalise import Kind
from rsseg.learn.optimisers import adam, sgd
from rsseg.learn.samples import Samples

Extractor = Literal["dic", "kanezaki", "seek"]

FIXED_PIXELS = 400_000
"""Pixels that the score looks at: ten tiles of 200 px."""

SETTLE_PIXELS = 1_600_000
"""Pixels from which batch-norm statistics are taken again."""

GAIN, OFFSET = 0.1, 0.05
"""Ours: how much the colour augmentation changes a band, of values in 0 to 1."""


@dataclass(frozen=True)
class SingleImage:
    """How an extractor's authors fit one image on its own: SGD's learning rate, steps, labels at which to stop."""

    rate: float
    steps: int
    labels: int


SINGLE_IMAGE: dict[str, SingleImage] = {
    "dic": SingleImage(0.05, 100, 4),
    "kanezaki": SingleImage(0.1, 1000, 3),
    "seek": SingleImage(0.05, 64, 2),
}


class WceSettings(MethodSettings):
    """Settings of superpixel WCE; what the paper gives is the default unless a description says otherwise."""

    dense: ClassVar[bool] = True
    masks: ClassVar[bool] = True
    files: ClassVar[tuple[str, ...]] = ("region_raster",)

    classes: int = Field(100, ge=2, le=255)
    patch: int = Field(200, ge=8, description="Side of a tile in pixels.")
    stride: int = Field(200, ge=1, description="Distance between training tiles.")
    epochs: int = Field(10, ge=1)
    normalise: Kind = "range"
    extractor: Extractor = "dic"
    width: int | None = Field(None, ge=1, description="Channels of the extractor; by default its paper's.")
    classifiers: Literal[1, 2] = 2
    superpixels: Literal["slic", "felzenszwalb", "raster"] = Field(
        "slic", description="Ours: the paper names no algorithm. raster: regions from --region-raster."
    )
    region_raster: str | None = Field(
        None, description="With --superpixels raster: a label raster on the scene's grid, whose pieces are the regions."
    )
    superpixel_size: int = Field(12, ge=1, description="Ours: side in pixels that a superpixel has on average.")
    compactness: float = Field(0.3, gt=0, description="Ours: of slic; smaller values follow edges more closely.")
    weights: Weights = Field("inverse", description="Ours: weight of a class from its pixels in the batch.")
    continuity: float = Field(0.0, ge=0, description="Weight of the spatial continuity loss (eq. 15).")
    mumford_shah: float = Field(0.0, ge=0, description="Weight of the Mumford-Shah loss (eq. 16) of a pixel.")
    learning_rate: float | None = Field(None, gt=0, description="At the start; by default 1e-4 (Adam).")
    rate_decay: float = Field(0.1, gt=0, le=1, description="The last epoch's learning rate over the first one's.")
    batch: int = Field(10, ge=1, description="Tiles in a batch.")
    augmentation: Literal["none", "geometric", "colour", "all"] = "none"
    per_image: bool = Field(
        False, description="Fit one scene alone as the extractor's authors do: SGD, steps on the same tiles."
    )
    steps: int | None = Field(None, ge=1, description="Of per_image, in all; by default the authors'.")
    min_labels: int | None = Field(None, ge=1, description="per_image stops at as many labels or fewer.")

    def superpixel_options(self) -> dict[str, Any]:
        """Keyword arguments for ``rsseg.scene.superpixels.superpixels``, or kind "raster" and its path."""
        if self.superpixels == "raster":
            return {"kind": "raster", "raster": self.region_raster}
        return {"kind": self.superpixels, "size": self.superpixel_size, "compactness": self.compactness}

    def check(self) -> None:
        """Raise UsageError for superpixels that are larger than a tile, and for a region raster too many or missing."""
        if (self.superpixels == "raster") != (self.region_raster is not None):
            raise UsageError(
                "regions from a raster take both --superpixels raster and --region-raster FILE; "
                f"superpixels is {self.superpixels} and region_raster is {self.region_raster or 'not given'}"
            )
        if self.region_raster is not None and not Path(self.region_raster).is_file():
            raise InputError(f"the region raster {self.region_raster} does not exist")
        if self.superpixels != "raster" and self.superpixel_size > self.patch:
            raise UsageError(
                f"superpixels of {self.superpixel_size} px are larger than tiles of {self.patch} px; "
                "choose a smaller --superpixel-size"
            )

    @property
    def single(self) -> SingleImage:
        """How one image is fitted on its own."""
        given = SINGLE_IMAGE[self.extractor]
        return SingleImage(self.learning_rate or given.rate, self.steps or given.steps, self.min_labels or given.labels)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch: constant for one image, else falling exponentially over the whole run."""
        if self.per_image:
            return self.single.rate
        return (self.learning_rate or 1e-4) * self.rate_decay ** (epoch / max(1, self.epochs - 1))


@dataclass(frozen=True)
class Tiles:
    """A batch: pixels (n, bands, h, w), valid pixels (n, h, w) bool and regions (n, h, w) int64."""

    pixels: Tensor
    valid: Tensor
    regions: Tensor

    @classmethod
    def of(cls, samples: Samples, indices: Tensor) -> "Tiles":
        """The tiles of some indices."""
        return cls(samples.gather(indices), samples.valid(indices), samples.regions(indices))

    def split(self, size: int) -> Iterator["Tiles"]:
        """The same tiles in batches of at most ``size``."""
        parts = (self.pixels.split(size), self.valid.split(size), self.regions.split(size))
        for pixels, valid, regions in zip(*parts, strict=True):
            yield Tiles(pixels, valid, regions)


def turned(tiles: Tiles) -> Tiles:
    """Each square tile in one of its eight orientations, drawn at random, alike in all it holds."""
    draws = torch.rand(3, len(tiles.pixels)).to(tiles.pixels.device) < 0.5
    return Tiles(_turn(tiles.pixels, draws), _turn(tiles.valid, draws), _turn(tiles.regions, draws))


def _turn(array: Tensor, draws: Tensor) -> Tensor:
    """Flips and a transposition of the last two axes, where drawn: (3, n) bool."""
    flags = draws.view(3, len(array), *[1] * (array.ndim - 1))
    array = torch.where(flags[0], array.flip(-1), array)
    array = torch.where(flags[1], array.flip(-2), array)
    return torch.where(flags[2], array.transpose(-1, -2), array)


def targets_of(scores: Tensor, tiles: Tiles) -> Tensor:
    """The labels that a classifier learns next: its own, refined (n, h, w) int64, without gradient."""
    return refine(scores.detach().argmax(dim=1), tiles.regions, scores.shape[1], tiles.valid)


def wce(scores: Tensor, tiles: Tiles, kind: Weights) -> Tensor:
    """Weighted cross entropy of one classifier's scores (n, classes, h, w) and its refined labels."""
    targets = targets_of(scores, tiles)
    weights = class_weights(targets, scores.shape[1], kind, tiles.valid)
    return weighted_cross_entropy(scores, targets, weights, tiles.valid)


class WcePhase(Phase):
    """The one phase: the losses of all classifiers, added."""

    name, patient = "train", False

    def __init__(self, network: DenseNetwork, settings: WceSettings) -> None:
        self.network, self.settings, self.epochs = network, settings, settings.epochs
        self.epoch, self.finished = 0, False
        learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser: torch.optim.Optimizer
        if settings.per_image:
            self.optimiser = sgd(learned, settings.rate(0), momentum=0.9)
        else:
            self.optimiser = adam(learned, settings.rate(0))

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Set the learning rate."""
        self.epoch, self.finished = epoch, False
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(epoch)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches of about equal size; with per_image this epoch's part of the steps, until it is finished."""
        steps = -(-count // self.settings.batch)
        if not self.settings.per_image:
            yield from shuffled(count, count // steps, generator)
            return
        every, epochs = self.settings.single.steps, self.epochs
        for _ in range(every * (self.epoch + 1) // epochs - every * self.epoch // epochs):
            yield torch.randperm(count, generator=generator)[: self.settings.batch]
            if self.finished:
                return

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One batch's gradients; none once a scene that is fitted alone has few enough labels."""
        tiles = self._augmented(Tiles.of(samples, indices))
        scores = self.network.responses(tiles.pixels)
        loss = torch.stack([self._loss(head, tiles) for head in scores]).sum()
        self.finished = self.settings.per_image and self._few(scores, tiles)
        if not self.finished:
            backward(loss)
        return loss.detach()

    def _loss(self, scores: Tensor, tiles: Tiles) -> Tensor:
        """What one classifier learns by: weighted cross entropy, and the terms that the paper tried beside it."""
        loss = wce(scores, tiles, self.settings.weights)
        if self.settings.continuity:
            loss = loss + self.settings.continuity * continuity(scores, tiles.valid)
        if self.settings.mumford_shah:
            shares = scores.float().softmax(dim=1)
            level, variation = mumford_shah(tiles.pixels, shares, tiles.valid, mean=True)
            loss = loss + self.settings.mumford_shah * (level + variation)
        return loss

    def _few(self, scores: list[Tensor], tiles: Tiles) -> bool:
        """Whether every classifier is down to the smallest number of labels."""
        used = max(len(head.argmax(dim=1)[tiles.valid].unique()) for head in scores)
        return int(largest(torch.tensor(used))) <= self.settings.single.labels

    def _augmented(self, tiles: Tiles) -> Tiles:
        kind = self.settings.augmentation
        if kind in ("geometric", "all"):
            tiles = turned(tiles)
        if kind in ("colour", "all"):
            tiles = Tiles(gain_offset(tiles.pixels, GAIN, OFFSET), tiles.valid, tiles.regions)
        return tiles


class _AllHeads(nn.Module):
    """The network with all its heads in use, whose statistics are to be taken."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network.responses(x)


class Wce(Method):
    """A dense network that learns its own labels, refined by superpixels."""

    remedy = "another --seed, more --classes, --weights inverse, or a smaller --learning-rate"

    def __init__(self, settings: WceSettings, bands: int, size: int) -> None:
        self.settings = settings
        self.score_samples = max(1, FIXED_PIXELS // size**2)
        spec = DenseNetworkSpec(trunk=settings.extractor, heads=settings.classifiers, width=settings.width)
        self.network = DenseNetwork(spec, bands, settings.classes)
        self.phases = [WcePhase(self.network, settings)]

    def fixed(self, samples: Samples, indices: Tensor) -> Tiles:
        """The tiles, their valid pixels and their superpixels."""
        return Tiles.of(samples, indices)

    @torch.no_grad()
    def score(self, sample: Tiles) -> tuple[float, Mapping[str, float]]:
        """The loss of the better classifier, which answers from now on, with its cluster shares.

        One label for all pixels is learned without any loss, so that a collapsed answer counts as much as the uniform
        one, ln K: neither a classifier nor a run is chosen for having collapsed.
        """
        self.network.eval()
        losses: list[list[float]] = [[] for _ in self.network.heads]
        labels: list[list[Tensor]] = [[] for _ in self.network.heads]
        for tiles in sample.split(self.settings.batch):
            for head, scores in enumerate(self.network.responses(tiles.pixels)):
                losses[head].append(float(wce(scores, tiles, self.settings.weights)))
                labels[head].append(scores.argmax(dim=1)[tiles.valid])
        shares = [cluster_shares(torch.cat(found), self.settings.classes) for found in labels]
        results = [self._judged(sum(each) / len(each), s) for each, s in zip(losses, shares, strict=True)]
        best = min(range(len(results)), key=results.__getitem__)
        self.network.chosen.fill_(best)
        return results[best], shares[best]

    def _judged(self, loss: float, shares: Mapping[str, float]) -> float:
        return max(loss, math.log(self.settings.classes)) if self.collapsed(shares) else loss

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Take the batch-norm statistics of the trunk and of every head again, in batches as large as in training."""
        chosen = indices[: max(1, SETTLE_PIXELS // samples.patch**2)]
        settle(_AllHeads(self.network), (samples.gather(chunk) for chunk in chosen.split(self.settings.batch)))

    def collapsed(self, shares: Mapping[str, float]) -> bool:
        """Fewer than three labels, or one for nearly all; training tends to far fewer than ``classes``."""
        return shares["clusters_used"] < min(3, self.settings.classes) or shares["largest_share"] > 0.95
