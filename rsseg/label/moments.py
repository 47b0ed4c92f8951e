"""Means and variances of the values of clusters, gathered from one pass over a scene."""

import numpy as np

CHUNK = 1 << 18
"""Pixels taken at a time: their values as float64 stay in the cache."""


class Moments:
    """Counts (256,), means and sums of squared deviations (256, bands) of groups of pixels, gathered chunk by chunk.

    Chunks are joined as in Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", equation
    2.1, so that large digital numbers lose no digits.
    """

    def __init__(self, bands: int) -> None:
        self.counts = np.zeros(256, np.int64)
        self.means = np.zeros((256, bands))
        self.squares = np.zeros((256, bands))

    @property
    def variances(self) -> np.ndarray:
        """(256, bands), over each group's pixels; 0 for groups that have none."""
        return np.asarray(self.squares / np.maximum(self.counts, 1)[:, None])

    def gather(self, groups: np.ndarray, values: np.ndarray) -> None:
        """Take values (bands, h, w) of pixels in groups (h, w); those of group 0 do not count."""
        known, flat = groups.ravel(), values.reshape(len(values), -1)
        for start in range(0, known.size, CHUNK):
            part = slice(start, start + CHUNK)
            keep = known[part] > 0
            self.add(known[part][keep], flat[:, part][:, keep].astype(np.float64))

    def add(self, groups: np.ndarray, values: np.ndarray) -> None:
        """Take values (bands, n) of pixels in groups (n,)."""
        counts = np.bincount(groups, minlength=256)
        together = np.maximum(self.counts + counts, 1)
        for band, row in enumerate(values):
            means = np.bincount(groups, row, 256) / np.maximum(counts, 1)
            squares = np.bincount(groups, (row - means[groups]) ** 2, 256)
            # a group that the chunk lacks keeps its mean
            step = np.where(counts > 0, means - self.means[:, band], 0.0)
            self.squares[:, band] += squares + step**2 * (self.counts * counts / together)
            self.means[:, band] += step * (counts / together)
        self.counts += counts
