"""DIC's network (Zhou and Wei, 2020, "DIC: Deep Image Clustering for Unsupervised Image Segmentation"; Ferreira et al.,
II-C): one level of a U-Net, and a head whose last block describes each pixel by a few directions of the whole tile."""

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


def _double(entering: int, width: int) -> nn.Sequential:
    """Twice: 3 x 3 convolution, batch norm, ReLU."""
    layers: list[nn.Module] = []
    for channels in (entering, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class DicTrunk(nn.Module):
    """Blocks 1 to 6 of Ferreira et al., Fig. 3: full resolution, half resolution, both joined at full resolution."""

    def __init__(self, channels: int, width: int | None = None) -> None:
        """``width``: channels at full resolution, by default the paper's 64; the trunk ends with twice as many."""
        super().__init__()
        base = width or 64
        self.width = 2 * base
        self.inc = _double(channels, base)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # the last row and column of odd tiles count too
        self.down = _double(base, 2 * base)
        self.up = _double(3 * base, 2 * base)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, width, h, w)."""
        fine = self.inc(x)
        coarse = self.down(self.pool(fine))
        # corners aligned, as in the authors' code
        coarse = functional.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=True)
        features: Tensor = self.up(torch.cat([fine, coarse], dim=1))
        return features


class DeepClusteringSubnetwork(nn.Module):
    """The DCS block (DSC in Ferreira et al.): pixels written as mixtures of ``centres`` directions found in the tile.

    The directions start from a fixed random buffer, which training never changes, and take ``steps`` of expectation
    maximisation in every tile. No gradient passes through them, nor through ``enter``, which keeps its start as it does
    in the authors' code.
    """

    start: Tensor

    def __init__(self, width: int, centres: int = 32, steps: int = 3) -> None:
        super().__init__()
        self.steps = steps
        start = torch.randn(1, width, centres) * (2.0 / centres) ** 0.5
        self.register_buffer("start", functional.normalize(start, dim=1))
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width, bias=False)
        for layer in (self.enter, self.leave):
            nn.init.normal_(layer.weight, std=(2.0 / width) ** 0.5)
        nn.init.zeros_(self.enter.bias)
        self.enter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) -> the same, not negative."""
        pixels = x.permute(0, 2, 3, 1)  # a 1 x 1 convolution is a linear layer of each pixel
        mixed = functional.relu(self._mixtures(pixels.flatten(1, 2))).view_as(pixels)
        return functional.relu(pixels + self.leave(mixed)).permute(0, 3, 1, 2)

    @torch.no_grad()
    def _mixtures(self, pixels: Tensor) -> Tensor:
        """Every pixel (n, h w, width) as the mixture of directions that it belongs to."""
        pixels = self.enter(pixels)
        directions = self.start.expand(len(pixels), -1, -1).to(pixels.dtype)
        for _ in range(self.steps):
            shares = functional.softmax(pixels @ directions, dim=2)
            directions = pixels.transpose(1, 2) @ (shares / (EPSILON + shares.sum(dim=1, keepdim=True)))
            directions = functional.normalize(directions, dim=1, eps=EPSILON)
        return shares @ directions.transpose(1, 2)


class DicHead(nn.Module):
    """Block 7 and the DCS block: 1 x 1 convolution, batch norm, DCS. A second classifier is a second such head."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 1)
        self.norm = nn.BatchNorm2d(classes)
        self.cluster = DeepClusteringSubnetwork(classes)

    def forward(self, features: Tensor) -> Tensor:
        """Scores (n, classes, h, w) before the softmax, not negative."""
        scores: Tensor = self.cluster(self.norm(self.conv(features)))
        return scores
