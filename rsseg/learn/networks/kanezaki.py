"""Kanezaki's network (2018, "Unsupervised image segmentation by backpropagation"; "Kan" in Ferreira et al., II-A)."""

from torch import Tensor, nn


class KanezakiTrunk(nn.Module):
    """Blocks of 3 x 3 convolution, ReLU and batch norm, in this order, at full resolution."""

    def __init__(self, channels: int, width: int | None = None, blocks: int = 2) -> None:
        """``width``: channels of every block, by default the paper's 100; ``blocks``: its nConv, 2 in its code."""
        super().__init__()
        self.width = width or 100
        layers: list[nn.Module] = []
        for block in range(blocks):
            entering = channels if block == 0 else self.width
            layers += [nn.Conv2d(entering, self.width, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(self.width)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h, w)."""
        features: Tensor = self.layers(x)
        return features


class ResponseHead(nn.Module):
    """1 x 1 convolution and batch norm: responses of equal scale, which keeps clusters from dying out at the start."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1)
        self.norm = nn.BatchNorm2d(classes)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes, h, w) before the softmax."""
        scores: Tensor = self.norm(self.conv(features))
        return scores
