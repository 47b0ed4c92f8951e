"""The complete list of what a network sees."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rsseg.learn.channels.base import Pixels
from rsseg.learn.channels.kinds import AnyChannel
from rsseg.learn.channels.pixels import HeldPixels, ScenePixels, grown
from rsseg.learn.channels.settings import ChannelSettings
from rsseg.learn.channels.smooth import Bilateral, SmoothPixels
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window

PREFIX = "channels."
"""What the names of the channels' tensors begin with in a model file."""


class Channels(BaseModel):
    """Channels in order, and how the bands are smoothed before; it stands in the model file, its tensors beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: tuple[AnyChannel, ...] = Field(min_length=1)
    smoothing: Bilateral | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What each channel is called."""
        return tuple(name for part in self.parts for name in part.names)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that ask for these channels."""
        return tuple(part.word for part in self.parts)

    def pixels(self, scene: SceneInput) -> Pixels:
        """The pixels that the channels of a scene are made of."""
        pixels = ScenePixels(scene)
        return SmoothPixels(pixels, self.smoothing) if self.smoothing else pixels

    def compute(self, pixels: Pixels, window: Window) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The channels (names, h, w) of a window, 0 where invalid, and its valid pixels (h, w)."""
        held = HeldPixels(pixels, grown(window, max(part.reach for part in self.parts)))
        valid = held.read(window)[1]
        found = np.concatenate([part.compute(held, window) for part in self.parts])
        if not valid.all():
            found[:, ~valid] = 0
        return found, valid

    def tensors(self) -> dict[str, Tensor]:
        """What the model file keeps beside the network's tensors."""
        return {
            f"{PREFIX}{number}.{name}": tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.tensors().items()
        }

    def rebuild(self, tensors: Mapping[str, Tensor]) -> Self:
        """These channels, as a model file describes them, with the tensors that it kept."""
        restored = []
        for number, part in enumerate(self.parts):
            start = f"{PREFIX}{number}."
            own = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
            restored.append(part.restored(own))
        return self.model_copy(update={"parts": tuple(restored)})


def channel_settings(channels: Channels | None) -> dict[str, Any]:
    """The settings that a model's channels were asked for by; the weights of pretrained features lie in the model."""
    asked = {"channels": channels.words, "denoise": channels.smoothing is not None} if channels else {}
    return {name: asked.get(name, field.default) for name, field in ChannelSettings.model_fields.items()}
