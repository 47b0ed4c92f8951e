"""IIC for segmentation (Ji, Henriques and Vedaldi, "Invariant Information Clustering for Unsupervised Image
Classification and Segmentation", sections 3.3 and 4.2): clusters of pixels that a tile shares with its changed copy, at
all small displacements.

What the paper and the authors' code give: the loss and its displacements up to 10 pixels, the network, Adam, tiles of
200 pixels, an auxiliary head of more clusters that takes turns with the main one by whole passes, and how the copy is
changed (colour, horizontal flips). Ours: smaller tiles, which are moved at random in every pass since one scene has few
of them, changes of bands without colours, and to choose head and run by the loss of fixed pairs, in evaluation mode.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from rsseg.errors import UsageError
from rsseg.learn.augment import Geometry
from rsseg.learn.losses.iic_dense import iic_dense_loss
from rsseg.learn.methods.base import Method, Phase, backward, cluster_shares, settle
from rsseg.learn.methods.views import ViewSettings, of_some
from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec, upsampled
from rsseg.learn.networks.net10a import Net10aHead
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples
from rsseg.learn.tile_pairs import Flips, TilePair, TilePairs

OVER = 3
"""Clusters of the auxiliary head for each of the main one's; the paper says 3 to 5, and cost grows with the square."""

SETTLE_TILES = 256
"""Tiles from which batch-norm statistics are taken when training is done."""

JITTER = 0.1
"""The authors' amount of brightness, contrast, saturation and hue for Potsdam."""


class IicDenseSettings(ViewSettings):
    """Settings of IIC for segmentation; the paper's values where it gives them."""

    dense: ClassVar[bool] = True

    patch: int = Field(128, ge=2, description="Side of a tile, even; the paper's is 200.")
    stride: int = Field(64, ge=1, description="Between tiles, which are also moved at random by up to half of it.")
    epochs: int = Field(20, ge=1, description="Ours: the authors' best results came after 4 to 5 of 8550 tiles.")
    learning_rate: float = Field(1e-4, gt=0, description="The paper's; the authors' commands for Potsdam have 1e-5.")
    batch: int = Field(8, ge=1, description="Tiles in a batch, each with its copy; the authors' 60 to 120.")
    over_classes: int | None = Field(None, ge=2, description="Clusters of the auxiliary head; by default 3 x classes.")
    heads: int = Field(1, ge=1, description="The paper's h: sub-heads, of which the one of lowest loss answers.")
    displacement: int = Field(10, ge=0, description="The paper's d: largest displacement in pixels, rows and columns.")
    collapsed: bool = Field(False, description="Information of the mean joint matrix, not the mean of informations.")
    entropy_weight: float = Field(1.0, gt=0, description="The paper's lambda, of the main head: 1.5 for Potsdam-3.")
    over_entropy_weight: float = Field(1.0, gt=0, description="Lambda of the auxiliary head.")
    width: int = Field(64, ge=1, description="Channels of the first convolution; 16 costs a tenth on a CPU.")
    sobel: bool = Field(False, description="Add the gradients of the mean of all bands to the bands.")
    flips: Flips = Field("horizontal", description="Of the copy, each half of the time.")
    affine: bool = Field(False, description="Turn, scale and shear the copy; off in the authors' commands.")
    rotation: float = Field(30.0, ge=0, lt=90, description="With --affine: degrees to either side.")
    zoom: float = Field(0.2, ge=0, lt=1, description="With --affine: part by which it may be larger or smaller.")
    shear: float = Field(10.0, ge=0, lt=90, description="With --affine: degrees to either side.")

    def check(self) -> None:
        """Raise UsageError for tiles that the network halves unevenly, or that displacements would leave."""
        if self.patch % 2:
            raise UsageError(f"tiles of {self.patch} pixels cannot be halved; choose an even --patch")
        if self.displacement >= self.patch:
            raise UsageError(f"--displacement {self.displacement} leaves tiles of {self.patch}; choose a smaller one")

    @property
    def over(self) -> int:
        """Clusters of the auxiliary head."""
        return self.over_classes or OVER * self.classes

    def pairing(self) -> TilePairs:
        """How a tile's changed copy is made."""
        affine = Geometry(self.rotation, self.zoom, self.shear, shift=0, flips=False) if self.affine else None
        return TilePairs(self.flips, affine, self.photometry(JITTER, JITTER, JITTER, JITTER))


