"""A ResNet34 for small patches, the other base network of IIC (section 4.1; He et al., "Deep Residual Learning for
Image Recognition", table 1)."""

from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.networks.iic import WIDTH, halvings

BLOCKS = (3, 4, 6, 3)
"""Blocks in each stage of ResNet34; a stage has twice the channels of the one before."""


def _convolution(channels: int, width: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    made = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return made


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(channels, width, 3, stride), nn.BatchNorm2d(width)
        self.second, self.second_norm = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(_convolution(channels, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h / stride, w / stride), rounded up."""
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class ResNetFeatures(nn.Module):
    """A 3 x 3 convolution, ResNet34's four stages, and the mean over the map: (n, 8 width).

    From 32 px on the map is halved four times (a pooling, and three stages with stride 2). A smaller patch leaves out
    the pooling, then the stride of the last stages, so that the map is still 2 x 2.
    """

    def __init__(self, bands: int, size: int, width: int = WIDTH) -> None:
        super().__init__()
        strided = halvings(size, len(BLOCKS) - 1)
        self.stem = nn.Sequential(_convolution(bands, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.pooling: nn.Module = nn.MaxPool2d(2, 2) if halvings(size, len(BLOCKS)) > strided else nn.Identity()
        blocks, channels = [], width
        for stage, count in enumerate(BLOCKS):
            for number in range(count):
                stride = 2 if number == 0 and 0 < stage <= strided else 1
                blocks.append(BasicBlock(channels, width << stage, stride))
                channels = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.width = channels

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, width) of patches (n, bands, size, size)."""
        features: Tensor = self.blocks(self.pooling(self.stem(x))).mean(dim=(2, 3))
        return features
