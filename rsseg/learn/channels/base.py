"""What every channel is: made of a scene's pixels, fitted on a sample of the training scenes, kept in the model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from rsseg.scene.grid import Window

GOLDEN = (5**0.5 - 1) / 2


class Pixels(Protocol):
    """A scene's bands in physical units, by windows that may reach beyond it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""

    def read(self, window: Window, margin: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Values (bands, h + 2 margin, w + 2 margin) float32 and valid pixels (h + 2 margin, w + 2 margin).

        Pixels outside the scene are invalid; the values of invalid pixels are 0. What is given may be a view of
        memory that others read too: it is not to be written to.
        """


@dataclass(frozen=True)
class Sample:
    """The pixels of the training scenes that channels are fitted on.

    ``places``: windows of scenes, regularly spaced; ``bands``: the names of the scenes' bands.
    """

    places: tuple[tuple[Pixels, Window], ...]
    bands: tuple[str, ...]
    seed: int = 0

    @cached_property
    def _read(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Values (n, bands) of the valid pixels, and differences (m, bands) of horizontal neighbours, both valid."""
        values, differences = [], []
        for pixels, window in self.places:
            found, valid = pixels.read(window)
            values.append(found[:, valid].T)
            differences.append(np.diff(found, axis=2)[:, valid[:, 1:] & valid[:, :-1]].T)
        return np.concatenate(values).astype(np.float64), np.concatenate(differences).astype(np.float64)

    @property
    def values(self) -> NDArray[np.float64]:
        """(n, bands) physical values of the valid pixels."""
        return self._read[0]

    @property
    def differences(self) -> NDArray[np.float64]:
        """(m, bands) differences of horizontal neighbours of which both are valid."""
        return self._read[1]


class Channel(BaseModel, ABC):
    """Some of what a network sees; its fields are the numbers that were fitted, and stand in the model file.

    A class adds ``kind: Literal["..."]``, by which ``kinds.AnyChannel`` finds it again; it has no default, which
    identities would leave out. Tensors, where it has some, are private attributes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str

    takes_layer: ClassVar[bool] = False
    """Whether its word may go on behind a colon."""

    @classmethod
    def check(cls, word: str, backbone: str) -> None:
        """Raise early what fitting would only meet late, such as a missing file."""

    @classmethod
    @abstractmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """The channel that ``word`` asks for, fitted on a sample; ``backbone``: weights of pretrained features."""

    @property
    def word(self) -> str:
        """What was asked for, as settings write it."""
        return self.kind

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What each channel is called, in order."""

    @property
    def reach(self) -> int:
        """How many pixels around a window ``compute`` is going to read, so that all channels share one reading."""
        return 0

    @abstractmethod
    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """The channels (names, h, w) of a window.

        A pixel's values must not depend on the window that was asked for, bit for bit. Those of invalid pixels are
        finite and otherwise of no meaning.
        """

    def tensors(self) -> dict[str, Tensor]:
        """Tensors that the model file keeps beside the network's, by name."""
        return {}

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        """This channel with the tensors that a model file kept."""
        return self


def cells(shape: tuple[int, int], height: int, width: int, pixels: int) -> Sequence[Window]:
    """Windows of at most (height, width), evenly spaced over a raster of ``shape``: about ``pixels`` pixels in all.

    Columns follow the golden ratio: a constant step through the cells could meet the same column in every row.
    """
    down, across = -(-shape[0] // height), -(-shape[1] // width)
    count = max(1, pixels // (height * width))
    every = [(row, col) for row in range(down) for col in range(across)]
    if count < len(every):
        chosen = [(int((k + 0.5) * down / count), int((k + 0.5) * GOLDEN % 1 * across)) for k in range(count)]
        every = list(dict.fromkeys(chosen))
    return [
        Window(row * height, col * width, min(height, shape[0] - row * height), min(width, shape[1] - col * width))
        for row, col in every
    ]
