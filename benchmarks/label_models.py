"""Models for timing: every method's own network with random weights, batch norm settled on the scene it will label."""

from collections.abc import Sequence
from pathlib import Path
from warnings import catch_warnings, simplefilter

import torch

from rsseg.errors import RssegWarning
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.inputs import SceneInput
from rsseg.learn.methods import build, settings_of
from rsseg.learn.methods.base import Method, MethodSettings
from rsseg.learn.model import Inference, Model, derived
from rsseg.learn.networks.patch import settle
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.pipeline.inputs import open_scenes, reading

METHODS = ("recal", "iic", "ddc", "gan-imsat", "kmeans", "iic-dense", "wce", "context")


def save_random(method: str, scene: Path, target: Path, patch: int | None = None, stride: int | None = None) -> None:
    """Write a model of ``method`` for the bands of ``scene``, with random weights and a normalisation of its pixels."""
    given = {key: value for key, value in (("patch", patch), ("stride", stride)) if value is not None}
    settings = settings_of(method, **given)
    (opened,) = open_scenes([scene])
    with catch_warnings(), reading([opened]) as inputs:
        simplefilter("ignore", RssegWarning)
        torch.manual_seed(0)
        _model(method, settings, inputs, opened.band_names, opened.units).save(target, overwrite=True)


def _model(method: str, settings: MethodSettings, inputs: list[SceneInput], bands: Sequence[str], units: str) -> Model:
    channels = fit_channels(settings, inputs, bands)
    seen = [derived(scene, channels) for scene in inputs]
    patches, moments = find_patches(seen, settings.patch, max(settings.patch, 16))
    samples = SceneSamples(patches, moments, device=torch.device("cpu"), memory=1 << 28, kind=settings.normalise)
    made = build(method, settings, len(channels.names) if channels else len(bands))
    _answer(made, samples)
    inference = Inference(
        method=method,
        network=made.network.spec,
        bands=tuple(bands),
        units=units,
        normalisation=samples.normalisation,
        patch=settings.patch,
        stride=settings.stride,
        classes=settings.classes,
        channels=channels,
    )
    return Model(inference, made.network)


def _answer(made: Method, samples: SceneSamples) -> None:
    """Let a random network answer otherwise from patch to patch, as a trained one does."""
    spread = max(1, len(samples) // 64)
    some = samples.gather(torch.arange(0, len(samples), spread)[:64])
    head = made.network.head if hasattr(made.network, "head") else made.network
    if hasattr(head, "centres"):
        features = made.network.embed(some).flatten(1)
        head.centres.copy_(features[torch.randperm(len(features))[: len(head.centres)]])
    settle(made.network, [some[:32], some[32:]])
