"""What training knows of a method: phases, each with parameters, an optimiser, a sampler, a step and a score."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.networks.build import LARGEST_PATCH
from rsseg.learn.networks.patch import settle
from rsseg.learn.normalise import Kind
from rsseg.learn.samples import Samples

SETTLE_SIZE = 256
"""Samples in a batch when batch-norm statistics are taken again."""


FEW_CLASSES = 10
"""Of fewer classes, each pixel is seen without its surroundings where the scene chooses the channels."""


class MethodSettings(ChannelSettings):
    """Settings that every method has; unknown keys are refused."""

    dense: ClassVar[bool] = False
    """Whether the method labels each pixel of tiles, which may be partly invalid, rather than whole patches."""

    masks: ClassVar[bool] = False
    """Whether training asks which pixels are valid, of tiles or of windows beyond a patch."""

    files: ClassVar[tuple[str, ...]] = ()
    """The method's own settings that may name a file."""

    classes: int = Field(10, ge=2, le=255)
    patch: int = Field(8, ge=1)
    stride: int = Field(8, ge=1)
    epochs: int = 20
    normalise: Kind = "standardise"

    @property
    def few_classes(self) -> bool:
        """Whether ``auto`` is asked for a map of few classes."""
        return self.classes < FEW_CLASSES

    def described(self) -> dict[str, Any]:
        """All settings for a model's provenance, files without their folders: equal trainings give equal models."""
        plain = self.model_dump(mode="json")
        return {key: Path(value).name if key in self._files and value else value for key, value in plain.items()}

    def named_files(self) -> list[Path]:
        """The files that the settings name: what training depends on beside its scenes."""
        named = [Path(value) for key in self._files if (value := getattr(self, key))]
        return [path for path in named if path.is_file()]

    @property
    def _files(self) -> tuple[str, ...]:
        """All settings that may name a file."""
        return ("backbone", *self.files)

    def superpixel_options(self) -> dict[str, Any] | None:
        """How the samples are to be cut into superpixels, or None where the method needs none."""
        return None

    @field_validator("patch")
    @classmethod
    def _no_larger(cls, patch: int) -> int:
        if patch > LARGEST_PATCH:
            raise ValueError(f"a patch of {patch} pixels is larger than {LARGEST_PATCH}, which no model file may have")
        return patch

    def check(self) -> None:
        """Raise early what training would only meet late, such as a missing file."""


class Phase(ABC):
    """A part of training with its own optimiser."""

    name: str
    optimiser: torch.optim.Optimizer
    epochs: int
    patient: bool = True
    """Whether the phase may end early by the method's score; not where a schedule runs to its end."""

    def start_of_epoch(self, samples: Samples, epoch: int) -> None:
        """Hook for schedules and caches; what it sets follows from the epoch and the stored state alone."""

    @abstractmethod
    def batches(self, count: int, generator: torch.Generator) -> Iterator[Tensor]:
        """The indices of each step of one epoch over ``count`` samples, from a CPU generator."""

    @abstractmethod
    def step(self, samples: Samples, indices: Tensor) -> Tensor:
        """Compute the loss of one step and add its gradients; the loss comes back detached, still on the device."""

    def end_of_epoch(self) -> None:
        """Hook for schedules that work by epochs."""


class Method(ABC):
    """A network and the phases that train it. Knows no files, no scenes, no terminal."""

    network: Any
    """What the model file keeps and labelling uses: a patch network or a dense one."""

    phases: Sequence[Phase]
    score_samples: int = 4096
    """How many samples the score looks at."""

    remedy: str = "another --seed, --restarts 3, or a larger batch"
    """What to try after a collapse."""

    @property
    def module(self) -> nn.Module:
        """All that training moves and checkpoints keep: the network, and heads that only training needs."""
        network: nn.Module = self.network
        return network

    def fixed(self, samples: Samples, indices: Tensor) -> Any:
        """What ``score`` looks at, gathered once for all epochs and runs; random pairs are drawn here."""
        return samples.gather(indices)

    @abstractmethod
    def score(self, sample: Any) -> tuple[float, Mapping[str, float]]:
        """The unsupervised loss by which runs are chosen (lower is better), in evaluation mode, and what to log."""

    def settle(self, samples: Samples, indices: Tensor) -> None:
        """Take the stored batch-norm statistics again when training is done."""
        settle(self.network, (samples.gather(chunk) for chunk in indices.split(SETTLE_SIZE) if len(chunk) > 1))

    def finish(self, samples: Samples, seed: int) -> None:
        """What remains when all phases are done, such as a clustering of the learned features."""

    def collapsed(self, shares: Mapping[str, float]) -> bool:
        """Whether the answer is too poor in clusters to be a map."""
        return shares["clusters_used"] < max(2, self.network.classes / 3) or shares["largest_share"] > 0.95


def backward(loss: Tensor) -> Tensor:
    """Add a loss's gradients and give it back detached.

    Autocast is off: the losses' own matrix products are in float32, and would go backward in half precision.
    """
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()
    return loss.detach()


def shuffled(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """A permutation of ``count`` indices in blocks of exactly ``size``; the last part block is left to other epochs."""
    order = torch.randperm(count, generator=generator)
    for first in range(0, count - size + 1, size):
        yield order[first : first + size]


def cluster_shares(labels: Tensor, classes: int) -> dict[str, float]:
    """What tells a collapse: clusters in use, the largest share, and the entropy of the shares over ln K."""
    shares = torch.bincount(labels.cpu(), minlength=classes).double() / max(1, len(labels))
    used = shares[shares > 0]
    entropy = float(-(used * used.log()).sum() / torch.tensor(float(classes)).log()) if classes > 1 else 0.0
    return {
        "clusters_used": int((shares > 0.001).sum()),
        "largest_share": round(float(shares.max()), 6),
        "balance": round(entropy, 6),
    }
