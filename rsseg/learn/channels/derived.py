"""A scene as its channels: what training and labelling read in place of the bands."""

import numpy as np
from numpy.typing import NDArray

from rsseg.learn.channels.stack import Channels
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window

BLOCK = 1 << 18
"""Pixels computed at a time, which bounds what lies in memory beside the result."""


class DerivedSource:
    """A pixel source of a scene's channels; a pixel's values do not depend on the window that is read."""

    def __init__(self, scene: SceneInput, channels: Channels) -> None:
        self.scene, self.channels = scene, channels
        self.pixels = channels.pixels(scene)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return len(self.channels.names), *self.scene.source.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return np.dtype(np.float32)

    def read(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Channels (channels, h, w) and valid pixels (h, w) of a window; by blocks of rows."""
        values = np.empty((self.shape[0], window.height, window.width), np.float32)
        valid = np.empty((window.height, window.width), bool)
        rows = max(64, BLOCK // window.width)
        for top in range(0, window.height, rows):
            part = Window(window.row + top, window.col, min(rows, window.height - top), window.width)
            values[:, top : top + rows], valid[top : top + rows] = self.channels.compute(self.pixels, part)
        return values, valid


def derived(scene: SceneInput, channels: Channels | None) -> SceneInput:
    """The scene whose bands are the channels, in physical units; the scene itself where there are none."""
    if channels is None:
        return scene
    count = len(channels.names)
    return SceneInput(scene.name, DerivedSource(scene, channels), (1.0,) * count, (0.0,) * count)


def bands_of(scene: SceneInput, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]] | None:
    """The bands (bands, h, w) that a scene of channels was made of, and its valid pixels; None for other scenes."""
    return scene.source.pixels.read(window) if isinstance(scene.source, DerivedSource) else None
