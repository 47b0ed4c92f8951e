"""K-means (scikit-learn's, several starts) on pixels, patch means, patch pixels or learned features: the baseline."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from rsseg.errors import TrainingError
from rsseg.learn.methods.base import Method, MethodSettings, cluster_shares
from rsseg.learn.networks.heads import CentreHead
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.samples import Samples


class KmeansSettings(MethodSettings):
    """Settings of the k-means baseline."""

    patch: int = Field(1, ge=1)
    stride: int = Field(1, ge=1)
    features: Literal["pixels", "mean"] = Field(
        "pixels", description="pixels: all pixels of a patch (its spectrum at patch 1); mean: the mean of each band."
    )
    starts: int = Field(10, ge=1, description="scikit-learn's n_init.")
    sample: int = Field(100_000, ge=1, description="Patches that the centres are fitted on.")
    balanced: bool = Field(False, description="Fit again on an equal number of patches of each first cluster.")


class Kmeans(Method):
    """Centres fitted by scikit-learn; labelling asks for the nearest one."""

    def __init__(self, settings: KmeansSettings, bands: int, size: int) -> None:
        self.settings = settings
        spec = PatchNetworkSpec(features=settings.features, head="centres")
        self.network = PatchNetwork(spec, bands, size, settings.classes)
        self.phases = []

    def score(self, sample: Tensor) -> tuple[float, Mapping[str, float]]:
        """Mean squared distance to the nearest centre, with the cluster shares."""
        features = self.network.features(sample).float()
        scores = self.network.head(features)
        distance = (features**2).sum(dim=1) - 2 * scores.max(dim=1).values
        return float(distance.double().mean()), cluster_shares(scores.argmax(dim=1), self.settings.classes)

    def finish(self, samples: Samples, seed: int) -> None:
        """Fit the centres."""
        centres = fit_centres(
            self.network,
            samples,
            self.settings.classes,
            seed,
            self.settings.starts,
            self.settings.sample,
            balanced=self.settings.balanced,
        )
        if isinstance(self.network.head, CentreHead):
            self.network.head.centres.copy_(centres)


@torch.no_grad()
def fit_centres(
    network: PatchNetwork,
    samples: Samples,
    classes: int,
    seed: int,
    starts: int = 10,
    limit: int = 100_000,
    balanced: bool = False,
) -> Tensor:
    """Centres (classes, width) of k-means on a network's features of at most ``limit`` samples, drawn by the seed."""
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))[:limit]
    network.eval()
    batches = [network.embed(samples.gather(chunk)).float().cpu().numpy() for chunk in order.split(1024)]
    vectors = np.concatenate(batches)
    if len(vectors) < classes:
        raise TrainingError(f"{len(vectors)} patches cannot make {classes} clusters; choose fewer --classes")
    return torch.from_numpy(centres_of(vectors, classes, seed, starts, balanced)).float()


def centres_of(vectors: NDArray, classes: int, seed: int, starts: int, balanced: bool = False) -> NDArray:
    """Centres (classes, width) of vectors (n, width), by scikit-learn's k-means.

    ``balanced``: fitted again on an equal number of vectors of each cluster, so that a large class does not take most
    of the centres.
    """
    from sklearn.cluster import KMeans

    fitted = KMeans(classes, n_init=starts, random_state=seed).fit(vectors)
    if balanced:
        chosen = even_sample(fitted.labels_, classes, seed)
        if len(chosen) >= classes:
            fitted = KMeans(classes, n_init=starts, random_state=seed).fit(vectors[chosen])
    return np.asarray(fitted.cluster_centers_)


def even_sample(labels: NDArray, classes: int, seed: int) -> NDArray[np.int64]:
    """Numbers of vectors, of each cluster as many as the smallest has, or a twentieth of an even part if that is more.

    They are drawn by the seed; a cluster that has fewer gives all.
    """
    most = max(int(np.bincount(labels, minlength=classes).min()), -(-len(labels) // (20 * classes)))
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(np.flatnonzero(labels == cluster))[:most] for cluster in range(classes)]
    return np.sort(np.concatenate(parts))


def answer_by_kmeans(network: PatchNetwork, samples: Samples, classes: int, seed: int) -> None:
    """Put k-means centres of a network's learned features in the place of its head."""
    head = CentreHead(network.features.width, classes)
    head.centres.copy_(fit_centres(network, samples, classes, seed))
    network.head = head.to(next(network.parameters()).device)
    network.spec = network.spec.model_copy(update={"head": "centres"})
