"""DDC's two networks (Kampffmeyer et al., "Deep divergence-based approach to clustering", section 3.3)."""

from torch import Tensor, nn

from rsseg.errors import UsageError

LENET_LEAST = 4
"""The smallest patch that can be pooled twice."""


class LenetFeatures(nn.Module):
    """Two 5 x 5 convolutions (32, 64), each with pooling and ReLU, then 100 units: (n, bands, s, s) -> (n, 100).

    Convolutions are padded by 2, so that they keep the size and patches of 4 px and more can be used; the paper does
    not speak of padding. The hidden layer is linear, ReLU, batch norm: the paper applies batch norm "in the fully
    connected layer", and says that it rescales what the kernel sees (section 4.6), so the kernel is taken behind it.
    """

    width = 100

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        if size < LENET_LEAST:
            raise UsageError(
                f"a patch of {size} pixels is too small for LeNet; choose --patch {LENET_LEAST} or more, "
                "or --network mlp"
            )
        self.layers = nn.Sequential(*convolution(bands, 32), *convolution(32, 64))
        self.hidden = nn.Sequential(*dense(64 * (size // 4) ** 2, self.width), nn.BatchNorm1d(self.width))
        he_start(self)

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 100)."""
        features: Tensor = self.hidden(self.layers(x).flatten(1))
        return features


class MlpFeatures(nn.Module):
    """Fully connected layers of 200, 200 and 500 units, for spectra and other vectors: (n, bands, s, s) -> (n, 500).

    The last one has batch norm behind its ReLU, as in ``LenetFeatures``.
    """

    width = 500

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        layers = (*dense(bands * size * size, 200), *dense(200, 200), *dense(200, self.width))
        self.hidden = nn.Sequential(*layers, nn.BatchNorm1d(self.width))
        he_start(self)

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 500)."""
        features: Tensor = self.hidden(x.flatten(1))
        return features


def convolution(channels: int, filters: int) -> tuple[nn.Module, ...]:
    """A 5 x 5 convolution, 2 x 2 max pooling and ReLU."""
    return nn.Conv2d(channels, filters, kernel_size=5, padding=2), nn.MaxPool2d(2), nn.ReLU()


def dense(inputs: int, units: int) -> tuple[nn.Module, ...]:
    """A fully connected layer and ReLU."""
    return nn.Linear(inputs, units), nn.ReLU()


def he_start(network: nn.Module) -> None:
    """Normal weights of variance 2 / inputs, biases 0 (section 4.6)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
