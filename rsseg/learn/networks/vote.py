"""Several trained networks of one kind that answer by majority (DDC-VOTE, section 4.6, for every method)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.samples import Samples


class VoteSpec(BaseModel):
    """What a vote is built from: how many members, and of what kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int = Field(ge=2)
    of: PatchNetworkSpec | DenseNetworkSpec


class VoteNetwork(nn.Module):
    """Members whose clusters are renumbered like the first one's, each with one vote.

    ``partner``: (members, classes), the first member's cluster that each cluster of a member stands for.
    """

    partner: Tensor

    def __init__(self, spec: VoteSpec, members: Sequence[PatchNetwork] | Sequence[DenseNetwork]) -> None:
        super().__init__()
        self.spec, self.classes = spec, members[0].classes
        self.members = nn.ModuleList(members)
        self.register_buffer("partner", torch.arange(self.classes).repeat(len(members), 1))


class PatchVote(VoteNetwork):
    """The vote of patch networks."""

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the votes (n, classes); equal ones are decided by the members' mean probability (n, classes)."""
        answers = [member.predict(x) for member in self.members]  # type: ignore[operator]
        votes, means = torch.zeros_like(answers[0][0]), torch.zeros_like(answers[0][0])
        for (probabilities, ties), partner in zip(answers, self.partner, strict=True):
            winner = decided(probabilities, ties)
            votes += functional.one_hot(partner[winner], self.classes)
            means.index_add_(1, partner, probabilities)
        return votes / len(answers), means / len(answers)


class DenseVote(VoteNetwork):
    """The vote of dense networks."""

    def predict(self, x: Tensor) -> Tensor:
        """Shares of the votes (n, classes, h, w), and a thousandth of the mean probability to decide equal ones."""
        answers = [member.predict(x) for member in self.members]  # type: ignore[operator]
        total = torch.zeros_like(answers[0])
        for probabilities, partner in zip(answers, self.partner, strict=True):
            winner = partner[probabilities.argmax(dim=1)]
            total += 0.999 * functional.one_hot(winner, self.classes).movedim(-1, 1)
            total.index_add_(1, partner, 0.001 * probabilities)
        return total / len(answers)


def decided(probabilities: Tensor, ties: Tensor) -> Tensor:
    """The winning cluster (n,) of patches."""
    return torch.where(probabilities == probabilities.amax(dim=1, keepdim=True), ties + 1, 0).argmax(dim=1)


@torch.no_grad()
def labels_of(network: PatchNetwork | DenseNetwork, samples: Samples, indices: Tensor) -> NDArray[np.int64]:
    """The winning clusters of samples, or of all their pixels, one after another."""
    network.eval()
    found = []
    for chunk in indices.split(256 if isinstance(network, PatchNetwork) else 1):
        x = samples.gather(chunk)
        winner = decided(*network.predict(x)) if isinstance(network, PatchNetwork) else network.predict(x).argmax(dim=1)
        found.append(winner.flatten().cpu().numpy())
    return np.concatenate(found)


def vote_of(members: Sequence[PatchNetwork] | Sequence[DenseNetwork], labels: Sequence[NDArray]) -> VoteNetwork:
    """A vote of networks, best first, aligned by their ``labels`` of the same samples (the Hungarian method)."""
    spec = VoteSpec(members=len(members), of=members[0].spec)
    made = (DenseVote if isinstance(members[0], DenseNetwork) else PatchVote)(spec, members)
    partner = [aligned(labels[0], other, made.classes) for other in labels]
    made.partner.copy_(torch.from_numpy(np.stack(partner)))
    return made


def aligned(first: NDArray, other: NDArray, classes: int) -> NDArray[np.int64]:
    """For each cluster of ``other`` the cluster of ``first`` it stands for, one to one: (classes,)."""
    from scipy.optimize import linear_sum_assignment  # as scikit-learn's k-means, only where it is asked for

    counts = np.bincount(other * classes + first, minlength=classes * classes).reshape(classes, classes)
    rows, cols = linear_sum_assignment(counts, maximize=True)
    partner: NDArray[np.int64] = np.empty(classes, np.int64)
    partner[rows] = cols
    return partner