class IicDensePhase(Phase):
    """The one phase: an epoch is a pass of the auxiliary head over the tiles, then one of the main head.

    Tiles and copies go through the network as one batch, as in IIC on patches; the authors pass them one by one.
    """

    name = "train"

    def __init__(self, network: DenseNetwork, over: nn.ModuleList, settings: IicDenseSettings) -> None:
        self.network, self.over, self.settings, self.epochs = network, over, settings, settings.epochs
        self.pairs, self.heads, self.weight = settings.pairing(), over, settings.over_entropy_weight
        self.main_samples: Tensor | None = None
        self.optimiser = adam([*network.parameters(), *over.parameters()], settings.learning_rate)

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Find the tiles of the main head where it has scenes of its own."""
        if self.settings.main_scenes:
            self.main_samples = samples.of_first(self.settings.main_scenes)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches of each pass, the heads set before each; all tiles in one where there are fewer."""
        settings = self.settings
        for heads, weight in (
            (self.over, settings.over_entropy_weight),
            (self.network.heads, settings.entropy_weight),
        ):
            self.heads, self.weight = heads, weight
            chosen = None if heads is self.over else self.main_samples
            yield from of_some(chosen, count, settings.batch, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """One batch's gradients."""
        moves = self._moves(len(indices)) if samples.window > samples.patch else None
        pair = self.pairs.draw(samples, indices, moves)
        loss = torch.stack(losses(self.network, self.heads, pair, self.settings, self.weight)[0]).mean()
        return backward(loss)

    def _moves(self, count: int) -> Tensor:
        """Offsets (n, 2) that bring tiles off their grid, so that a small scene gives other ones in each pass."""
        half = self.settings.stride // 2
        return torch.randint(-half, half + 1, (count, 2))


def losses(
    network: DenseNetwork, heads: Iterable[nn.Module], pair: TilePair, settings: IicDenseSettings, weight: float
) -> tuple[list[Tensor], list[Tensor]]:
    """The loss of each head on a pair, and its probabilities (n, classes, s, s) of the first tiles."""
    features = network.embed(torch.cat([pair.first, pair.second]))
    size = (pair.first.shape[2], pair.first.shape[3])
    found, maps = [], []
    for head in heads:
        p = upsampled(functional.softmax(head(features).float(), dim=1), size)
        first, second = p.split(len(pair.first))
        found.append(
            iic_dense_loss(
                first,
                pair.back(second),
                pair.mask,
                displacement=settings.displacement,
                weight=weight,
                collapsed=settings.collapsed,
                tolerance=settings.balance_tolerance,
            )
        )
        maps.append(first)
    return found, maps


class IicDense(Method):
    """A dense network with main heads, and auxiliary over-clustering heads that only training needs."""

    score_samples = 16
    remedy = "another --seed, --restarts 3, a higher --entropy-weight, or a larger batch"

    def __init__(self, settings: IicDenseSettings, bands: int, size: int) -> None:
        self.settings, self.bands, self.size = settings, bands, size
        front: Literal["sobel", "none"] = "sobel" if settings.sobel else "none"
        spec = DenseNetworkSpec(trunk="net10a", heads=settings.heads, front=front, width=settings.width)
        self.network = DenseNetwork(spec, bands, settings.classes)
        width = self.network.trunk.width
        self.over = nn.ModuleList(Net10aHead(width, settings.over) for _ in range(settings.heads))
        self.phases = [IicDensePhase(self.network, self.over, settings)]

    @property
    def module(self) -> nn.Module:
        """The network and the auxiliary heads."""
        return nn.ModuleDict({"network": self.network, "over": self.over})

    def fixed(self, samples: Samples, indices: Tensor) -> TilePair:
        """The fixed tiles and, drawn once, their changed copies."""
        return self.settings.pairing().draw(samples, indices, generator=torch.Generator().manual_seed(0))

    @torch.no_grad()
    def score(self, sample: TilePair) -> tuple[float, Mapping[str, float]]:
        """The lowest loss of a main head on fixed pairs, in evaluation mode; that head answers from now on."""
        self.network.eval()
        settings = self.settings
        found, maps = losses(self.network, self.network.heads, sample, settings, settings.entropy_weight)
        best = int(torch.stack(found).argmin())
        self.network.chosen.fill_(best)
        labels = maps[best].argmax(dim=1)[sample.mask]
        return float(found[best]), cluster_shares(labels, settings.classes)

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Take the batch-norm statistics again, of some tiles in batches as large as in training."""
        chunks = indices[:SETTLE_TILES].split(self.settings.batch)
        settle(self.network, (samples.gather(chunk) for chunk in chunks))
