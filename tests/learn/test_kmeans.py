"""The k-means baseline answers as scikit-learn does."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from tiny import CPU, blocks_scene, quiet_build, samples_of, scene_of

from rsseg.errors import TrainingError
from rsseg.label.segment import Labeller
from rsseg.learn.methods.kmeans import centres_of, even_sample, fit_centres
from rsseg.learn.model import Inference, Model
from rsseg.learn.samples import SceneSamples
from rsseg.learn.training import Trained, Trainer, TrainingSettings


def fitted(samples: SceneSamples, seed: int = 0, **options: object) -> Trained:
    def make() -> object:
        return quiet_build("kmeans", **{"classes": 4, "patch": samples.patch, **options})

    return Trainer(make, samples, TrainingSettings(seed=seed), CPU).train()  # type: ignore[arg-type]


def every_patch(samples: SceneSamples) -> NDArray:
    return samples.gather(torch.arange(len(samples))).numpy()


def sklearn_labels(vectors: NDArray, seed: int = 0) -> NDArray:
    """scikit-learn's own answer, fitted on the samples in the order that the seed gives."""
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed)).numpy()
    labels: NDArray = KMeans(4, n_init=10, random_state=seed).fit(vectors[order]).predict(vectors)
    return labels


@pytest.mark.parametrize(("features", "patch"), [("pixels", 1), ("pixels", 4), ("mean", 4)])
def test_labels_are_scikit_learns(features: str, patch: int) -> None:
    samples = samples_of(scene_of(blocks_scene(32, 40, block=8)[0]), patch, patch)
    trained = fitted(samples, features=features)
    patches = every_patch(samples)
    vectors = patches.mean(axis=(2, 3)) if features == "mean" else patches.reshape(len(patches), -1)
    with torch.no_grad():
        found = trained.method.network.predict(torch.from_numpy(patches))[0].argmax(dim=1).numpy()
    assert np.array_equal(found, sklearn_labels(vectors))
    inertia = ((vectors - trained.method.network.head.centres.numpy()[found]) ** 2).sum(axis=1).mean()  # type: ignore[union-attr]
    assert trained.score == pytest.approx(inertia, rel=1e-4)
    assert trained.shares["clusters_used"] == 4


def test_a_map_is_scikit_learns_prediction_of_every_pixel() -> None:
    values, kinds = blocks_scene(32, 40, block=8)
    scene = scene_of(values)
    samples = samples_of(scene, 1, 1)
    network = fitted(samples).method.network
    inference = Inference(
        method="kmeans",
        network=network.spec,
        bands=("a", "b", "c"),
        units="uncalibrated",
        normalisation=samples.normalisation,
        patch=1,
        stride=1,
        classes=4,
    )
    blocks = list(Labeller(Model(inference, network), scene, block_rows=5).blocks())
    labels = np.concatenate([block.labels for block in blocks])
    spectra = every_patch(samples).reshape(-1, 3)
    assert np.array_equal(labels.ravel() - 1, sklearn_labels(spectra))
    assert {tuple(np.unique(labels[kinds == kind])) for kind in range(4)} == {(1,), (2,), (3,), (4,)}
    assert all(set(block.confidence.ravel()) == {254} for block in blocks)


@pytest.mark.filterwarnings("ignore::rsseg.errors.CollapseWarning")
def test_learned_features_are_clustered_as_by_scikit_learn() -> None:
    samples = samples_of(scene_of(blocks_scene(32, 40, block=8)[0]), 4, 4)

    def make() -> object:
        return quiet_build("recal", classes=4, patch=4, epochs=1, batch=20, labels_from="kmeans")

    network = Trainer(make, samples, TrainingSettings(), CPU).train().method.network  # type: ignore[arg-type]
    patches = torch.from_numpy(every_patch(samples))
    with torch.no_grad():
        vectors = network.eval().features(patches).numpy()
        found = network.predict(patches)[0].argmax(dim=1).numpy()
    assert np.array_equal(found, sklearn_labels(vectors))


def test_centres_are_fitted_on_a_seeded_sample() -> None:
    samples = samples_of(scene_of(blocks_scene(32, 40, block=8)[0]), 4, 4)
    network = quiet_build("kmeans", classes=4, patch=4, features="mean").network
    same = [fit_centres(network, samples, 4, seed=1, limit=30) for _ in range(2)]
    assert torch.equal(*same)
    assert not torch.equal(same[0], fit_centres(network, samples, 4, seed=2, limit=30))
    assert same[0].dtype == torch.float32 and same[0].shape == (4, 3)


def test_fewer_patches_than_clusters_are_refused() -> None:
    samples = samples_of(scene_of(blocks_scene(8, 16, block=4)[0]), 8, 8)
    with pytest.raises(TrainingError, match="2 patches cannot make 4 clusters"):
        fitted(samples)


def test_an_even_sample_takes_as_many_of_each_cluster() -> None:
    labels = np.repeat([0, 1, 2, 3], [1000, 300, 100, 40])
    chosen = even_sample(labels, 4, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [40, 40, 40, 40]
    assert np.array_equal(chosen, even_sample(labels, 4, seed=0))
    assert not np.array_equal(chosen, even_sample(labels, 4, seed=1))
    assert np.bincount(labels[even_sample(labels, 8, seed=0)]).tolist() == [9, 9, 9, 9]  # 1440 / (20 x 8), no cluster 5


def test_balanced_centres_find_a_small_group_that_plain_ones_miss() -> None:
    rng = np.random.default_rng(0)
    groups = [rng.normal(0, 1, (20_000, 1)), rng.normal(6, 0.2, (300, 1)), rng.normal(8, 0.1, (60, 1))]
    vectors = np.concatenate(groups).astype(np.float32)
    near = [float(np.abs(centres_of(vectors, 5, 0, 3, balanced) - 8).min()) for balanced in (False, True)]
    assert near[0] > 1 and near[1] < 0.1
