"""IIC's network for Potsdam (Ji, Henriques and Vedaldi, "Invariant Information Clustering for Unsupervised Image
Classification and Segmentation", section 4.2; its layers are those of the authors' SegmentationNet10a)."""

from torch import Tensor, nn

LAYERS = ((1, 1), (2, 1), None, (4, 1), (4, 1), (8, 2), (8, 2))
"""Convolutions as (channels in units of the width, dilation), and a 2 x 2 pooling."""


class Net10aTrunk(nn.Module):
    """Six 3 x 3 convolutions, each with batch norm and ReLU, and one pooling: a map of half the tile's size.

    A pixel of the map sees 30 x 30 pixels of the tile. The authors' dilated convolutions shrink the map by 2 pixels
    each, and it is then stretched over the tile, out of place by up to 2 pixels at the borders; here the padding equals
    the dilation, so that the map lies exactly on the tile.
    """

    def __init__(self, channels: int, width: int | None = None) -> None:
        """``width``: channels of the first convolution, by default the authors' 64; the last has 8 times as many."""
        super().__init__()
        base = width or 64
        self.width = 8 * base
        layers: list[nn.Module] = []
        entering = channels
        for layer in LAYERS:
            if layer is None:
                layers.append(nn.MaxPool2d(2, 2))
                continue
            leaving, dilation = layer[0] * base, layer[1]
            convolution = nn.Conv2d(entering, leaving, 3, padding=dilation, dilation=dilation, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_in", nonlinearity="relu")
            layers += [convolution, nn.BatchNorm2d(leaving), nn.ReLU(inplace=True)]
            entering = leaving
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h // 2, w // 2)."""
        features: Tensor = self.layers(x)
        return features


class Net10aHead(nn.Module):
    """1 x 1 convolution without bias. Its softmax is taken on the coarse map, before any up-sampling."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes, h, w) before the softmax."""
        scores: Tensor = self.conv(features)
        return scores
