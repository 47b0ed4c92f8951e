"""RECAL (Saha and Mukhopadhyay, 2019): a classifier's network, trained by entropies instead of labels.

What the paper gives: VGG16-BN from ImageNet, linear + batch norm + ReLU + softmax with a Xavier start, SGD with
learning rate 1e-4 and momentum 0.9, input standardised by the data set, K = 10 on LISS-IV. What it leaves open is ours:
lambda, the batch, the accumulation, the number of epochs and when to stop.
"""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsseg.errors import TrainingError
from rsseg.learn.gather import share
from rsseg.learn.losses.recal import Accumulator, recal_loss
from rsseg.learn.methods.base import Method, MethodSettings, Phase, backward, cluster_shares, shuffled
from rsseg.learn.methods.kmeans import answer_by_kmeans
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.vgg import Cut, VggFeatures, start, weights_file
from rsseg.learn.optimisers import sgd
from rsseg.learn.samples import Samples

PAPER_RATE, RANDOM_RATE = 1e-4, 3e-2
"""SGD's learning rate from ImageNet's weights (the paper), and from random ones (ours, see benchmarks/RESULTS.md)."""


class RecalSettings(MethodSettings):
    """Settings of RECAL; what the paper gives is the default, what it leaves open is marked as ours."""

    files: ClassVar[tuple[str, ...]] = ("weights",)

    epochs: int = Field(20, ge=1, description="Ours: the paper gives none.")
    learning_rate: float | None = Field(
        None, gt=0, description="By default the paper's 1e-4 from trained weights, and ours, 0.03, from random ones."
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    entropy_weight: float = Field(1.0, gt=0, description="The paper's lambda, whose value it does not give.")
    batch: int = Field(256, ge=2, description="Ours: samples in a mini-batch (M of Algorithm 2).")
    accumulate: int = Field(1, ge=1, description="Ours: mini-batches in one update (t of Algorithm 2).")
    accumulation: Literal["last", "exact"] = Field(
        "exact", description="last: Algorithm 2, the gradient of the last mini-batch; exact: two passes, of all."
    )
    weights: str = Field("random", description="random, imagenet, or a file of VGG16-BN.")
    cut: Cut = "scene"
    labels_from: Literal["classifier", "kmeans"] = Field(
        "classifier", description="kmeans: cluster the learned features instead (the paper's Table 7)."
    )

    def check(self) -> None:
        """Raise InputError if the weights to start from are not there."""
        if self.weights != "random":
            weights_file(self.weights)

    @property
    def rate(self) -> float:
        """The learning rate in use. With 1e-4 a random start hardly leaves the uniform answer in 10 epochs."""
        return self.learning_rate or (RANDOM_RATE if self.weights == "random" else PAPER_RATE)


class RecalPhase(Phase):
    """The one phase: SGD on lambda H_phi - H_psi."""

    name = "train"

    def __init__(self, network: PatchNetwork, settings: RecalSettings) -> None:
        self.network, self.settings, self.epochs = network, settings, settings.epochs
        self.optimiser = sgd(network.parameters(), settings.rate, settings.momentum)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled groups of ``accumulate`` mini-batches; all samples in one where there are fewer.

        Raises: TrainingError for a single sample, of which batch norm has no statistics.
        """
        if count < 2:
            raise TrainingError("RECAL trains on two or more patches, and there is one; choose a smaller --stride")
        size = min(count, self.settings.batch * self.settings.accumulate)
        if size % self.settings.batch == 1:  # nor has it of a last mini-batch of one
            size -= 1
        yield from shuffled(count, size, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One update's gradients: Algorithm 1, Algorithm 2, or the exact gradient of the accumulated batch."""
        chunks = [samples.gather(chunk) for chunk in indices.split(share(self.settings.batch))]
        if len(chunks) == 1:
            loss = recal_loss(self._probabilities(chunks[0]), self.settings.entropy_weight)
            return backward(loss)
        if self.settings.accumulation == "last":
            return self._algorithm_2(chunks)
        return self._two_passes(chunks)

    def _algorithm_2(self, chunks: list[Tensor]) -> Tensor:
        """The paper's: only the last mini-batch carries a gradient."""
        sums = Accumulator(self.network.classes, chunks[0].device)
        with torch.no_grad():
            for chunk in chunks[:-1]:
                sums.add(self._probabilities(chunk))
        loss = sums.loss(self._probabilities(chunks[-1]), self.settings.entropy_weight)
        return backward(loss)

    def _two_passes(self, chunks: list[Tensor]) -> Tensor:
        """All sums first, then each mini-batch's share of the gradient.

        Batch norm uses each mini-batch's own statistics in both passes, so the value and the gradient are those of
        one large batch only where batch norm is frozen; stored statistics are updated in the second pass alone.
        """
        sums = Accumulator(self.network.classes, chunks[0].device)
        with torch.no_grad(), unrecorded(self.network):
            for chunk in chunks:
                sums.add(self._probabilities(chunk))
        for chunk in chunks:
            backward(sums.surrogate(self._probabilities(chunk), self.settings.entropy_weight))
        return self.settings.entropy_weight * sums.phi / sums.count + _negative_entropy(sums.psi)

    def _probabilities(self, x: Tensor) -> Tensor:
        return self.network.head.probabilities(self.network(x))


def _negative_entropy(psi: Tensor) -> Tensor:
    mean = psi / psi.sum()
    return (mean * mean.clamp_min(torch.finfo(mean.dtype).tiny).log()).sum()


class unrecorded:
    """Forward passes in training mode that leave the stored batch-norm statistics as they are."""

    def __init__(self, network: nn.Module) -> None:
        self.norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]

    def __enter__(self) -> None:
        self.momenta = [norm.momentum for norm in self.norms]
        for norm in self.norms:
            norm.momentum = 0.0

    def __exit__(self, *problem: object) -> None:
        for norm, momentum in zip(self.norms, self.momenta, strict=True):
            norm.momentum = momentum


class Recal(Method):
    """VGG16-BN features and the entropy head, trained in one phase."""

    def __init__(self, settings: RecalSettings, bands: int, size: int) -> None:
        self.settings, self.bands, self.size = settings, bands, size
        spec = PatchNetworkSpec(features="vgg16-bn", head="entropy", cut=settings.cut)
        self.network = PatchNetwork(spec, bands, size, settings.classes)
        if isinstance(self.network.features, VggFeatures):
            start(self.network.features, settings.weights)
        self.phases = [RecalPhase(self.network, settings)]

    @torch.no_grad()
    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        """Eq. 3 on a fixed sample in evaluation mode, with the cluster shares."""
        self.network.eval()
        p = torch.cat([self.network.predict(chunk)[0] for chunk in sample.split(1024)])
        loss = float(recal_loss(p.double(), self.settings.entropy_weight))
        return loss, cluster_shares(p.argmax(dim=1), self.settings.classes)

    def finish(self, samples: Samples, seed: int) -> None:
        """Replace the classifier by k-means centres of the learned features where that was asked for (Table 7)."""
        if self.settings.labels_from == "kmeans":
            answer_by_kmeans(self.network, samples, self.settings.classes, seed)
