"""Runs of a clustering method on a data set: trained by seed, scored by labels that training never reads."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import ImageSet
from numpy.typing import NDArray

from rsseg.label.matching import assign_one_to_one
from rsseg.label.metrics.clustering import normalised_mutual_information
from rsseg.learn.images import ImageSamples
from rsseg.learn.methods import build
from rsseg.learn.methods.base import Method, MethodSettings, cluster_shares
from rsseg.learn.networks.vote import aligned, labels_of
from rsseg.learn.training import Trainer, TrainingSettings

CURVE_SAMPLES = 5000
VOTERS = 3
DECIDES = 1.1
"""The best run's vote, so that it decides where all voters differ."""


@dataclass(frozen=True)
class Task:
    """What is run: a method with its settings on images that are ready for its network."""

    method: str
    settings: MethodSettings
    images: ImageSet
    samples: ImageSamples
    device: torch.device

    @classmethod
    def of(cls, method: str, settings: MethodSettings, images: ImageSet, device: torch.device) -> "Task":
        return cls(method, settings, images, ImageSamples(images.images, device), device)

    def make(self) -> Method:
        return build(self.method, self.settings, self.images.images.shape[1])

    def labels(self, network: Any) -> NDArray[np.int64]:
        """The cluster of every image."""
        return labels_of(network, self.samples, torch.arange(len(self.samples), device=self.device))


@dataclass
class Run:
    """One seed's run: its unsupervised score, what its labels are worth, and how it got there."""

    seed: int
    score: float
    seconds: float
    epochs: dict[str, int]
    ended_by: str
    measures: dict[str, float]
    sub_heads: list[dict[str, float]]
    curve: list[dict[str, Any]]
    labels: NDArray[np.int64]
    network: Any

    def record(self) -> dict[str, Any]:
        """What a report keeps of the run."""
        kept = {key: value for key, value in vars(self).items() if key not in ("labels", "network")}
        return {**kept, "clusters": np.bincount(self.labels).tolist()}

    def line(self) -> str:
        """The run in a line."""
        found = self.measures
        return (
            f"loss {self.score:.4f}, NMI {found['nmi']:.3f}, accuracy {found['accuracy']:.1f} %, "
            f"{found['clusters_used']} clusters, {self.seconds:.0f} s, epochs {self.epochs}, ended by {self.ended_by}"
        )


class Observer:
    """Follows a run: scores a fixed part of its labels now and then, and shares its time evenly among its phases.

    The scores are of the network in evaluation mode as it stands: batch norm has its running statistics, which are
    taken again only when a run is over.
    """

    def __init__(self, task: Task, every: int, seconds: float | None) -> None:
        """``every``: epochs between two scores, 0 for none. ``seconds``: what the run may take."""
        self.task, self.every, self.seconds = task, every, seconds
        self.rows: list[dict[str, Any]] = []
        self.spent: dict[str, float] = {}
        self.epochs: dict[str, int] = {}
        self.planned: dict[str, int] = {}
        self.began, self.late, self.own = time.monotonic(), False, 0.0
        order = torch.randperm(len(task.samples), generator=torch.Generator().manual_seed(0))[:CURVE_SAMPLES]
        self.truth, self.order = task.images.truth[order.numpy()], order.to(task.device)

    def __call__(self, method: Method, row: Mapping[str, Any]) -> None:
        """After each epoch, with its row of the history."""
        self.planned = self.planned or {phase.name: phase.epochs for phase in method.phases}
        self.late = self.seconds is not None and time.monotonic() - self.began >= self.seconds
        phase = row["phase"]
        self.epochs[phase] = row["epoch"]
        self.spent[phase] = self.spent.get(phase, 0.0) + row["seconds"]
        if self.seconds and self.spent[phase] >= self.seconds / len(method.phases):
            next(p for p in method.phases if p.name == phase).epochs = row["epoch"]  # the next phase needs the rest
        if self.every and (row["epoch"] - 1) % self.every == 0:
            self._score(method, row)

    def _score(self, method: Method, row: Mapping[str, Any]) -> None:
        began = time.monotonic()
        labels = labels_of(method.network, self.task.samples, self.order)
        found = measures(labels, self.truth, method.network.classes)
        self.rows.append({**row, "after_seconds": round(sum(self.spent.values()), 2), **found})
        self.own += time.monotonic() - began

    @property
    def seconds_of_training(self) -> float:
        """Since the observer was made, without what its scores took."""
        return round(time.monotonic() - self.began - self.own, 2)

    @property
    def ended_by(self) -> str:
        """What ended the run: its epochs, or the budget."""
        return "budget" if self.late or self.epochs != self.planned else "epochs"


