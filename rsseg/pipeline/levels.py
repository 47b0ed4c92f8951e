"""How a scene's pixels fall into classes: fine clusters, and every stage of their merging."""

from collections.abc import Sequence

import rasterio

from rsseg.errors import TrainingError
from rsseg.learn.bottleneck import Level
from rsseg.learn.channels.base import cells
from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import channel_words, fit_channels
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.devices import choose_device
from rsseg.learn.inputs import ArraySource, SceneInput
from rsseg.learn.methods.context import ContextSettings
from rsseg.learn.methods.context_start import fit_fine
from rsseg.pipeline.inputs import reading
from rsseg.pipeline.stages.train import training_samples
from rsseg.progress import SILENT, Reporter
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.source import Scene

PIXELS, SIDE = 1 << 21, 256
"""Pixels of a scene that are looked at, and the side of the windows that a larger scene is sampled by."""

FINE = 48
"""Fine clusters that the number of classes is chosen from: more than there may be classes, on every scene."""

MEMORY = 1 << 31
"""Bytes that these windows lie in whole, whatever the machine has: what is chosen may not depend on it."""


def scene_channels(scene: Scene, settings: ChannelSettings, *, seed: int = 0) -> tuple[str, ...]:
    """The words of the channels that ``settings`` come to on a scene."""
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), reading([scene]) as inputs:
        return channel_words(settings, inputs, scene.band_names, seed)


def scene_levels(
    scene: Scene, settings: ContextSettings, *, seed: int = 0, threads: int | None = None, reporter: Reporter = SILENT
) -> list[Level]:
    """Cluster a scene's pixels as ``settings`` say and merge the clusters step by step, always on the CPU.

    Of a scene of more than ``PIXELS`` pixels, windows are read that are spread over it; time does not grow with it.
    Raises: TrainingError where too few pixels are valid.
    """
    device = choose_device("cpu", threads)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), reading([scene]) as inputs:
        channels = fit_channels(settings, inputs, scene.band_names, seed)
        seen = [derived(part, channels) for part in _parts(inputs[0], settings.patch)]
        try:
            samples = training_samples(seen, settings, seed, device, MEMORY, reporter=reporter)
        except TrainingError:
            raise _too_little(scene, settings) from None
        with reporter.task("choosing the number of classes", 1) as task:
            levels = fit_fine(samples, FINE, settings.spectral_weight, seed).levels
            task.advance()
    return levels


def _parts(scene: SceneInput, tile: int) -> Sequence[SceneInput]:
    """The scene, or windows of it in memory that have room for a tile."""
    height, width = scene.source.shape[1:]
    if height * width <= PIXELS:
        return [scene]
    windows = cells((height, width), SIDE, SIDE, PIXELS)
    return [
        SceneInput(scene.name, ArraySource(*scene.source.read(window)), scene.scale, scene.offset)
        for window in windows
        if min(window.height, window.width) >= tile
    ]


def _too_little(scene: Scene, settings: ContextSettings) -> TrainingError:
    return TrainingError(
        f"no tile of {settings.patch} x {settings.patch} pixels of {scene.name} is half valid; check its nodata value, "
        "or copy pipelines/default.yaml, make its patch smaller, and rsseg run the copy"
    )
