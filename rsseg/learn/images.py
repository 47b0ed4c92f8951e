"""Samples of an image data set, which lies in memory whole."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rsseg.errors import TrainingError
from rsseg.learn.normalise import Moments, Normalisation, standardise
from rsseg.learn.regions import Item, RegionCache, RegionMaker
from rsseg.learn.samples import Offset
from rsseg.scene.grid import Window


class ImageSamples:
    """A data set of images (n, bands, height, width) in memory, standardised over all of it (RECAL, eq. 4)."""

    def __init__(self, images: NDArray, device: torch.device, regions: RegionMaker | None = None) -> None:
        self.patch, self._regions = int(images.shape[2]), RegionCache(regions)
        moments = Moments(images.shape[1])
        for band_major in np.array_split(images, max(1, len(images) // 4096)):
            wide = band_major.astype(np.float64)
            sums = wide.sum(axis=(0, 2, 3)), (wide * wide).sum(axis=(0, 2, 3))
            moments.add(wide.size // images.shape[1], *sums, [1.0] * images.shape[1], [0.0] * images.shape[1])
        self.normalisation: Normalisation = standardise(moments)
        self.images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, 1, -1))).to(device)
        self.mean = torch.tensor(self.normalisation.centre, dtype=torch.float32, device=device)
        self.deviation = torch.tensor(self.normalisation.spread, dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def window(self) -> int:
        """Images have no surroundings: their own size."""
        return self.patch

    @property
    def whole(self) -> bool:
        """Images always lie in memory whole."""
        return True

    def gather(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Images (n, bands, height, width), normalised; images have no neighbourhood to take from."""
        self._check(size, offset)
        return ((self.images[indices].to(torch.float32) - self.mean) / self.deviation).permute(0, 3, 1, 2)

    def valid(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """All pixels of images are valid: (n, height, width) bool."""
        self._check(size, offset)
        return torch.ones((len(indices), *self.images.shape[1:3]), dtype=torch.bool, device=self.images.device)

    def regions(self, indices: Tensor) -> Tensor:
        """Superpixels of images, numbered from 0 in each: (n, height, width) int64."""
        keys = [(0, int(number)) for number in indices]
        whole = Window(0, 0, *self.images.shape[1:3])
        missing = self._regions.missing(keys)
        if missing:
            parts = zip(missing, self.gather(indices[missing]), self.valid(indices[missing]), strict=True)
            self._regions.add([Item(keys[place], x, valid, None, whole) for place, x, valid in parts])
        return self._regions.stacked(keys, self.images.device)

    def of_first(self, scenes: int) -> Tensor:
        """All images: a data set counts as one scene."""
        return torch.arange(len(self))

    def redraw(self, epoch: int) -> None:
        """Images always lie in memory whole."""

    def _check(self, size: int | None, offset: Offset) -> None:
        if size not in (None, self.patch) or isinstance(offset, Tensor) or offset != (0, 0):
            raise TrainingError(
                "images have no surroundings: shifted windows are for scenes only; IIC needs --pairs transform"
            )
