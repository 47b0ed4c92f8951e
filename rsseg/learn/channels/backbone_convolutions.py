"""VGG16 (Simonyan and Zisserman, 2015) and ResNets (He et al., 2016) up to a layer, from torchvision's weights.

Batch norm is folded into the convolutions, so that VGG16 with it and without are one thing, and few tensors are kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.channels.backbone_tiles import Tiling, Trunk, tiling
from rsseg.learn.networks.vgg import BLOCKS
from rsseg.learn.networks.weights import spread_filters

CORE, DEEP_CORE = 256, 1024
"""Scene pixels of a tile: four times its halo within these limits, so that the halo is not most of the work."""

VGG_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
RESNET_LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4")

RESNETS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
"""Blocks of each stage."""

Step = tuple[int, int, int]
"""Kernel, stride and padding of a layer."""


def folded(weights: Mapping[str, Tensor], convolution: str, norm: str | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what it and the batch norm behind it did with stored statistics."""
    weight = weights[f"{convolution}.weight"].double()
    bias = weights.get(f"{convolution}.bias", torch.zeros(len(weight))).double()
    if norm is not None:
        gain = weights[f"{norm}.weight"].double() / (weights[f"{norm}.running_var"].double() + 1e-5).sqrt()
        weight = weight * gain[:, None, None, None]
        bias = (bias - weights[f"{norm}.running_mean"].double()) * gain + weights[f"{norm}.bias"].double()
    return weight.float(), bias.float()


def geometry(steps: Sequence[Step]) -> tuple[int, float, int]:
    """Of layers one behind the other: the stride, where cell 0 lies, and how far a cell sees, in input pixels."""
    stride, centre, reach = 1, 0.0, 0.0
    for kernel, step, padding in steps:
        centre += ((kernel - 1) / 2 - padding) * stride
        reach += (kernel - 1) / 2 * stride
        stride *= step
    return stride, centre, ceil(reach)


