"""IIC on patches (Ji, Henriques and Vedaldi, "Invariant Information Clustering for Unsupervised Image Classification
and Segmentation", sections 3.1, 3.2 and 4.1): clusters that a patch shares with a changed copy or a neighbour.

What the paper gives: the loss, Adam with learning rate 1e-4, five sub-heads, up to five repeats, an auxiliary head of
more clusters in alternate epochs, Sobel filtering, a VGG-like or ResNet base. Ours: amounts of the changes for scenes,
the batch, how often each head passes, and to choose the sub-head and the run by the loss of one fixed sample of pairs,
in evaluation mode.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsseg.errors import TrainingError, UsageError
from rsseg.learn.augment import Geometry, Pairs
from rsseg.learn.losses.iic import iic_loss
from rsseg.learn.methods.base import Method, Phase, backward, cluster_shares
from rsseg.learn.methods.views import ViewSettings, of_some
from rsseg.learn.networks.heads import SubHeads
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples

OVER = 5
"""Clusters of the auxiliary head for each of the main one's (the authors' 50 for 10)."""

FEATURES = {"vgg": "clusternet", "resnet": "resnet34"}


class IicSettings(ViewSettings):
    """Settings of IIC on patches; the paper's values where it gives them."""

    patch: int = Field(16, ge=1)
    epochs: int = Field(20, ge=1, description="Ours: the paper gives none.")
    learning_rate: float = Field(1e-4, gt=0)
    batch: int = Field(128, ge=2, description="Different patches in a batch; each makes --repeats pairs.")
    repeats: int = Field(5, ge=1, description="The paper's r: pairs that a patch makes in a batch.")
    heads: int = Field(5, ge=1, description="The paper's h: sub-heads, of which the one of lowest loss answers.")
    over_classes: int | None = Field(None, ge=2, description="Clusters of the auxiliary head; by default 5 x classes.")
    main_passes: int = Field(1, ge=1, description="Passes of the main head over the patches in an epoch.")
    over_passes: int = Field(1, ge=0, description="Passes of the auxiliary head in an epoch; 0: there is none.")
    first: Literal["main", "over"] = Field(
        "over",
        description="Which head passes first in an epoch; ours: the main one last, on the features as they stay.",
    )
    labels_from: Literal["main", "over"] = Field("main", description="Whose clusters are the map's.")
    entropy_weight: float = Field(1.0, gt=0, description="The paper's lambda: above 1 for clusters of equal size.")
    network: Literal["vgg", "resnet"] = "vgg"
    width: int = Field(64, ge=1, description="Channels of the first convolution.")
    sobel: bool = Field(False, description="Add the gradients of the mean of all bands to the bands.")
    pairs: Literal["transform", "neighbour", "both"] = Field(
        "both", description="transform: a changed copy; neighbour: up to one patch away; both: a changed neighbour."
    )
    rotation: float = Field(30.0, ge=0, le=180, description="Degrees to either side.")
    zoom: float = Field(0.2, ge=0, lt=1, description="Part by which a window may be larger or smaller.")
    shear: float = Field(10.0, ge=0, lt=90, description="Degrees to either side.")
    shift: float = Field(0.1, ge=0, description="In parts of the patch.")
    flips: bool = Field(True, description="Left-right and top-bottom; not for digits.")

    def check(self) -> None:
        """Raise UsageError for an auxiliary head that cannot give the labels."""
        if self.labels_from == "over" and self.over > 255:
            raise UsageError(f"--labels-from over makes {self.over} clusters of at most 255; choose --over-classes")
        if self.labels_from == "over" and not self.over_passes:
            raise UsageError("--labels-from over needs the auxiliary head; choose --over-passes 1 or more")

    @property
    def over(self) -> int:
        """Clusters of the auxiliary head."""
        return self.over_classes or OVER * self.classes

    def pairing(self) -> Pairs:
        """How the other half of a pair is made. Neighbours alone are left as they are."""
        if self.pairs == "neighbour":
            return Pairs(None, None, neighbours=True)
        geometry = Geometry(self.rotation, self.zoom, self.shear, self.shift, self.flips)
        return Pairs(geometry, self.photometry(), neighbours=self.pairs == "both")


