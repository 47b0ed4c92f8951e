"""DDC (Kampffmeyer et al., 2019): a network whose hidden layer and answer are trained by a divergence of clusters.

What the paper gives: both networks, Adam with learning rate 1e-3 (convolutions) or 1e-5 (fully connected), batches of
100, 70 000 steps, three terms of equal weight, and the choice among 20 runs by the loss. What it leaves open, or what
its group's reference code does otherwise, is an option here.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from rsseg.errors import TrainingError, UsageError
from rsseg.learn.gather import stacked
from rsseg.learn.losses.ddc import Convention, Rule, ddc_loss, ddc_terms, wide
from rsseg.learn.methods.base import Method, MethodSettings, Phase, backward, cluster_shares, shuffled
from rsseg.learn.networks.lenet import LENET_LEAST
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples

LENET_RATE, MLP_RATE = 1e-3, 1e-5
"""Adam's learning rates of section 4.6, for the convolutional network and for the fully connected one."""

SCORE_CHUNK = 256
"""Samples in one kernel matrix when a run is scored, whatever the training batch."""


class DdcSettings(MethodSettings):
    """Settings of DDC; what the paper gives is the default unless a description says otherwise."""

    epochs: int = Field(20, ge=1, description="Ours: the paper trains for 70 000 steps.")
    network: Literal["auto", "lenet", "mlp"] = Field(
        "auto", description="lenet: convolutions; mlp: fully connected, for spectra; auto: mlp below 4 px."
    )
    learning_rate: float | None = Field(
        None, gt=0, description="Adam's. By default the paper's 1e-3 for lenet, and 1e-5 for mlp."
    )
    batch: int = Field(100, ge=2, description="Samples in a batch; the kernel matrix grows with its square.")
    sigma: Rule = Field(
        "reference",
        description="paper: sigma = factor median distance; reference, ours: sigma^2 = factor median squared distance.",
    )
    sigma_factor: float = Field(0.15, gt=0, description="The factor of the kernel's bandwidth.")
    prefactor: Rule = Field(
        "paper", description="Before the sum over pairs of clusters; paper: 1 / K; reference: mean."
    )
    pairs: Literal["mean", "sum"] = Field("mean", description="Ours: the mean of the inner products; the paper's: sum.")
    divergence_weight: float = Field(1.0, ge=0)
    orthogonality_weight: float = Field(1.0, ge=0, description="Of the term that asks for clusters of equal size.")
    corner_weight: float = Field(1.0, ge=0)

    def check(self) -> None:
        """Raise UsageError for a patch that is too small for the network, and for a loss without terms."""
        if self.network == "lenet" and self.patch < LENET_LEAST:
            raise UsageError(
                f"lenet needs patches of {LENET_LEAST} px or more; choose --network mlp for {self.patch} px"
            )
        if not any(self.convention.weights):
            raise UsageError("all three weights of the loss are 0; give at least one of them a positive one")

    @property
    def features(self) -> Literal["lenet", "mlp"]:
        """The network in use."""
        if self.network == "auto":
            return "lenet" if self.patch >= LENET_LEAST else "mlp"
        return self.network

    @property
    def rate(self) -> float:
        """The learning rate in use."""
        return self.learning_rate or (LENET_RATE if self.features == "lenet" else MLP_RATE)

    @property
    def convention(self) -> Convention:
        """How the loss is computed."""
        return Convention(
            sigma=self.sigma,
            factor=self.sigma_factor,
            prefactor=self.prefactor,
            pairs=self.pairs,
            divergence_weight=self.divergence_weight,
            orthogonality_weight=self.orthogonality_weight,
            corner_weight=self.corner_weight,
        )


class DdcPhase(Phase):
    """The one phase: Adam on eq. 4 (Algorithm 1)."""

    name = "train"

    def __init__(self, network: PatchNetwork, settings: DdcSettings) -> None:
        self.network, self.settings, self.epochs = network, settings, settings.epochs
        self.convention = settings.convention
        self.optimiser = adam(network.parameters(), settings.rate)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches; all samples in one where there are fewer.

        Raises: TrainingError for a single sample, which has no pair.
        """
        if count < 2:
            raise TrainingError("DDC trains on two or more patches, and there is one; choose a smaller --stride")
        yield from shuffled(count, min(count, self.settings.batch), generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """The gradients of one batch's loss; under several processes, of the batches of all of them as one."""
        hidden = self.network.embed(samples.gather(indices))
        p = self.network.head.probabilities(self.network.head(hidden))
        loss = ddc_loss(stacked(p), stacked(wide(hidden)), self.convention)
        return backward(loss)


class Ddc(Method):
    """Deep divergence-based clustering, of patches or of spectra."""

    remedy = "another --seed, --restarts 5, or more --epochs"

    def __init__(self, settings: DdcSettings, bands: int, size: int) -> None:
        self.settings, self.bands, self.size = settings, bands, size
        spec = PatchNetworkSpec(features=settings.features, head="linear")
        self.network = PatchNetwork(spec, bands, size, settings.classes)
        self.phases = [DdcPhase(self.network, settings)]

    @torch.no_grad()
    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        """Eq. 4 in evaluation mode, with its terms and the cluster shares.

        A kernel of the whole sample would be large, so the loss is the mean over parts of about ``SCORE_CHUNK``.
        """
        self.network.eval()
        parts = sample.tensor_split(-(-len(sample) // SCORE_CHUNK))
        terms, labels = [], []
        for part in parts:
            hidden = self.network.embed(part)
            p = self.network.head.probabilities(self.network.head(hidden))
            terms.append(torch.stack(ddc_terms(p, hidden, self.settings.convention)).double())
            labels.append(p.argmax(dim=1))
        mean = torch.stack(terms).mean(dim=0).tolist()
        named = dict(zip(("divergence", "orthogonality", "corners"), mean, strict=True))
        loss = sum(weight * term for weight, term in zip(self.settings.convention.weights, mean, strict=True))
        return loss, {**cluster_shares(torch.cat(labels), self.settings.classes), **named}