class ConvolutionTrunk(Trunk):
    """A convolutional network, ``tensors`` being its folded weights; in channels-last order, which is faster."""

    def __init__(self, tensors: Mapping[str, Tensor], steps: Sequence[Step]) -> None:
        self.tensors = {name: _laid(tensor) for name, tensor in tensors.items()}
        self.stride, self.centre, self.reach = geometry(steps)

    def tiling(self, zoom: int) -> Tiling:
        """Tiles whose halo is beyond what a cell of the core, or the next one, sees of it."""
        halo = self.stride + self.reach + zoom
        return tiling(self.stride, self.centre, zoom, min(max(CORE * zoom, 4 * halo), DEEP_CORE * zoom), halo)

    def convolve(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        """One convolution, padded so that only its stride changes the size."""
        weight = self.tensors[f"{name}.weight"]
        bias = self.tensors[f"{name}.bias"]
        return functional.conv2d(x, weight, bias, stride, padding=weight.shape[-1] // 2)


def _laid(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


class VggTrunk(ConvolutionTrunk):
    """VGG16 up to the last ReLU of one of its first four blocks."""

    def __init__(self, layer: str, tensors: Mapping[str, Tensor]) -> None:
        """``tensors``: those of ``vgg_tensors``."""
        self.plan = list(vgg_plan(layer))
        super().__init__(tensors, [(2, 2, 0) if name == "pool" else (3, 1, 1) for name in self.plan])
        self.width = len(tensors[f"{self.plan[-1]}.bias"])

    def __call__(self, x: Tensor) -> Tensor:
        """Cells (width, n / stride, n / stride) of a tile (1, inputs, n, n)."""
        x = _laid(x)
        for name in self.plan:
            x = functional.max_pool2d(x, 2) if name == "pool" else self.convolve(x, name).relu_()
        return x[0]


def vgg_plan(layer: str) -> Iterator[str]:
    """The convolutions, counted from 0, and poolings up to a layer."""
    numbers = count()
    for block, (_, convolutions) in enumerate(BLOCKS[: VGG_LAYERS.index(layer) + 1]):
        if block:
            yield "pool"
        for _ in range(convolutions):
            yield f"convolution{next(numbers)}"


def vgg_tensors(weights: Mapping[str, Tensor], layer: str, inputs: int) -> dict[str, Tensor]:
    """What ``VggTrunk`` needs of torchvision's vgg16 or vgg16_bn. Raises: KeyError, ValueError if it is neither."""
    normed = "features.1.running_mean" in weights
    tensors, place = {}, 0
    for name in vgg_plan(layer):
        if name == "pool":
            place += 1
            continue
        norm = f"features.{place + 1}" if normed else None
        weight, bias = folded(weights, f"features.{place}", norm)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
        place += 3 if normed else 2
    tensors["convolution0.weight"] = spread_filters(tensors["convolution0.weight"], inputs)
    _check_chain([tensor for tensor in tensors.values() if tensor.ndim == 4], inputs)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _check_chain(weights: Sequence[Tensor], inputs: int) -> None:
    """Raise ValueError unless each 3 x 3 convolution takes what the one before gives."""
    channels = [inputs, *(len(weight) for weight in weights)]
    for weight, (taken, _) in zip(weights, pairwise(channels), strict=True):
        if weight.shape[1:] != (taken, 3, 3):
            raise ValueError(f"a convolution of shape {tuple(weight.shape)} stands behind {taken} channels")


class ResnetTrunk(ConvolutionTrunk):
    """A ResNet up to its stem (before the pooling) or one of its four stages.

    A bottleneck block has its stride in the 3 x 3 convolution, as torchvision has it.
    """

    def __init__(self, network: str, layer: str, tensors: Mapping[str, Tensor]) -> None:
        """``tensors``: those of ``resnet_tensors``."""
        self.blocks = list(resnet_blocks(network, layer))
        self.deep = "layer1.0.conv3.weight" in tensors
        super().__init__(tensors, [(7, 2, 3), *self._steps()])
        last = f"{self.blocks[-1][0]}.conv{3 if self.deep else 2}" if self.blocks else "conv1"
        self.width = len(tensors[f"{last}.bias"])

    def _steps(self) -> Iterator[Step]:
        if self.blocks:
            yield 3, 2, 1
        for _, stride in self.blocks:
            yield 3, stride, 1
            if not self.deep:
                yield 3, 1, 1

    def __call__(self, x: Tensor) -> Tensor:
        """Cells (width, n / stride, n / stride) of a tile (1, inputs, n, n)."""
        x = self.convolve(_laid(x), "conv1", 2).relu_()
        if self.blocks:
            x = functional.max_pool2d(x, 3, 2, 1)
        for name, stride in self.blocks:
            x = self._block(x, name, stride)
        return x[0]

    def _block(self, x: Tensor, name: str, stride: int) -> Tensor:
        """(n, channels, h, w) -> (n, width, h / stride, w / stride)."""
        y = self.convolve(x, f"{name}.conv1", 1 if self.deep else stride).relu_()
        y = self.convolve(y, f"{name}.conv2", stride if self.deep else 1)
        if self.deep:
            y = self.convolve(y.relu_(), f"{name}.conv3")
        if f"{name}.downsample.0.weight" in self.tensors:
            x = self.convolve(x, f"{name}.downsample.0", stride)
        return y.add_(x).relu_()


def resnet_blocks(network: str, layer: str) -> Iterator[tuple[str, int]]:
    """The blocks up to a layer, each with its stride."""
    for stage, blocks in enumerate(RESNETS[network][: RESNET_LAYERS.index(layer)], start=1):
        for number in range(blocks):
            yield f"layer{stage}.{number}", 2 if stage > 1 and number == 0 else 1


def resnet_tensors(weights: Mapping[str, Tensor], network: str, layer: str, inputs: int) -> dict[str, Tensor]:
    """What ``ResnetTrunk`` needs of torchvision's weights. Raises: KeyError, ValueError if they are another network's.

    Only the layers that are used are looked at.
    """
    pairs = {"conv1": "bn1"}
    convolutions = 3 if network == "resnet50" else 2
    for block, _ in resnet_blocks(network, layer):
        pairs |= {f"{block}.conv{number}": f"{block}.bn{number}" for number in range(1, convolutions + 1)}
        if f"{block}.downsample.0.weight" in weights:
            pairs[f"{block}.downsample.0"] = f"{block}.downsample.1"
    _check_blocks(weights, network, layer)
    tensors = {}
    for convolution, norm in pairs.items():
        tensors[f"{convolution}.weight"], tensors[f"{convolution}.bias"] = folded(weights, convolution, norm)
    tensors["conv1.weight"] = spread_filters(tensors["conv1.weight"], inputs)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _check_blocks(weights: Mapping[str, Tensor], network: str, layer: str) -> None:
    """Raise ValueError for the weights of a ResNet with more blocks, or with other ones."""
    for stage, blocks in enumerate(RESNETS[network][: RESNET_LAYERS.index(layer)], start=1):
        if f"layer{stage}.{blocks}.conv1.weight" in weights:
            raise ValueError(f"stage {stage} has more than {blocks} blocks")
        if (f"layer{stage}.0.conv3.weight" in weights) != (network == "resnet50"):
            raise ValueError("its blocks are of the other kind")
