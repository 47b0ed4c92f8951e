"""IIC's VGG-like network for small images (section 4.1; its layers are those of the authors' code for MNIST)."""

from collections.abc import Iterator

from torch import Tensor, nn

WIDTH = 64
"""Channels of the first convolution; each later one has twice as many as the one before."""

CONVOLUTIONS = 4


def halvings(size: int, most: int) -> int:
    """How often a patch can be halved, at most ``most`` times, and still be 2 pixels wide."""
    return min(most, max(0, size.bit_length() - 2))


class ClusterNet(nn.Module):
    """Four 5 x 5 convolutions with batch norm and ReLU, a pooling between two, flattened: (n, width).

    The authors' three poolings take 24 px to 3 x 3. A smaller patch has fewer, the first ones, so that what is
    flattened is still 2 x 2: 16 px have three, 8 px two, 4 px one, 1 px none.
    """

    def __init__(self, bands: int, size: int, width: int = WIDTH) -> None:
        super().__init__()
        count = halvings(size, CONVOLUTIONS - 1)
        self.layers = nn.Sequential(*_layers(bands, width, count))
        self.width = width * 2 ** (CONVOLUTIONS - 1) * (size >> count) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, width) of patches (n, bands, size, size)."""
        features: Tensor = self.layers(x).flatten(1)
        return features


def _layers(channels: int, width: int, poolings: int) -> Iterator[nn.Module]:
    for number in range(CONVOLUTIONS):
        convolution = nn.Conv2d(channels, width, kernel_size=5, padding=2, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        yield convolution
        yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)
        if number < poolings:
            yield nn.MaxPool2d(2, 2)
        channels, width = width, 2 * width
