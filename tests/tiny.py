"""Small scenes, networks and models for tests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rsseg.learn.inputs import SceneInput
from rsseg.learn.methods import build, settings_of
from rsseg.learn.methods.base import Method
from rsseg.learn.model import Inference, Model
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec, settle
from rsseg.learn.normalise import Normalisation
from rsseg.learn.samples import SceneSamples, find_patches

CPU = torch.device("cpu")
BANDS = ("green", "red", "nir")
PROTOTYPES = np.array([[30, 20, 10], [90, 110, 150], [40, 35, 220], [160, 150, 140]])


def blocks_scene(
    height: int, width: int, *, seed: int = 0, block: int = 16, bands: int = 3, dtype: str = "uint8", noise: float = 8.0
) -> tuple[NDArray, NDArray[np.int64]]:
    """Values (bands, H, W) of square fields of four kinds of land with noise, and their kinds (H, W)."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 4, (-(-height // block), -(-width // block)))
    kinds = np.kron(kinds, np.ones((block, block), int))[:height, :width]
    clean = np.moveaxis(PROTOTYPES[kinds][..., np.arange(bands) % 3], -1, 0)
    return np.clip(clean + rng.normal(0, noise, clean.shape), 1, 254).astype(dtype), kinds


def scene_of(values: NDArray, valid: NDArray[np.bool_] | None = None, name: str = "scene") -> SceneInput:
    return SceneInput.of_array(name, values, valid)


def samples_of(
    scenes: Sequence[SceneInput] | SceneInput, patch: int = 8, stride: int = 8, **options: Any
) -> SceneSamples:
    chosen = [scenes] if isinstance(scenes, SceneInput) else list(scenes)
    patches, moments = find_patches(chosen, patch, stride)
    return SceneSamples(patches, moments, **{"device": CPU, "memory": 1 << 24, **options})


def quiet_build(method: str, bands: int = 3, **options: Any) -> Method:
    """A method whose warning of random weights is expected."""
    settings = settings_of(method, **options)
    if method == "kmeans":
        return build(method, settings, bands)
    with pytest.warns(match="random weights"):
        return build(method, settings, bands)


@contextmanager
def thin_vgg(monkeypatch: pytest.MonkeyPatch, factor: int = 16) -> Iterator[None]:
    """VGG with fewer channels, for tests of what surrounds the network."""
    from rsseg.learn.networks import vgg

    blocks = tuple((width // factor, convolutions) for width, convolutions in vgg.BLOCKS)
    with monkeypatch.context() as patched:
        patched.setattr(vgg, "BLOCKS", blocks)
        yield


def lively(network: PatchNetwork, bands: int, patch: int, seed: int = 0, gain: float = 2.0) -> PatchNetwork:
    """Settle a random network on plausible patches, so that its answers differ between patches and use all clusters."""
    generator = torch.Generator().manual_seed(seed)
    spectra = 1.2 * torch.randn(256, bands, 1, 1, generator=generator)
    settle(network, [spectra + 0.2 * torch.randn(256, bands, patch, patch, generator=generator)])
    with torch.no_grad():
        network.head.norm.weight.fill_(gain)  # type: ignore[union-attr]
        network.head.norm.bias.copy_(0.3 * torch.randn(network.classes, generator=generator))  # type: ignore[union-attr]
    return network.eval()


def tiny_model(
    *,
    patch: int = 8,
    stride: int = 8,
    classes: int = 5,
    bands: Sequence[str] = BANDS,
    units: str = "uncalibrated",
    centre: Sequence[float] = (80.0, 80.0, 130.0),
    spread: Sequence[float] = (50.0, 50.0, 80.0),
    seed: int = 0,
) -> Model:
    """A model with random weights, whose clusters are in use."""
    torch.manual_seed(seed)
    spec = PatchNetworkSpec(features="vgg16-bn", head="entropy")
    network = lively(PatchNetwork(spec, len(bands), patch, classes), len(bands), patch, seed)
    normalisation = Normalisation(kind="standardise", centre=tuple(centre), spread=tuple(spread), mean=tuple(centre))
    inference = Inference(
        method="recal",
        network=spec,
        bands=tuple(bands),
        units=units,
        normalisation=normalisation,
        patch=patch,
        stride=stride,
        classes=classes,
    )
    return Model(inference, network)
