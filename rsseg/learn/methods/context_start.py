"""What a context training starts from: fine clusters of pixels by k-means, merged by neighbourhood and spectrum."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rsseg.errors import TrainingError
from rsseg.learn.bottleneck import Level, level_of, merge_levels, neighbour_counts
from rsseg.learn.methods.kmeans import centres_of
from rsseg.learn.samples import Samples

TILE_PIXELS = 1 << 21
"""Pixels, of tiles drawn by the seed, whose neighbours are counted."""

SAMPLE = 60_000
"""Pixels of these tiles that k-means is fitted on."""

STARTS = 3
"""scikit-learn's n_init."""

DISTANCES = (1, 2, 4)
"""Distances in pixels at which two pixels are neighbours: from the edges of fields to their insides."""


class Starter(nn.Module):
    """Fine clusters and the class that each belongs to; it labels the pixels that training starts from."""

    centres: Tensor
    groups: Tensor

    def __init__(self, fine: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(fine, width))
        self.register_buffer("groups", torch.full((fine,), -1, dtype=torch.int64))

    @property
    def fitted(self) -> bool:
        """Whether there are clusters yet."""
        return bool((self.groups >= 0).any())

    def fine(self, x: Tensor) -> Tensor:
        """The nearest centre of every pixel of tiles (n, width, h, w): (n, h, w) int64."""
        scores = torch.einsum("nchw,kc->nkhw", x.float(), self.centres)
        return (scores - 0.5 * (self.centres**2).sum(dim=1)[:, None, None]).argmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """The class of every pixel of tiles: (n, h, w) int64."""
        return self.groups[self.fine(x)]


@dataclass(frozen=True)
class Fine:
    """Fine clusters of a scene: their centres (fine, width), and every stage of their merging."""

    centres: Tensor
    levels: list[Level]

    def at(self, classes: int) -> Level:
        """The stage of at most so many classes."""
        return level_of(self.levels, classes)


def best_fine(samples: Samples, fine: int, weight: float, classes: int, seed: int, starts: int) -> Fine:
    """The best of some starts: that whose merged clusters tell most, of their neighbours in nats and of the variance.

    One k-means may part what merging cannot join again; this sum, which needs no labels, keeps such starts out.
    """
    found = [fit_fine(samples, fine, weight, seed + number) for number in range(starts)]
    return max(found, key=lambda one: one.at(classes).nats + one.at(classes).variance)


def fit_fine(samples: Samples, fine: int, weight: float, seed: int) -> Fine:
    """Cluster the pixels of tiles, count which clusters are neighbours, and merge them step by step.

    Raises: TrainingError where there are fewer valid pixels than clusters.
    """
    generator = torch.Generator().manual_seed(seed)
    tiles = torch.randperm(len(samples), generator=generator)[: max(1, TILE_PIXELS // samples.patch**2)]
    starter = Starter(fine, samples.gather(tiles[:1]).shape[1])
    starter.centres = _centres(_drawn(samples, tiles, generator), fine, seed)
    pixels, counts = torch.zeros(fine, dtype=torch.float64), torch.zeros(fine, fine, dtype=torch.float64)
    for x, valid in _tiles(samples, tiles):
        labels = starter.fine(x.cpu()).masked_fill(~valid.cpu(), -1)
        pixels += torch.bincount(labels[labels >= 0], minlength=fine)
        counts += neighbour_counts(labels, fine, [far for far in DISTANCES if far < samples.patch])
    kept = pixels > 0  # a centre may be nearest to no pixel
    found = starter.centres[kept]
    table = counts[kept][:, kept].numpy()
    return Fine(found, merge_levels(table, pixels[kept].numpy(), found.double().numpy(), weight))


def _tiles(samples: Samples, tiles: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Tiles (n, width, s, s) and their valid pixels (n, s, s), some at a time."""
    for chunk in tiles.split(max(1, (1 << 18) // samples.patch**2)):
        yield samples.gather(chunk), samples.valid(chunk)


def _drawn(samples: Samples, tiles: Tensor, generator: torch.Generator) -> np.ndarray:
    """Valid pixels (n, width) for k-means, an equal part of each tile's."""
    share = SAMPLE / (len(tiles) * samples.patch**2)
    chosen: list[Tensor] = []
    for x, valid in _tiles(samples, tiles):
        pixels = x.permute(0, 2, 3, 1)[valid].cpu()
        chosen.append(pixels[torch.rand(len(pixels), generator=generator) < share] if share < 1 else pixels)
    return torch.cat(chosen).float().numpy()


def _centres(pixels: np.ndarray, fine: int, seed: int) -> Tensor:
    if len(pixels) < fine:
        raise TrainingError(f"{len(pixels)} valid pixels cannot make {fine} fine clusters; choose a smaller --fine")
    return torch.from_numpy(centres_of(pixels, fine, seed % (1 << 32), STARTS)).float()


def put(starter: Starter, fine: Fine, classes: int) -> None:
    """Fill a starter with the fine clusters as they are merged to ``classes``; clusters it lacks stay unused."""
    count, device = len(fine.centres), starter.centres.device
    starter.centres[:count] = fine.centres.to(device)
    starter.centres[count:] = starter.centres[:1]  # never nearer than the first, which comes before them
    starter.groups[:count] = torch.from_numpy(fine.at(classes).groups).to(device)
    starter.groups[count:] = starter.groups[0]
