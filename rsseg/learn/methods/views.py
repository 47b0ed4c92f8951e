"""What both forms of IIC share: how values of a pair's other half are changed, and which scenes the main head sees."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from rsseg.learn.augment import ColourJitter, Photometry, gain_offset
from rsseg.learn.methods.base import MethodSettings, shuffled


class ViewSettings(MethodSettings):
    """Settings of the photometric change, and of the main head's scenes."""

    masks: ClassVar[bool] = True

    photometric: Literal["gain-offset", "rgb-jitter", "none"] = Field(
        "gain-offset", description="gain-offset: band by band; rgb-jitter: the authors', of the visible bands."
    )
    gain: float = Field(0.1, ge=0, lt=1, description="Part by which a band's gain may change.")
    offset: float = Field(0.1, ge=0, description="In normalised units: standard deviations, or parts of the range.")
    visible: int = Field(3, ge=1, description="rgb-jitter: how many of the first bands are visible.")
    balance_tolerance: float = Field(
        0.0,
        ge=0,
        description="Nats below ln K within which unequal clusters cost nothing (IMSAT's constraint); 0: none.",
    )
    main_scenes: int | None = Field(
        None, ge=1, description="The main head trains on the first so many scenes, the auxiliary head on all."
    )

    def photometry(self, *amounts: float) -> Photometry | None:
        """The change of values; ``amounts`` of the jitter: brightness, contrast, saturation, hue."""
        if self.photometric == "none":
            return None
        if self.photometric == "gain-offset":
            return lambda x, generator: gain_offset(x, self.gain, self.offset, generator)
        # black and white of standardised bands: two deviations to either side hold nearly all of an image
        limits = (0.0, 1.0) if self.normalise == "range" else (-2.0, 2.0)
        return ColourJitter(*limits, self.visible, *amounts)


def of_some(chosen: Tensor | None, count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Shuffled batches of the ``chosen`` samples, or of all ``count``; all in one where they are too few."""
    if chosen is None:
        yield from shuffled(count, min(count, size), generator)
        return
    if len(chosen):
        for indices in shuffled(len(chosen), min(len(chosen), size), generator):
            yield chosen[indices]
