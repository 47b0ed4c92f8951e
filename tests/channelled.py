"""Scenes with gaps, and channels fitted on them, for tests of what a network sees."""

import numpy as np
from numpy.typing import NDArray
from tiny import BANDS, blocks_scene

from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.channels.stack import Channels
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window

SIMPLE = ("bands", "components", "indices", "brightness", "texture", "means")


def gappy_scene(height: int = 40, width: int = 52, seed: int = 0) -> SceneInput:
    """Fields in stored integers with a scale and an offset; a hole, a border and single pixels without data."""
    values, _ = blocks_scene(height, width, seed=seed)
    valid = np.random.default_rng(seed).random((height, width)) > 0.02
    valid[10:14, 20:30] = False
    valid[:, :2] = False
    values[:, ~valid] = 0
    scene = SceneInput.of_array("gappy", values, valid)
    return SceneInput(scene.name, scene.source, (0.002, 0.002, 0.003), (-0.01, 0.0, 0.0))


def fitted(scene: SceneInput, *words: str, denoise: bool = False, bands: tuple[str, ...] = BANDS) -> Channels:
    channels = fit_channels(ChannelSettings(channels=words, denoise=denoise), [scene], bands)
    assert channels is not None
    return channels


def whole(scene: SceneInput, channels: Channels | None = None) -> tuple[NDArray, NDArray[np.bool_]]:
    """All channels (channels, H, W) of a scene, or its bands, and its valid pixels."""
    seen = derived(scene, channels)
    return seen.source.read(Window(0, 0, *seen.source.shape[1:]))


def physical(scene: SceneInput) -> NDArray[np.float64]:
    """The bands (bands, H, W) in physical units."""
    line = [np.array(numbers)[:, None, None] for numbers in (scene.scale, scene.offset)]
    found: NDArray[np.float64] = whole(scene)[0] * line[0] + line[1]
    return found
