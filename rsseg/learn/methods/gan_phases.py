"""The two phases of GAN + IMSAT (Algorithm 1): the adversarial game, then the classifier on the features it gave."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rsseg.errors import TrainingError
from rsseg.learn.losses.imsat import (
    Responses,
    activation_penalty,
    discriminator_loss,
    generator_loss,
    head_losses,
)
from rsseg.learn.methods.base import SETTLE_SIZE, Phase, shuffled
from rsseg.learn.methods.gan_settings import GanImsatSettings
from rsseg.learn.networks.dcgan import DcganFeatures, DcganGenerator, dropout_at
from rsseg.learn.networks.patch import settle
from rsseg.learn.optimisers import adam
from rsseg.learn.samples import Samples

SETTLE_SAMPLES = 8192
FEATURE_BATCH = 1024
CACHE_BYTES = 1 << 30
"""Features of all samples are kept where they take no more: 262,144 samples of 1024 values."""


class GanPhase(Phase):
    """Discriminator and generator, each one step of Adam on every batch."""

    name = "gan"
    patient = False

    def __init__(
        self,
        features: DcganFeatures,
        critic: nn.Module,
        generator: DcganGenerator,
        settings: GanImsatSettings,
        notes: dict[str, float],
    ) -> None:
        """``notes`` is where the mean losses of an epoch go."""
        self.features, self.critic, self.generator = features, critic, generator
        self.settings, self.epochs, self.notes = settings, settings.gan_epochs, notes
        self.judging = [*_trained(features), *_trained(critic)]
        self.making = _trained(generator)
        self.optimiser = adam([*self.judging, *self.making], settings.numbers.gan_rate, betas=(0.5, 0.999))
        self._losses: list[Tensor] = []

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches; all samples in one where there are fewer."""
        return _batches(count, self.settings.gan_batch, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """Gradients of both networks; the loss is their sum.

        The generator learns from the same fakes and the discriminator before its update, where Algorithm 1 draws new
        ones and takes the updated discriminator: one pass through each network less.
        """
        x = samples.gather(indices)
        noise = torch.rand(len(x), self.generator.noise, device=x.device) * 2 - 1
        real, fake = self.features(x), self.features.extract(self.generator(noise))
        logits = self.critic(fake)
        judged = discriminator_loss(self.critic(real), logits)
        penalty = activation_penalty(real) + activation_penalty(fake)
        made = generator_loss(logits)
        # each network's gradient by itself: a plain backward would add the generator's loss to the discriminator's
        _assign(
            self.judging, torch.autograd.grad(judged + self.settings.penalty * penalty, self.judging, retain_graph=True)
        )
        _assign(self.making, torch.autograd.grad(made, self.making))
        self._losses.append(torch.stack([judged.detach(), made.detach()]))
        return (judged + made).detach()

    def end_of_epoch(self) -> None:
        """Note both losses for the history."""
        if self._losses:
            judged, made = torch.stack(self._losses).double().mean(dim=0).tolist()
            self.notes.update(discriminator_loss=round(judged, 6), generator_loss=round(made, 6))
        self._losses = []


class ClassifierPhase(Phase):
    """Adam on eq. 9 of the auxiliary classifier; the discriminator is frozen, its batch norm settled once before.

    Small first weights answer uniformly for many steps before the loss falls, so a phase of no progress is no end.
    """

    name = "classifier"
    patient = False

    def __init__(
        self,
        features: DcganFeatures,
        responses: Responses,
        learned: nn.Module,
        settings: GanImsatSettings,
        notes: dict[str, float],
    ) -> None:
        """``responses``: from features to every head's scores, with the parameters of ``learned``."""
        self.features, self.responses, self.settings, self.notes = features, responses, settings, notes
        self.epochs = settings.epochs
        self.optimiser = adam(_trained(learned), settings.learning_rate)
        self._cached: Tensor | None = None

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Settle the discriminator before the first epoch; take the features of all samples where they fit.

        They are taken once, unless the samples change from epoch to epoch.
        """
        self.notes.clear()
        if epoch == 0:
            settle_features(self.features, samples)
        self.features.eval()
        fits = len(samples) * self.features.width * 4 <= CACHE_BYTES
        if not fits or not samples.whole:
            self._cached = None
        if fits and self._cached is None:
            self._cached = all_features(self.features, samples)

    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Shuffled batches; all samples in one where there are fewer."""
        return _batches(count, self.settings.batch, generator)

    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """Gradients of eq. 9; copies with dropout are drawn for the batch, so each epoch has new ones."""
        m, dropped = self._inputs(samples, indices)
        with full_precision(m.device):
            losses = head_losses(self.responses, m, dropped, self.settings.copies, self.settings.loss)
            loss = losses.mean()
            loss.backward()
        return loss.detach()

    @torch.no_grad()
    def _inputs(self, samples: Samples, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (n, width) of a batch, and (copies n, width) with dropout if the loss asks for them."""
        needed = self.settings.dropout_divergence or self._cached is None
        x = samples.gather(indices) if needed else None
        m = self._cached[indices] if self._cached is not None else self.features(x).float()
        return m, dropped_features(self.features, x, self.settings.copies, self.settings)


def settle_features(features: DcganFeatures, samples: Samples) -> None:
    """Take the batch-norm statistics from real samples alone: training mixed those of real and generated ones."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:SETTLE_SAMPLES]
    chunks = order.split(SETTLE_SIZE)
    with dropout_at(features, 0.0):
        settle(features, (samples.gather(chunk) for chunk in chunks if len(chunk) > 1))


@torch.no_grad()
def all_features(features: DcganFeatures, samples: Samples) -> Tensor:
    """M of every sample, (len(samples), width) float32, in the module's present mode."""
    chunks = torch.arange(len(samples)).split(FEATURE_BATCH)
    return torch.cat([features(samples.gather(chunk)).float() for chunk in chunks])


@torch.no_grad()
def dropped_features(
    features: DcganFeatures, x: Tensor | None, copies: int, settings: GanImsatSettings
) -> Tensor | None:
    """(copies n, width), copy by copy: M with a little dropout and everything else in the module's present mode."""
    if not settings.dropout_divergence or x is None:
        return None
    with dropout_at(features, settings.dropout):
        return torch.cat([features(x).float() for _ in range(copies)])


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """No autocast: the gradient that gives the adversarial direction underflows in half precision."""
    return torch.autocast(device.type, enabled=False)


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def _assign(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Raises: TrainingError for a single sample, of which batch norm has no statistics."""
    if count < 2:
        raise TrainingError("GAN + IMSAT trains on two or more patches, and there is one; choose a smaller --stride")
    return shuffled(count, min(count, size), generator)
