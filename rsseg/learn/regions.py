"""Superpixels of samples, made once a sample and kept."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import TrainingError
from rsseg.learn.inputs import SceneInput
from rsseg.scene.grid import Window

RegionMaker = Callable[[NDArray, NDArray[np.bool_], SceneInput | None, Window], NDArray[np.int32]]
"""Pixels (bands, h, w) normalised, valid pixels (h, w), the scene (None for an image of a data set) and the window ->
region numbers (h, w) from 0. Several threads call it at once. ``learn`` takes this as a function, since the libraries
behind it are not everywhere."""


@dataclass(frozen=True)
class Item:
    """A sample whose regions are wanted: ``pixels`` (bands, h, w), ``valid`` (h, w), and where it lies."""

    key: tuple[int, int]
    pixels: Tensor
    valid: Tensor
    scene: SceneInput | None
    window: Window


class RegionCache:
    """Regions by (scene, sample), computed when first asked for."""

    def __init__(self, make: RegionMaker | None) -> None:
        self.make = make
        self.kept: dict[tuple[int, int], NDArray] = {}

    def missing(self, keys: list[tuple[int, int]]) -> list[int]:
        """The places in ``keys`` that are still to be computed, one a key."""
        return list({key: place for place, key in enumerate(keys) if key not in self.kept}.values())

    def add(self, items: Sequence[Item]) -> None:
        """Compute the regions of samples, in as many threads as torch has."""
        make = self.make
        if make is None:
            raise TrainingError("this training needs superpixels, and none were given; train through rsseg train")

        def compute(item: Item) -> NDArray:
            found = make(item.pixels.cpu().numpy(), item.valid.cpu().numpy(), item.scene, item.window)
            return found.astype(np.uint16 if found.max(initial=0) < 1 << 16 else np.int32)

        with ThreadPoolExecutor(min(torch.get_num_threads(), max(1, len(items)))) as pool:
            self.kept.update(zip((item.key for item in items), pool.map(compute, items), strict=True))

    def clear(self) -> None:
        """Forget all regions, when other samples are drawn."""
        self.kept.clear()

    def stacked(self, keys: list[tuple[int, int]], device: torch.device) -> Tensor:
        """Regions (n, h, w) int64."""
        return torch.from_numpy(np.stack([self.kept[key] for key in keys]).astype(np.int64)).to(device)
