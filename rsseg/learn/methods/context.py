"""Clusters of pixels by their spectrum and what lies around them: ours, for a map that is good without any setting.

Four steps, each measured alone in docs/quality.md: channels that an analyst would look at (bands free of noise and
correlation, indices, brightness); many fine clusters by k-means; their merging by what they tell of their neighbours
and of the spectrum (``bottleneck``); and a small network that learns the merged clusters and then shares information
between neighbouring pixels (IIC's dense loss: Ji, Henriques and Vedaldi, section 3.3) while it stays with them. The
start keeps rare classes alive that the equal masses of mutual information alone would merge.
"""

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import UsageError
from rsseg.learn.bottleneck import mutual_information, neighbour_counts
from rsseg.learn.gather import summed
from rsseg.learn.losses.iic_dense import iic_dense_loss
from rsseg.learn.methods.base import Method, MethodSettings, Phase, backward, cluster_shares, settle
from rsseg.learn.methods.context_start import DISTANCES, Starter, best_fine, put
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.neighbourhood import WIDTH
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples

LEAST_STEPS, MOST_STEPS = 50, 250
"""Batches of an epoch: a small scene's tiles come several times, at other offsets; of a large one's some are drawn."""

SETTLE_TILES = 64
"""Tiles from which batch-norm statistics are taken when training is done."""

FINE, FINE_OF_FEW, RATIO = 30, 48, 1.6
"""Fine clusters: so many, of few classes more, and at least 1.6 for each class.

Of fewer, rare classes have none of their own that merging could keep; of many more, merging lost the boundaries of
clouds and their shadows."""


class ContextSettings(MethodSettings):
    """Settings of context; they are its own, no paper has it."""

    dense: ClassVar[bool] = True
    masks: ClassVar[bool] = True

    channels: tuple[str, ...] = Field(
        ("auto",),
        min_length=1,
        description="All that the network sees; auto: components, indices, brightness, and means without clouds.",
    )
    denoise: bool = Field(True, description="Smooth the bands first, edges excepted.")
    patch: int = Field(128, ge=8, description="Side of a tile.")
    stride: int = Field(64, ge=1, description="Between tiles.")
    epochs: int = Field(3, ge=0, description=f"Of {LEAST_STEPS} to {MOST_STEPS} batches each, with mutual information.")
    warm_epochs: int = Field(2, ge=1, description="Before them, on the merged clusters alone.")
    fine: int | None = Field(
        None,
        ge=2,
        description=f"Clusters before merging; by default {FINE}, {FINE_OF_FEW} for few classes, {RATIO} for each.",
    )
    starts: int = Field(1, ge=1, description="Fine clusterings, of which that stays whose merged clusters tell most.")
    spectral_weight: float = Field(3.0, ge=0, description="Of spectra, against neighbours, when clusters are merged.")
    information: float = Field(1.0, ge=0, description="Weight of mutual information against staying with the start.")
    entropy_weight: float = Field(1.0, gt=0, description="IIC's lambda: above 1, clusters are kept more equal.")
    balance_tolerance: float = Field(
        0.0, ge=0, description="Nats below ln K within which unequal clusters cost nothing."
    )
    displacement: int = Field(3, ge=1, description="Largest distance, in pixels, of neighbours that share information.")
    crop: int = Field(48, ge=8, description="Side of the part of a tile that a step trains on.")
    batch: int = Field(8, ge=1, description="Tiles in a batch.")
    learning_rate: float = Field(3e-3, gt=0)
    noise: float = Field(0.2, ge=0, description="Deviation of what is added to each pixel's channels in training.")
    width: int = Field(WIDTH, ge=1, description="Channels of the network.")

    def check(self) -> None:
        """Raise UsageError for displacements that leave a crop without partners."""
        if self.displacement >= min(self.crop, self.patch):
            raise UsageError(f"--displacement {self.displacement} leaves a --crop of {self.crop}; choose a smaller one")

    @property
    def fine_clusters(self) -> int:
        """How many clusters there are before merging."""
        return self.fine or max(FINE_OF_FEW if self.few_classes else FINE, math.ceil(RATIO * self.classes))


