"""From words to channels: what has to be fitted is fitted on a regular sample of the training scenes."""

from collections.abc import Sequence
from dataclasses import replace

from rsseg.errors import TrainingError
from rsseg.learn.channels.automatic import automatic
from rsseg.learn.channels.base import Pixels, Sample, cells
from rsseg.learn.channels.kinds import AUTO, kind_of
from rsseg.learn.channels.pixels import ScenePixels
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.channels.smooth import Bilateral, SmoothPixels
from rsseg.learn.channels.stack import Channels
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window

PIXELS = 1 << 20
"""Pixels of all scenes that channels are fitted on."""

CELL = (64, 256)
"""Height and width of the windows of the sample."""


def fit_channels(
    settings: ChannelSettings, scenes: Sequence[SceneInput], bands: Sequence[str], seed: int = 0
) -> Channels | None:
    """The channels that ``settings`` ask for, or None where they are the bands as they are.

    Raises: UsageError if they cannot be made of ``bands``, the scenes' band names; TrainingError if the sample of the
    scenes holds no valid pixel.
    """
    if settings.plain:
        return None
    sample, smoothing = _seen(settings, scenes, bands, seed)
    parts = tuple(kind_of(word).fit(word, sample, settings.backbone) for word in _words(settings, sample))
    return Channels(parts=parts, smoothing=smoothing)


def channel_words(
    settings: ChannelSettings, scenes: Sequence[SceneInput], bands: Sequence[str], seed: int = 0
) -> tuple[str, ...]:
    """The words of the channels that ``fit_channels`` would fit; nothing is fitted but the smoothing.

    Raises: TrainingError as ``fit_channels``.
    """
    return settings.channels if settings.plain else _words(settings, _seen(settings, scenes, bands, seed)[0])


def _words(settings: ChannelSettings, sample: Sample) -> tuple[str, ...]:
    return automatic(sample, settings.few_classes) if settings.channels == (AUTO,) else settings.channels


def _seen(
    settings: ChannelSettings, scenes: Sequence[SceneInput], bands: Sequence[str], seed: int
) -> tuple[Sample, Bilateral | None]:
    """The sample that channels are made of, smoothed where that is asked for, and the filter."""
    sample = draw_sample([ScenePixels(scene) for scene in scenes], bands, seed)
    if not len(sample.values):
        raise TrainingError(
            f"no pixel in a sample of {', '.join(scene.name for scene in scenes)} is valid; check the nodata value"
        )
    if not settings.denoise:
        return sample, None
    smoothing = Bilateral.fit(sample)
    places = tuple((SmoothPixels(pixels, smoothing), at) for pixels, at in sample.places)
    return replace(sample, places=places), smoothing


def draw_sample(scenes: Sequence[Pixels], bands: Sequence[str], seed: int = 0) -> Sample:
    """Windows of all scenes, of each in proportion to its size."""
    sizes = [pixels.shape[1] * pixels.shape[2] for pixels in scenes]
    places: list[tuple[Pixels, Window]] = []
    for pixels, size in zip(scenes, sizes, strict=True):
        chosen = cells(pixels.shape[1:], *CELL, PIXELS * size // sum(sizes))
        places.extend((pixels, window) for window in chosen)
    return Sample(tuple(places), tuple(bands), seed)
