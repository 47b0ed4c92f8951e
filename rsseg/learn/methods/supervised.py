"""A linear head trained on labels, over a trunk that learned without (semi-supervised fine-tuning; Ji, Henriques and
Vedaldi, "Invariant Information Clustering for Unsupervised Image Classification and Segmentation", section 4.1).

What the paper gives: the trunk is copied from an over-clustering network, the head is one linear layer of the classes
with a random start, the loss is the logistic one, Adam. Ours: the trunk stays as it is unless asked, and keeps its
batch-norm statistics also when it is tuned, since they come from the whole scene and labels are few; epochs, batch and
learning rates.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from rsseg.learn.methods.base import Method, MethodSettings, Phase, cluster_shares, shuffled
from rsseg.learn.networks.build import build_network
from rsseg.learn.networks.dense import DenseNetwork, upsampled
from rsseg.learn.networks.patch import PatchNetwork
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples

HEAD_RATE, TUNING_RATE = 1e-2, 1e-4
"""Adam's learning rate of a head alone (ours), and of the whole network (the paper's, for IIC)."""

LEAST_UPDATES = 10
"""An epoch is one pass over the labels, or as many whole ones as make so many updates."""

CHUNK = 256
CACHE_BYTES = 1 << 30
"""Features of a frozen trunk are computed once where they take no more."""

UNLABELLED = -1


class SupervisedSettings(MethodSettings):
    """Settings of a head trained on labels; ``patch`` and ``normalise`` are those of the model it is put on."""

    epochs: int = Field(100, ge=1, description="Passes over the labels.")
    learning_rate: float | None = Field(None, gt=0, description="By default 0.01, or 0.0001 with --no-freeze.")
    batch: int = Field(32, ge=1, description="Labelled patches, or tiles, in a batch.")
    freeze: bool = Field(True, description="Train the head alone, and leave the trunk as it is.")

    @property
    def rate(self) -> float:
        """The learning rate in use."""
        return self.learning_rate or (HEAD_RATE if self.freeze else TUNING_RATE)


class SupervisedPhase(Phase):
    """Adam on the cross entropy of the labels, in evaluation mode: batch norm and dropout stay as for labelling."""

    name = "labels"
    patient = False

    def __init__(self, network: PatchNetwork | DenseNetwork, labels: Tensor, settings: SupervisedSettings) -> None:
        self.network, self.labels, self.settings, self.epochs = network, labels, settings, settings.epochs
        self.features: Tensor | None = None
        if settings.freeze:
            network.requires_grad_(False)
            head_of(network).requires_grad_(True)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = adam(parameters, settings.rate)

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Lower the rate linearly, keep the stored statistics, and compute the features of a frozen trunk once."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate * (1 - epoch / self.epochs)
        self.network.eval()
        if self.features is None and self._cached(samples):
            self.features = features_of(self.network, samples)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches, all samples in one where there are fewer; passes over few labels are repeated."""
        size = min(count, self.settings.batch)
        for _ in range(-(-LEAST_UPDATES // (count // size))):
            yield from shuffled(count, size, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One batch's gradients."""
        if self.features is None:
            scores = self.network(samples.gather(indices))
        else:
            scores = head_of(self.network)(self.features[indices])
        loss = cross_entropy(scores, self.labels[indices].long())
        loss.backward()
        return loss.detach()

    def _cached(self, samples: Samples) -> bool:
        if not self.settings.freeze or not isinstance(self.network, PatchNetwork):
            return False
        return bool(4 * self.network.features.width * len(samples) <= CACHE_BYTES)


class Supervised(Method):
    """The trunk of a trained network under a new linear head, whose clusters are the classes of labels."""

    score_samples = 1024

    def __init__(
        self, settings: SupervisedSettings, bands: int, start: PatchNetwork | DenseNetwork, labels: Tensor
    ) -> None:
        """``labels``: by sample number on the device of training, the class (n,), 0 to classes - 1, of any signed
        integer type; for a dense network that of each pixel, (n, patch, patch), with -1 where there is none.
        """
        self.settings, self.labels = settings, labels
        self.network = with_new_head(start, bands, settings.patch, settings.classes)
        self.phases = [SupervisedPhase(self.network, labels, settings)]

    def fixed(self, samples: Samples, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Labelled samples and their labels, fewer of them where they are tiles."""
        if isinstance(self.network, DenseNetwork):
            indices = indices[:32]
        return samples.gather(indices), self.labels[indices].long()

    @torch.no_grad()
    def score(self, sample: tuple[Tensor, Tensor]) -> tuple[float, Mapping[str, float]]:
        """Cross entropy on some of the training labels, with the shares and the accuracy of the answers there."""
        self.network.eval()
        size = CHUNK if isinstance(self.network, PatchNetwork) else 1
        scores = torch.cat([self._full(self.network(x)) for x in sample[0].split(size)])
        labels, known = sample[1], sample[1] != UNLABELLED
        answers = scores.argmax(dim=1)[known]
        right = round(float((answers == labels[known]).double().mean()), 6)
        shares = cluster_shares(answers, self.settings.classes)
        return float(cross_entropy(scores.double(), labels)), {**shares, "training_accuracy": right}

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Nothing: the statistics stay those of the model that training started from."""

    def collapsed(self, shares: Mapping[str, float]) -> bool:
        """Never: labels may well be of one class for the most part."""
        return False

    def _full(self, scores: Tensor) -> Tensor:
        size = self.settings.patch
        return upsampled(scores, (size, size)) if scores.ndim == 4 else scores


def with_new_head(start: PatchNetwork | DenseNetwork, bands: int, size: int, classes: int) -> Any:
    """The trunk of ``start``, its tensors copied, under a linear head with a random start."""
    spec = start.spec.model_copy(update={"head": "linear", "heads": 1})
    made = build_network(spec, bands, size, classes)
    old = ("head.", "heads.", "chosen")
    trunk = {name: tensor for name, tensor in start.state_dict().items() if not name.startswith(old)}
    made.load_state_dict(trunk, strict=False)
    return made


def head_of(network: PatchNetwork | DenseNetwork) -> Any:
    """The head that answers."""
    return network.head if isinstance(network, PatchNetwork) else network.heads[int(network.chosen)]


@torch.no_grad()
def features_of(network: PatchNetwork | DenseNetwork, samples: Samples) -> Tensor:
    """Features (n, width) of all samples, as the network stands."""
    every = torch.arange(len(samples))
    return torch.cat([network.embed(samples.gather(chunk)).float() for chunk in every.split(CHUNK)])


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of scores (n, classes), or (n, classes, h', w') stretched over the labels, where labelled.

    Coarse scores are stretched before the softmax, whose logarithm is then finite; labelling stretches probabilities.
    """
    if scores.ndim == 4:
        scores = upsampled(scores, (labels.shape[1], labels.shape[2]))
    wide = scores if scores.dtype == torch.float64 else scores.float()
    return functional.cross_entropy(wide, labels, ignore_index=UNLABELLED)
