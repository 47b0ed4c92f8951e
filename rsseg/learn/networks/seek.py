"""SEEK's network (Ilyas et al., 2020, "SEEK: A framework of superpixel learning with CNN features for unsupervised
segmentation"; Ferreira et al., II-B): a bottleneck with squeeze and excitation, passed twice."""

from torch import Tensor, nn


def _block(entering: int, leaving: int, size: int) -> list[nn.Module]:
    """Convolution without bias, batch norm, ReLU, at the same resolution."""
    conv = nn.Conv2d(entering, leaving, size, padding=size // 2, bias=False)
    return [conv, nn.BatchNorm2d(leaving), nn.ReLU(inplace=True)]


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole tile holds: mean, linear to an eighth, ReLU, linear, sigmoid."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(1, width // reduction)
        self.weigh = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(inplace=True), nn.Linear(inner, width), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        return x * self.weigh(x.mean(dim=(2, 3)))[:, :, None, None]


class SeekTrunk(nn.Module):
    """x = entry(image), y = SE(block(x)); the result is x + y + SE(block(y)), both passes sharing their weights."""

    def __init__(self, channels: int, width: int | None = None) -> None:
        """``width``: channels, by default SEEK's 128."""
        super().__init__()
        self.width = width or 128
        half = max(1, self.width // 2)
        self.entry = nn.Sequential(*_block(channels, self.width, 3))
        self.block = nn.Sequential(
            *_block(self.width, self.width, 1), *_block(self.width, half, 3), *_block(half, self.width, 1)
        )
        self.excite = SqueezeExcite(self.width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h, w)."""
        x = self.entry(x)
        first: Tensor = self.excite(self.block(x))
        second: Tensor = self.excite(self.block(first))
        return x + first + second