def measures(labels: NDArray, truth: NDArray, clusters: int) -> dict[str, float]:
    """NMI (arithmetic mean), accuracy (%; clusters to classes one to one, the Hungarian method), and cluster shares.

    Images without a class are left out.
    """
    labels, truth = labels[truth >= 0], truth[truth >= 0]
    table = np.zeros((clusters, int(truth.max()) + 1), np.int64)
    np.add.at(table, (labels, truth), 1)
    partner = assign_one_to_one(table)
    matched = sum(int(table[cluster, partner[cluster]]) for cluster in np.flatnonzero(partner >= 0))
    shares = cluster_shares(torch.from_numpy(labels), clusters)
    return {"nmi": normalised_mutual_information(table), "accuracy": 100 * matched / len(truth), **shares}


def train_once(task: Task, seed: int, seconds: float | None = None, every: int = 1) -> Run:
    """Train with a seed, to the end or until its time is over, and score all images."""
    training = TrainingSettings(seed=seed, patience=0, seconds=seconds)
    observer = Observer(task, every, seconds)
    trained = Trainer(task.make, task.samples, training, task.device, on_epoch=observer).train()
    seconds_taken = observer.seconds_of_training
    labels = task.labels(trained.network)
    return Run(
        seed,
        trained.score,
        seconds_taken,
        observer.epochs,
        observer.ended_by,
        measures(labels, task.images.truth, trained.network.classes),
        sub_heads(task, trained.network),
        observer.rows,
        labels,
        trained.network,
    )


def sub_heads(task: Task, network: Any) -> list[dict[str, float]]:
    """What each sub-head is worth where a network has several; the one that answers stays the same."""
    head = network.head
    if len(getattr(head, "linears", ())) < 2:
        return []
    chosen, found = head.chosen.clone(), []
    for number in range(len(head.linears)):
        head.chosen.fill_(number)
        found.append(measures(task.labels(network), task.images.truth, network.classes))
    head.chosen.copy_(chosen)
    return found


def voted(runs: list[Run], clusters: int) -> NDArray[np.int64]:
    """The majority of the three runs of lowest loss, their clusters aligned to the best one's (DDC-VOTE)."""
    top = sorted(runs, key=lambda run: run.score)[:VOTERS]
    votes = np.zeros((len(top[0].labels), clusters))
    for place, run in enumerate(top):
        partner = aligned(top[0].labels, run.labels, clusters)
        votes[np.arange(len(votes)), partner[run.labels]] += 1.0 if place else DECIDES
    return votes.argmax(axis=1)


def summary(runs: list[Run], truth: NDArray, clusters: int, vote: bool) -> dict[str, Any]:
    """Column -> metric -> number, or mean and standard deviation."""
    best = min(runs, key=lambda run: run.score)
    found: dict[str, Any] = {"mean": spread([run.measures for run in runs]), "best_by_loss": best.measures}
    found["highest"] = max((run.measures for run in runs), key=lambda measured: measured["accuracy"])
    if vote and len(runs) >= VOTERS:
        found["vote"] = measures(voted(runs, clusters), truth, clusters)
    if best.sub_heads:
        found["sub_heads"] = spread(best.sub_heads)
    return found


def spread(measured: list[dict[str, float]]) -> dict[str, float | tuple[float, float]]:
    """Mean and standard deviation of each metric; of a single one, itself."""

    def one(metric: str) -> float | tuple[float, float]:
        values = [row[metric] for row in measured]
        return (statistics.fmean(values), statistics.stdev(values)) if len(values) > 1 else values[0]

    return {metric: one(metric) for metric in ("nmi", "accuracy")}
