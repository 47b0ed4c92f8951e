"""VGG16 with batch normalisation, cut where RECAL cuts it (section 3.4 and section 4 of the paper)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from warnings import warn

from torch import Tensor, nn

from rsseg.errors import InputError, UsageError, WeightsWarning
from rsseg.learn.networks.weights import found_file, imagenet_files, read_weights, spread_filters

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions before each of VGG16's five poolings (configuration D)."""

Cut = Literal["scene", "input"]


def poolings(cut: Cut, size: int) -> int:
    """How many poolings to keep.

    ``scene``: three, which take 8 px to 1 x 1; larger patches give a larger map, flattened (RECAL, section 4).
    ``input``: as many as take the input to 1 x 1, at most all five (RECAL, section 3.4). A patch of less than 8 px
    keeps as many as it can be halved.
    """
    halvings = max(1, size.bit_length() - 1)
    return min(3 if cut == "scene" else 5, halvings)


def vgg16_layers(bands: int, poolings: int) -> Iterator[nn.Module]:
    """The modules of torchvision's ``vgg16_bn().features`` up to the n-th pooling, in its order and with its start.

    They are made here because torchvision always builds all of VGG16, its 124 million classifier weights included.
    """
    channels = bands
    for width, convolutions in BLOCKS[:poolings]:
        for _ in range(convolutions):
            convolution = nn.Conv2d(channels, width, kernel_size=3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            yield convolution
            yield nn.BatchNorm2d(width)
            yield nn.ReLU(inplace=True)
            channels = width
        yield nn.MaxPool2d(2, 2)


class VggFeatures(nn.Module):
    """The first layers of VGG16-BN, flattened: (n, bands, size, size) -> (n, width)."""

    def __init__(self, bands: int, size: int, cut: Cut = "scene") -> None:
        super().__init__()
        if size < 2:
            raise UsageError(f"a patch of {size} pixel is too small for VGG16; choose --patch 8 or more")
        count = poolings(cut, size)
        self.layers = nn.Sequential(*vgg16_layers(bands, count))
        self.width = BLOCKS[count - 1][0] * (size >> count) ** 2

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, width)."""
        return self.layers(x).flatten(1)

    def load_imagenet(self, weights: dict[str, Tensor]) -> None:
        """Start from a VGG16-BN state dictionary (``features.*``; others are ignored).

        The first convolution has three inputs; ``spread_filters`` makes it fit another number of bands.
        """
        mine = self.layers.state_dict()
        try:
            chosen = {key: weights[f"features.{key}"] for key in mine}
            chosen["0.weight"] = spread_filters(chosen["0.weight"], mine["0.weight"].shape[1])
            self.layers.load_state_dict(chosen)
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as problem:
            raise InputError("the weights are not those of VGG16-BN as torchvision stores them") from problem


def start(features: VggFeatures, weights: str) -> None:
    """Set the start of training: ``random``, ``imagenet`` (the user's torchvision cache) or a local file.

    Nothing is downloaded: ``imagenet`` without the file in the cache is an error that says where to put it.
    """
    if weights == "random":
        warn(
            "VGG16 starts from random weights; RECAL's paper starts from ImageNet's (--weights FILE or imagenet)",
            WeightsWarning,
            stacklevel=2,
        )
        return
    features.load_imagenet(read_weights(weights_file(weights)))


def weights_file(weights: str) -> Path:
    """The file behind ``imagenet`` or a path. Raises: InputError, saying what to do, where there is none."""
    if weights != "imagenet":
        candidates, hint = [Path(weights)], "name a VGG16-BN file of torchvision"
    else:
        candidates = imagenet_files("vgg16_bn")
        hint = f"put torchvision's {candidates[0].name} there, name a file"
    return found_file(candidates, "VGG16-BN", f"{hint}, or start from random ones (weights: random)")
