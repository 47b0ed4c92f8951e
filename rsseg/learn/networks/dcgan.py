"""The DCGAN of Ntelemis et al. (section III-A, Tables II and III), for patches of any size and number of bands."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rsseg.errors import UsageError
from rsseg.learn.networks.sobel import Sobel

SLOPE = 0.2
"""Of the leaky ReLUs, in both networks."""

DROPOUT = 0.2
"""After every block of the discriminator, for real and generated samples."""

DENSE = 1024
"""Values of the feature M where a dense layer follows the convolutions."""

DENSE_CHANNELS, FLAT_CHANNELS = 64, 32
"""Channels of the first convolution (Table II): of the network for CIFAR and STL, and of the one for MNIST."""

SPREAD = 3.0
"""Standardised values beyond so many deviations are cut, so that what remains fills [-1, 1], the generator's range."""


class DcganFeatures(nn.Module):
    """The discriminator up to its feature M: (n, bands, size, size) -> (n, width), after the last activation.

    Three 4 x 4 convolutions of stride 2 with c, 2c and 4c channels see the Sobel gradients of the mean of all bands and
    the bands. ``dense`` is the paper's network for CIFAR and STL: batch norm without scale, a dense layer, M of 1024
    values. Otherwise it is that for MNIST: batch norm after two convolutions, and M is the flattened map.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self, bands: int, size: int, channels: int | None = None, dense: bool = True, sobel: bool = True
    ) -> None:
        """``channels``: c, by default the paper's, 64 if dense and else 32. Raises: UsageError below 8 pixels."""
        super().__init__()
        if size < 8:
            raise UsageError(f"a patch of {size} pixels is too small for the DCGAN; choose --patch 8 or more")
        first = channels or (DENSE_CHANNELS if dense else FLAT_CHANNELS)
        self.sobel = Sobel(bands, keep=False) if sobel else None
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("spread", torch.tensor(SPREAD))
        counts = [bands + 2 * sobel, first, 2 * first, 4 * first]
        blocks = [_block(counts[i], counts[i + 1], norm=dense or i < 2, scale=not dense) for i in range(3)]
        self.layers = nn.Sequential(*(layer for block in blocks for layer in block))
        flat = counts[-1] * (size // 8) ** 2
        last = [nn.Linear(flat, DENSE), nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT)] if dense else []
        self.last = nn.Sequential(nn.Flatten(), *last)
        self.width = DENSE if dense else flat
        gaussian_start(self)

    def cover(self, low: float, high: float) -> None:
        """Let normalised values from ``low`` to ``high`` fill [-1, 1]."""
        self.centre.fill_((low + high) / 2)
        self.spread.fill_((high - low) / 2)

    def scaled(self, x: Tensor) -> Tensor:
        """Normalised samples, in the generator's range: [-1, 1], cut at both ends."""
        return ((x - self.centre) / self.spread).clamp(-1, 1)

    def extract(self, scaled: Tensor) -> Tensor:
        """M of samples in [-1, 1]."""
        if self.sobel is not None:
            # half, because the authors take the gradients of values in [0, 1] and the values in [-1, 1]
            scaled = torch.cat([self.sobel(scaled / 2), scaled], dim=1)
        features: Tensor = self.last(self.layers(scaled))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """M (n, width) of normalised samples."""
        return self.extract(self.scaled(x))


class DcganGenerator(nn.Module):
    """Noise (n, noise) in [-1, 1] to samples (n, bands, size, size) in [-1, 1].

    A dense layer makes a map of an eighth of the size, and three transposed 4 x 4 convolutions of stride 2 enlarge it;
    a size that is no multiple of 8 is cut out of the middle of the next one.
    """

    def __init__(self, bands: int, size: int, noise: int, channels: int | None = None, dense: bool = True) -> None:
        """``channels`` and ``dense`` as in ``DcganFeatures``: the map has 8c channels if dense, and else 4c."""
        super().__init__()
        self.noise, self.size, self.base = noise, size, -(-size // 8)
        self.first = (8 * (channels or DENSE_CHANNELS)) if dense else (4 * (channels or FLAT_CHANNELS))
        self.dense = nn.Linear(noise, self.first * self.base**2)
        layers: list[nn.Module] = [nn.LeakyReLU(SLOPE)]
        for count in (self.first, self.first // 2, self.first // 4):
            layers.append(nn.ConvTranspose2d(count, count // 2, 4, stride=2, padding=1, bias=False))
            layers += [_norm(count // 2, scale=not dense), nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv2d(self.first // 8, bands, 3, padding=1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        gaussian_start(self)

    def forward(self, z: Tensor) -> Tensor:
        """Samples (n, bands, size, size) in [-1, 1]."""
        coarse = self.dense(z).reshape(len(z), self.first, self.base, self.base)
        made: Tensor = self.layers(coarse.contiguous(memory_format=torch.channels_last))
        margin = (made.shape[-1] - self.size) // 2
        return made[:, :, margin : margin + self.size, margin : margin + self.size]


def gaussian_start(module: nn.Module, deviation: float = 0.02) -> None:
    """Weights of convolutions and dense layers from N(0, deviation), biases zero (section IV-D)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@contextmanager
def dropout_at(module: nn.Module, rate: float) -> Iterator[None]:
    """Dropout at another rate and active, whatever the mode of the module; all else stays in its mode."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Dropout)]
    before = [(layer.p, layer.training) for layer in layers]
    try:
        for layer in layers:
            layer.p = rate
            layer.train()
        yield
    finally:
        for layer, (p, training) in zip(layers, before, strict=True):
            layer.p = p
            layer.train(training)


def _block(inputs: int, outputs: int, norm: bool, scale: bool) -> list[nn.Module]:
    """A convolution that halves the map, with what follows it."""
    convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    norms = [_norm(outputs, scale)] if norm else []
    return [convolution, *norms, nn.LeakyReLU(SLOPE), nn.Dropout(DROPOUT)]


def _norm(channels: int, scale: bool) -> nn.BatchNorm2d:
    """Batch norm with the authors' epsilon; without ``scale`` only its shift is learned."""
    norm = nn.BatchNorm2d(channels, eps=1e-3)
    norm.weight.requires_grad_(scale)
    return norm