class ContextPhase(Phase):
    """Training on the start's labels, with the information between neighbours where ``information`` is above 0."""

    patient = False

    def __init__(
        self, name: str, epochs: int, method: "Context", information: float, rate: tuple[float, float]
    ) -> None:
        """``rate``: the learning rate at the phase's first and last step, in parts of the setting."""
        self.name, self.epochs, self.method, self.information, self.rate = name, epochs, method, information, rate
        self.optimiser = adam(method.network.parameters(), method.settings.learning_rate)
        self.epoch, self.done, self.steps = 0, 0, LEAST_STEPS

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Fit the start if there is none yet; the schedule follows from the epoch."""
        self.epoch, self.done = epoch, 0
        if not self.method.starter.fitted:
            self.method.begin(samples, int(torch.randint(1 << 31, (1,))))

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches; a few tiles come again until there are ``LEAST_STEPS``, many end at ``MOST_STEPS``."""
        size = self.method.settings.batch
        passes = max(1, math.ceil(LEAST_STEPS * size / count))
        order = torch.cat([torch.randperm(count, generator=generator) for _ in range(passes)])
        self.steps = min(max(LEAST_STEPS, count // size), MOST_STEPS)
        for first in range(0, self.steps * size, size):
            yield order[first : first + size]

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One batch's gradients."""
        settings = self.method.settings
        self._set_rate(settings.learning_rate)
        x, valid = crops(samples, indices, settings.crop)
        labels = self.method.starter(x).masked_fill(~valid, -1)
        scores = self.method.network(x + settings.noise * torch.randn_like(x)).float()
        apart = functional.cross_entropy(scores, labels, ignore_index=-1, reduction="sum")
        loss = summed(apart) / summed(valid.sum()).clamp_min(1)
        if self.information:
            p = functional.softmax(scores, dim=1)
            loss = loss + self.information * iic_dense_loss(
                p,
                p,
                valid,
                displacement=settings.displacement,
                weight=settings.entropy_weight,
                collapsed=True,
                tolerance=settings.balance_tolerance,
            )
        return backward(loss)

    def _set_rate(self, rate: float) -> None:
        """A half cosine over the phase, from its first rate to its last."""
        place = (self.epoch + self.done / self.steps) / max(1, self.epochs)
        first, last = self.rate
        now = last + (first - last) * (1 + math.cos(math.pi * min(1.0, place))) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate * now
        self.done += 1


def crops(samples: Samples, indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Parts (n, channels, size, size) of tiles at random places in them, and their valid pixels (n, size, size)."""
    size = min(size, samples.patch)
    slack = (samples.patch - size) // 2
    offsets = torch.randint(-slack, slack + 1, (2, len(indices))).T
    return samples.gather(indices, size, offsets), samples.valid(indices, size, offsets)


class Context(Method):
    """Pixels by spectrum and surroundings: fine clusters, merged, then learned by a small network."""

    score_samples = 64
    remedy = "another --seed, --restarts 3, a higher --spectral-weight, or fewer --classes"

    def __init__(self, settings: ContextSettings, channels: int, size: int) -> None:
        self.settings = settings
        spec = DenseNetworkSpec(trunk="neighbourhood", width=settings.width)
        self.network = DenseNetwork(spec, channels, settings.classes)
        self.starter = Starter(settings.fine_clusters, channels)
        self.phases = [ContextPhase("warm start", settings.warm_epochs, self, 0.0, (1.0, 1.0))]
        if settings.epochs:
            self.phases.append(ContextPhase("information", settings.epochs, self, settings.information, (1.0, 0.02)))

    @property
    def module(self) -> nn.Module:
        """The network and the start that it learns from."""
        return nn.ModuleDict({"network": self.network, "starter": self.starter})

    def begin(self, samples: Samples, seed: int) -> None:
        """Fit the fine clusters and merge them."""
        settings = self.settings
        fine, classes = settings.fine_clusters, settings.classes
        put(self.starter, best_fine(samples, fine, settings.spectral_weight, classes, seed, settings.starts), classes)

    def fixed(self, samples: Samples, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Tiles and their valid pixels."""
        return samples.gather(indices), samples.valid(indices)

    @torch.no_grad()
    def score(self, sample: tuple[Tensor, Tensor]) -> tuple[float, Mapping[str, float]]:
        """Minus the information between neighbours (nats) and the explained part of the channels' variance."""
        self.network.eval()
        x, valid = sample
        labels = torch.cat([self.network(tile).argmax(dim=1) for tile in x.split(4)]).masked_fill(~valid, -1)
        shares = cluster_shares(labels[valid], self.settings.classes)
        return -quality(x, labels, self.settings.classes), shares

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Take the batch-norm statistics again, of some whole tiles."""
        settle(self.network, (samples.gather(chunk) for chunk in indices[:SETTLE_TILES].split(4)))


def quality(x: Tensor, labels: Tensor, classes: int) -> float:
    """What a map tells without any reference: information of neighbours, in nats, and of the channels' variance.

    ``x``: channels (n, c, h, w); ``labels``: (n, h, w) int64, below 0 where invalid. The second is a part in [0, 1].
    """
    near = [far for far in DISTANCES if far < labels.shape[1]]
    information = mutual_information(neighbour_counts(labels, classes, near).cpu().numpy())
    pixels = x.permute(0, 2, 3, 1)[labels >= 0].double()
    known = labels[labels >= 0]
    sums = torch.zeros(classes, pixels.shape[1], dtype=torch.float64, device=x.device).index_add_(0, known, pixels)
    sizes = torch.bincount(known, minlength=classes).double()
    between = (sums**2 / sizes.clamp_min(1)[:, None]).sum() - (pixels.sum(dim=0) ** 2).sum() / max(1, len(pixels))
    whole = (pixels**2).sum() - (pixels.sum(dim=0) ** 2).sum() / max(1, len(pixels))
    return information + float(between / whole.clamp_min(1e-12))
