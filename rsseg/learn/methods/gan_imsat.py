"""GAN + Sobel + IMSAT (Ntelemis, Jin and Thomas, 2020): features of a DCGAN's discriminator, clustered by an auxiliary
classifier that is trained by regularised information maximisation.

The paper and its authors' published code differ in numbers; ``constants`` names whose are taken. Lengths of training
are ours: the authors train the GAN for 250,000 steps and more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rsseg.learn.losses.imsat import head_losses
from rsseg.learn.methods.base import Method, cluster_shares
from rsseg.learn.methods.gan_phases import ClassifierPhase, GanPhase, dropped_features, full_precision
from rsseg.learn.methods.gan_settings import GanImsatSettings
from rsseg.learn.methods.kmeans import answer_by_kmeans
from rsseg.learn.networks.dcgan import SPREAD, DcganGenerator, gaussian_start
from rsseg.learn.networks.heads import CentreHead
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.samples import Samples

SCORE_SEED = 0
"""Of the noise under which every score is taken."""


class GanImsat(Method):
    """A DCGAN, then the classifier on its discriminator's features."""

    score_samples = 2048
    remedy = "another --seed, --restarts 3, or more --gan-epochs"

    def __init__(self, settings: GanImsatSettings, bands: int, size: int) -> None:
        self.settings = settings
        spec = PatchNetworkSpec(
            features=settings.features,
            head="imsat",
            heads=settings.heads,
            width=settings.width,
            units=settings.units,
        )
        self.network = PatchNetwork(spec, bands, size, settings.classes)
        low, high = (0.0, 1.0) if settings.normalise == "range" else (-SPREAD, SPREAD)
        self.network.features.cover(low, high)
        self.network.head.start(settings.sizes.deviation)
        self._add_training_parts(bands, size)
        features, learned = self.network.features, nn.ModuleList([self.network.head, self.over])
        self.notes: dict[str, float] = {}
        self.phases = [
            GanPhase(features, self.critic, self.generator, settings, self.notes),
            ClassifierPhase(features, self.responses, learned, settings, self.notes),
        ]

    def _add_training_parts(self, bands: int, size: int) -> None:
        """What the model file does without: generator, the discriminator's last layer, over-cluster heads."""
        settings, dense = self.settings, self.settings.layout == "dense"
        self.generator = DcganGenerator(bands, size, settings.sizes.noise, settings.width, dense)
        self.critic = nn.Linear(self.network.features.width, 1, bias=dense)
        gaussian_start(self.critic)
        count = settings.over_classes or 5 * settings.classes
        self.over = nn.ModuleList(nn.Linear(settings.units, count) for _ in range(settings.over_heads))
        gaussian_start(self.over, settings.sizes.deviation)

    @property
    def module(self) -> nn.Module:
        """The network and what only training needs."""
        parts = {"network": self.network, "generator": self.generator, "critic": self.critic, "over": self.over}
        return nn.ModuleDict(parts)

    def responses(self, m: Tensor) -> list[Tensor]:
        """Scores (n, k of the head) of every head at features m (n, width); the over-cluster heads come last."""
        hidden = self.network.head.hidden(m)
        return [linear(hidden) for linear in [*self.network.head.linears, *self.over]]

    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        """The lowest head's loss (eq. 9) on the fixed sample under fixed noise; that head is the one that answers."""
        self.network.eval()
        with torch.no_grad():
            m = torch.cat([self.network.features(chunk) for chunk in sample.split(1024)]).float()
        if isinstance(self.network.head, CentreHead):
            return _distance(self.network.head, m)
        loss, best = self._best_head(sample, m)
        self.network.head.chosen.copy_(best)
        with torch.no_grad():
            labels = self.network.head(m).argmax(dim=1)
        return loss, {**cluster_shares(labels, self.settings.classes), **self.notes}

    @torch.no_grad()
    def _best_head(self, sample: Tensor, m: Tensor) -> tuple[float, Tensor]:
        """The lowest loss of a head, and its number; the over-cluster heads give no labels and do not compete."""
        with _fixed_noise(sample.device), full_precision(sample.device):
            dropped = dropped_features(self.network.features, sample, 1, self.settings)
            losses = head_losses(self.responses, m, dropped, 1, self.settings.loss)
        losses = losses[: self.settings.heads]
        return float(losses.min()), losses.argmin()

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Nothing: the statistics were taken before the classifier saw the features, and must stay."""

    def finish(self, samples: Samples, seed: int) -> None:
        """Replace the classifier by k-means centres of the features M where that was asked for (Table IV)."""
        if self.settings.labels_from == "kmeans":
            answer_by_kmeans(self.network, samples, self.settings.classes, seed)


@contextmanager
def _fixed_noise(device: torch.device) -> Iterator[None]:
    """Random numbers of a constant seed, which leave the generators of training where they are."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(SCORE_SEED)
        yield


def _distance(head: CentreHead, m: Tensor) -> tuple[float, Mapping[str, float]]:
    """Mean squared distance to the nearest centre, with the cluster shares."""
    scores = head(m)
    distance = (m**2).sum(dim=1) - 2 * scores.max(dim=1).values
    return float(distance.double().mean()), cluster_shares(scores.argmax(dim=1), len(head.centres))