class IicPhase(Phase):
    """The one phase: Adam on the mean loss of the sub-heads of one head, the heads taking turns in an epoch.

    Patches and their changed copies go through the network together, so that batch norm sees both as one batch, as it
    does when the model labels; the authors' two passes normalise each half by itself. A patch that makes several
    pairs goes through once, since its half is the same in all of them.
    """

    name = "train"

    def __init__(self, network: PatchNetwork, over: SubHeads, settings: IicSettings) -> None:
        self.network, self.over, self.settings, self.epochs = network, over, settings, settings.epochs
        self.pairs, self.head = settings.pairing(), over
        self.main_samples: Tensor | None = None
        parameters = [*network.parameters(), *over.parameters()]
        self.optimiser = adam(parameters, settings.learning_rate)

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Find the samples of the main head where it has scenes of its own."""
        if self.settings.main_scenes:
            self.main_samples = samples.of_first(self.settings.main_scenes)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches of each pass, the head set before each; all samples in one where there are fewer.

        Raises: TrainingError for a single sample, of which no clusters can be told apart.
        """
        if count < 2:
            raise TrainingError("IIC trains on two or more patches, and there is one; choose a smaller --stride")
        turns = [(self.over, self.settings.over_passes), (self.network.head, self.settings.main_passes)]
        for head, passes in turns if self.settings.first == "over" else reversed(turns):
            self.head = head
            for _ in range(passes):
                yield from of_some(
                    self.main_samples if head is not self.over else None, count, self.settings.batch, generator
                )

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One batch's gradients."""
        first = samples.gather(indices)
        second = self.pairs.draw(samples, indices.repeat(self.settings.repeats))
        p = probabilities(self.head, self.network.embed(torch.cat([first, second])))
        before = p[:, : len(first)].repeat(1, self.settings.repeats, 1)
        loss = iic_loss(
            before, p[:, len(first) :], self.settings.entropy_weight, self.settings.balance_tolerance
        ).mean()
        return backward(loss)


def probabilities(head: SubHeads, features: Tensor) -> Tensor:
    """(heads, n, classes) float32 of features (n, width)."""
    return torch.softmax(head.all(features).float(), dim=2)


class Iic(Method):
    """A base network with a main and an auxiliary over-clustering head, trained in turns."""

    def __init__(self, settings: IicSettings, bands: int, size: int) -> None:
        self.settings, self.bands, self.size = settings, bands, size
        spec = PatchNetworkSpec(
            features=FEATURES[settings.network],
            head="sub-heads",
            heads=settings.heads,
            front="sobel" if settings.sobel else "none",
            width=settings.width,
        )
        self.network = PatchNetwork(spec, bands, size, settings.classes)
        self.over = SubHeads(self.network.features.width, settings.over, settings.heads)
        self.phases = [IicPhase(self.network, self.over, settings)]

    @property
    def module(self) -> nn.Module:
        """The network and the auxiliary head."""
        return nn.ModuleDict({"network": self.network, "over": self.over})

    @property
    def answer(self) -> SubHeads:
        """The head whose clusters are the map's."""
        return self.over if self.settings.labels_from == "over" else self.network.head

    def fixed(self, samples: Samples, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The sample's patches and, drawn once, the other halves of their pairs."""
        generator = torch.Generator().manual_seed(0)
        return samples.gather(indices), self.settings.pairing().draw(samples, indices, generator)

    @torch.no_grad()
    def score(self, sample: tuple[Tensor, Tensor]) -> tuple[float, Mapping[str, float]]:
        """The lowest loss of a sub-head on fixed pairs, in evaluation mode; that sub-head answers from now on."""
        self.network.eval()
        head = self.answer
        first, second = (
            torch.cat([probabilities(head, self.network.embed(x)) for x in half.split(1024)], dim=1) for half in sample
        )
        losses = iic_loss(
            first.double(), second.double(), self.settings.entropy_weight, self.settings.balance_tolerance
        )
        head.chosen.copy_(losses.argmin())
        labels = first[int(head.chosen)].argmax(dim=1)
        return float(losses.min()), cluster_shares(labels, first.shape[2])

    def finish(self, samples: Samples, seed: int) -> None:
        """Put the auxiliary head in the main one's place where the labels are to be its own."""
        if self.settings.labels_from == "over":
            self.network.head, self.network.classes = self.over, self.settings.over
