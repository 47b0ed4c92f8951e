"""A small network at full resolution: what a pixel is, seen with its nearest neighbours."""

from torch import Tensor, nn

WIDTH = 24
BLOCKS = 3


class NeighbourhoodTrunk(nn.Module):
    """Three blocks of 3 x 3 convolution, batch norm and ReLU: each pixel sees 7 x 7.

    Borders repeat their last pixel, so that the edge of a scene looks like its inside.
    """

    def __init__(self, channels: int, width: int | None = None) -> None:
        super().__init__()
        self.width = width or WIDTH
        layers: list[nn.Module] = []
        for block in range(BLOCKS):
            entering = channels if block == 0 else self.width
            convolution = nn.Conv2d(entering, self.width, 3, padding=1, padding_mode="replicate", bias=False)
            layers += [convolution, nn.BatchNorm2d(self.width), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h, w)."""
        features: Tensor = self.layers(x)
        return features
