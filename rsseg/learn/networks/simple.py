"""Features without parameters, for the k-means baseline."""

from torch import Tensor, nn


class PixelFeatures(nn.Module):
    """All pixels of a patch as one vector: (n, bands, s, s) -> (n, bands s s); a pixel's spectrum when s = 1."""

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        self.width = bands * size * size

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, width)."""
        return x.flatten(1)


class MeanFeatures(nn.Module):
    """The mean of each band over a patch: (n, bands, s, s) -> (n, bands)."""

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        self.width = bands

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, bands)."""
        return x.mean(dim=(2, 3))
