"""Some of a scene's samples, such as those whose class is known."""

import torch
from torch import Tensor

from rsseg.errors import TrainingError
from rsseg.learn.samples import Offset, Samples


class Subset:
    """Samples numbered anew: number ``i`` is the sample ``chosen[i]`` of all."""

    def __init__(self, samples: Samples, chosen: Tensor) -> None:
        """``chosen``: (n,) int64 on the samples' device.

        Raises: TrainingError where only a part of the samples is in memory, since its numbers change each epoch.
        """
        if not samples.whole:
            raise TrainingError("the scene does not fit in half of --memory, which labels need; give more --memory")
        self.samples, self.chosen, self.patch = samples, chosen, samples.patch

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def window(self) -> int:
        """The largest size that may be gathered."""
        return self.samples.window

    @property
    def whole(self) -> bool:
        """Always: see ``__init__``."""
        return True

    def gather(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Samples (n, bands, size, size), channels last."""
        return self.samples.gather(self._all(indices), size, offset)

    def valid(self, indices: Tensor, size: int | None = None, offset: Offset = (0, 0)) -> Tensor:
        """Which pixels of the same windows are valid: (n, size, size) bool."""
        return self.samples.valid(self._all(indices), size, offset)

    def regions(self, indices: Tensor) -> Tensor:
        """Superpixels of samples, numbered from 0 in each: (n, patch, patch) int64."""
        return self.samples.regions(self._all(indices))

    def of_first(self, scenes: int) -> Tensor:
        """The numbers of the samples that come from the first so many scenes: (n,) int64."""
        return torch.nonzero(torch.isin(self.chosen.cpu(), self.samples.of_first(scenes))).flatten()

    def redraw(self, epoch: int) -> None:
        """Nothing: everything is in memory."""

    def _all(self, indices: Tensor) -> Tensor:
        return self.chosen[indices.to(torch.int64).to(self.chosen.device)]
