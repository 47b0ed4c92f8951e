"""What a training is asked for, what it gives, and how its runs differ: by their seeds alone."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from warnings import warn

import torch
from torch import Tensor

from rsseg.errors import CollapseWarning, UsageError
from rsseg.learn.gather import rank
from rsseg.learn.methods.base import Method
from rsseg.learn.networks.build import Network, is_dense
from rsseg.learn.networks.vote import labels_of, vote_of
from rsseg.learn.samples import Samples
from rsseg.learn.steps import Precision


@dataclass(frozen=True)
class TrainingSettings:
    """How to train, whatever the method.

    ``patience``: epochs without a better score after which a phase ends (0: never); an improvement counts when it is
    more than ``tolerance`` in the loss. ``seconds``: a run ends when it has taken as long, whatever it has reached; for
    benchmarks, since the answer then depends on the machine. ``vote``: how many of the best runs answer together, by
    majority (DDC-VOTE); 1 is the best alone. ``compile``: the network's trunk by torch.compile, whose sums differ in
    their last digits, so that it belongs to the settings.
    """

    seed: int = 0
    restarts: int = 1
    patience: int = 5
    tolerance: float = 1e-3
    precision: Precision = "fp32"
    seconds: float | None = None
    vote: int = 1
    compile: bool = False

    def described(self) -> dict[str, Any]:
        """What a checkpoint, a model's provenance and a stage's hash keep of them."""
        return {name: value for name, value in asdict(self).items() if name != "compile" or value}

    def __post_init__(self) -> None:
        if self.vote > max(1, self.restarts):
            raise UsageError(
                f"{self.vote} runs are to vote, and {self.restarts} are made; give --restarts {self.vote} or more"
            )


@dataclass
class Trained:
    """The chosen run: its method, the network that answers (of the run, or a vote), its score, all runs' history.

    Of several processes only the first has the finished network and the shares.
    """

    method: Method
    network: Network
    score: float
    run: int
    shares: Mapping[str, float]
    history: list[dict[str, Any]]

    @property
    def parts(self) -> dict[str, int]:
        """By phase, into how many steps a batch was cut because memory had run out; nothing for others."""
        found = {row["phase"]: row["parts"] for row in self.history if "parts" in row}
        return dict(sorted(found.items()))


def seed_epoch(seed: int, run: int, phase: int, epoch: int) -> torch.Generator:
    """Seed every generator for one epoch, alike in all processes; returns the sampler's own."""
    number = _number(f"{seed}/{run}/{phase}/{epoch}")
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def seed_process(seed: int, run: int, phase: int, epoch: int) -> None:
    """Let the processes after the first draw other changes of their samples than it does."""
    if rank():
        torch.manual_seed(_number(f"{seed}/{run}/{phase}/{epoch}/{rank()}"))


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def answer_together(members: Sequence[Any], samples: Samples, fixed: Tensor) -> Network:
    """One network that answers by the majority of several, whose clusters are matched on the ``fixed`` samples (n,)."""
    labels = [labels_of(member, samples, fixed) for member in members]
    if is_dense(members[0]):
        seen = torch.cat([samples.valid(tile) for tile in fixed.split(1)]).flatten().cpu().numpy()
        labels = [found[seen] for found in labels]
    return vote_of(members, labels)


def warn_of_collapse(method: Method, shares: Mapping[str, float]) -> None:
    """Warn of an answer that is too poor in clusters."""
    if method.collapsed(shares):
        warn(
            f"the clustering collapsed: {shares['clusters_used']} of {method.network.classes} clusters are used "
            f"and the largest holds {shares['largest_share']:.0%} of the sample; try {method.remedy}",
            CollapseWarning,
            stacklevel=4,
        )
