"""What features are worth: k-means on them, and classifiers trained on them with labels (GAN + IMSAT, section IV-H).

K-means never sees a label. The probes do: they are trained on one part of the data and scored on the other, and say
how well the classes can be separated, not how well they were clustered.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from rsseg.learn.methods.base import Method
from rsseg.learn.networks.vgg import VggFeatures, start
from rsseg.learn.samples import Samples

STARTS = 10
"""Of k-means: scikit-learn's n_init."""

FIT_VALUES = 70_000 * 784
"""Numbers that k-means is fitted on: all of MNIST's pixels. Of wider features fewer samples are drawn."""

SETTLE_SAMPLES, CHUNK = 8192, 256
COMPONENTS, UNITS, TEST_SHARE = 50, 200, 0.2


@torch.no_grad()
def vectors_of(embed: Callable[[torch.Tensor], torch.Tensor], samples: Samples, device: torch.device) -> NDArray:
    """What ``embed`` makes of all samples: (n, width) float32."""
    order = torch.arange(len(samples), device=device)
    return np.concatenate([embed(samples.gather(part)).flatten(1).float().cpu().numpy() for part in order.split(CHUNK)])


def pixels(samples: Samples, device: torch.device) -> NDArray:
    """The values that the network is given, (n, bands size size)."""
    return vectors_of(lambda x: x, samples, device)


def learned(network: nn.Module, samples: Samples, device: torch.device) -> NDArray:
    """Features of a patch network in evaluation mode, (n, width)."""
    network.eval()
    return vectors_of(network.embed, samples, device)  # type: ignore[arg-type]


def untrained(make: Callable[[], Method], samples: Samples, seed: int, device: torch.device) -> NDArray:
    """Features of the method's network as it starts, with batch-norm statistics of the data."""
    torch.manual_seed(seed)
    method = make()
    method.module.to(device)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))[:SETTLE_SAMPLES]
    method.settle(samples, order.to(device))
    return learned(method.network, samples, device)


def imagenet(bands: int, size: int, samples: Samples, device: torch.device) -> NDArray:
    """Features of VGG16-BN as ImageNet left it. Raises: InputError where torchvision's cache does not have it."""
    features = VggFeatures(bands, size, "input")
    start(features, "imagenet")
    return vectors_of(features.to(device).eval(), samples, device)


def kmeans_labels(vectors: NDArray, clusters: int, seed: int, values: int = FIT_VALUES) -> tuple[NDArray, int]:
    """Cluster of each vector by k-means, and how many vectors, drawn by the seed, it was fitted on."""
    from sklearn.cluster import KMeans

    count = min(len(vectors), max(clusters, values // vectors.shape[1]))
    drawn = np.random.default_rng(seed).permutation(len(vectors))[:count] if count < len(vectors) else slice(None)
    fitted = KMeans(clusters, n_init=STARTS, random_state=seed).fit(vectors[drawn])
    return fitted.predict(vectors), count


def probe(vectors: NDArray, truth: NDArray, train: int, seed: int) -> dict[str, Any]:
    """Test accuracy (%) of an L2 linear SVM on 50 principal components, and of a network of 200 units on all features.

    The first ``train`` samples are for training where the data set has such a part; else four fifths of each class,
    drawn by the seed. Samples without a label (-1) are left out. scikit-learn's network has no dropout (the paper's
    has 40 %): it ends when a tenth of the training part, set aside, gets no better.
    """
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    places = np.flatnonzero(truth >= 0)
    if train:
        seen, held = places[places < train], places[places >= train]
        split = f"the data set's own: {len(seen)} for training, {len(held)} for testing"
    else:
        seen, held = train_test_split(places, test_size=TEST_SHARE, random_state=seed, stratify=truth[places])
        split = f"four fifths of each class for training ({len(seen)}), the rest for testing ({len(held)})"
    components = PCA(min(COMPONENTS, vectors.shape[1], len(seen)), random_state=seed)
    svm = make_pipeline(StandardScaler(), components, LinearSVC(random_state=seed))
    network = MLPClassifier((UNITS,), early_stopping=True, max_iter=100, random_state=seed)
    models = {"svm": svm, "network": make_pipeline(StandardScaler(), network)}
    scores = {
        name: model.fit(vectors[seen], truth[seen]).score(vectors[held], truth[held]) for name, model in models.items()
    }
    return {**{name: 100 * float(score) for name, score in scores.items()}, "split": split}
