"""What training knows of a method: phases, each with parameters, an optimiser, a sampler, a step and a score."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rsseg.learn.networks.patch import PatchNetwork
from rsseg.learn.normalise import Kind
from rsseg.learn.samples import Samples


class MethodSettings(BaseModel):
    """Settings that every method has; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: int = Field(10, ge=2, le=255)
    patch: int = Field(8, ge=1)
    stride: int = Field(8, ge=1)
    epochs: int = 20
    normalise: Kind = "standardise"

    def check(self) -> None:
        """Raise early what training would only meet late, such as a missing file."""


class Phase(ABC):
    """A part of training with its own optimiser."""

    name: str
    optimiser: torch.optim.Optimizer
    epochs: int

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

    network: PatchNetwork
    phases: Sequence[Phase]

    @abstractmethod
    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        """The unsupervised loss by which runs are chosen (lower is better), in evaluation mode, and what to log."""

    def finish(self, samples: Samples, seed: int) -> None:
        """What remains when all phases are done, such as a clustering of the learned features."""


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
