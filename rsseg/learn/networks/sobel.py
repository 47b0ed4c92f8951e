"""A Sobel front end for any number of bands (IIC, section 4.1; Ntelemis et al., section III)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sobel(nn.Module):
    """Horizontal and vertical Sobel gradients of the mean of all bands, before the bands themselves.

    The papers take the grey value of red, green and blue; of other bands there is none, so the plain mean stands for
    it. Borders are replicated: zeros outside would draw an edge around every patch.
    """

    kernels: Tensor

    def __init__(self, bands: int, keep: bool = True) -> None:
        """``keep``: whether the bands follow the gradients, or the gradients stand alone."""
        super().__init__()
        self.keep, self.channels = keep, 2 + bands * keep
        across = [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]
        down = [list(column) for column in zip(*across, strict=True)]
        self.register_buffer("kernels", torch.tensor([[across], [down]]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, bands, h, w) -> (n, channels, h, w): dx, dy, then the bands."""
        grey = functional.pad(x.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        edges = functional.conv2d(grey, self.kernels.to(grey.dtype))
        return torch.cat([edges, x], dim=1) if self.keep else edges
