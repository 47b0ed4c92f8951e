"""What networks trained on other images see in a scene: features of VGG16, ResNets and vision transformers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PrivateAttr
from torch import Tensor

from rsseg.errors import InputError, ModelError, UsageError
from rsseg.learn.channels.backbone_convolutions import (
    RESNET_LAYERS,
    RESNETS,
    VGG_LAYERS,
    ResnetTrunk,
    VggTrunk,
    resnet_tensors,
    vgg_tensors,
)
from rsseg.learn.channels.backbone_features import Features, Stretch, fitted_projection
from rsseg.learn.channels.backbone_tiles import Trunk
from rsseg.learn.channels.base import Channel, Pixels, Sample
from rsseg.learn.channels.vit import VitTrunk, vit_tensors
from rsseg.learn.networks.weights import found_file, imagenet_files, read_weights
from rsseg.scene.grid import Window

LAYERS = {"vgg16": VGG_LAYERS, **dict.fromkeys(RESNETS, RESNET_LAYERS), "vit": ()}
"""Network -> its layers by name; those of a transformer are numbers."""

USUAL = {"vgg16": "relu2_2", **dict.fromkeys(RESNETS, "layer1"), "vit": ""}
"""Network -> the layer where none is named; a transformer's is its last."""

IN_CACHE = {"vgg16": ("vgg16_bn", "vgg16"), **{name: (name,) for name in RESNETS}}
"""Network -> torchvision's names of it, in the order in which the cache is searched."""

ZOOMS = (1, 2, 3, 4)

FALSE_COLOURS = (("nir", "red", "green"), ("red", "green", "blue"))
"""Bands that stand for red, green and blue, of which the first ones that a scene has are taken."""


@dataclass(frozen=True)
class Asked:
    """A word's parts: ``NETWORK[:LAYER][@ZOOM]``, such as ``vit``, ``resnet18:layer1`` or ``vit:@1``."""

    network: str
    layer: str
    zoom: int

    @classmethod
    def of(cls, word: str) -> Self:
        """Read a word. Raises: UsageError that names the layers there are."""
        network, _, rest = word.partition(":")
        layer, at, zoom = rest.partition("@")
        layer = layer or USUAL[network]
        if network == "vit":
            if layer and not layer.isdecimal():
                raise UsageError(f"{word}: behind vit: stands the number of a block, counted from 0, such as vit:11")
        elif layer not in LAYERS[network]:
            raise UsageError(f"{word}: {network} has no layer {layer!r}; choose one of {', '.join(LAYERS[network])}")
        if at and zoom not in map(str, ZOOMS):
            raise UsageError(f"{word}: a scene can be enlarged 1 to 4 times, not {zoom!r}")
        return cls(network, layer, int(zoom) if at else 2 if network == "vit" else 1)


class Backbone(Channel):
    """The largest principal components of a frozen network's features, turned so that all have unit variance.

    ``inputs``: the places of the bands that the network sees, in its order; ``low`` and ``high``: (inputs,) physical
    values that become 0 and 1 for it; ``fill``: (inputs,) what invalid pixels are in that scale; ``count``: channels.
    The weights are tensors of the model file, so that a model needs no other one.
    """

    takes_layer: ClassVar[bool] = True

    kind: Literal["backbone"]
    asked: str
    network: str
    layer: str
    zoom: int
    inputs: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    fill: tuple[float, ...]
    count: int

    _features: Features | None = PrivateAttr(None)

    @classmethod
    def check(cls, word: str, backbone: str) -> None:
        """Raise UsageError for an unknown layer, InputError where the weights are not there."""
        weights_path(Asked.of(word).network, backbone)

    @classmethod
    def fit(cls, word: str, sample: Sample, backbone: str) -> Self:
        """Read the weights and fit stretch and projection.

        Raises: UsageError, InputError as ``check``, and InputError if the file holds another network.
        """
        asked = Asked.of(word)
        inputs = seen_bands(sample.bands)
        trunk = read_trunk(asked, weights_path(asked.network, backbone), len(inputs))
        stretch = Stretch.fit(inputs, sample.values)
        matrix, bias = fitted_projection(sample, stretch, trunk, asked.zoom)
        made = cls(
            kind="backbone",
            asked=word,
            network=asked.network,
            layer=asked.layer,
            zoom=asked.zoom,
            inputs=inputs,
            low=stretch.low,
            high=stretch.high,
            fill=stretch.fill,
            count=len(bias),
        )
        made._features = Features(trunk, stretch, asked.zoom, matrix, bias)
        return made

    @property
    def word(self) -> str:
        """As it was asked for."""
        return self.asked

    @property
    def names(self) -> tuple[str, ...]:
        """The word, numbered."""
        return tuple(f"{self.asked} {number}" for number in range(1, self.count + 1))

    def compute(self, pixels: Pixels, window: Window) -> NDArray[np.float32]:
        """(count, h, w) features, computed by tiles of a grid that is fixed to the scene's origin."""
        return self._fitted.compute(pixels, window)

    def tensors(self) -> dict[str, Tensor]:
        """The network up to its layer, and the projection."""
        features = self._fitted
        kept = {f"network.{name}": tensor for name, tensor in features.trunk.tensors.items()}
        return {**kept, "matrix": features.matrix, "bias": features.bias}

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        """With the tensors of a model file. Raises: ModelError if they are not this channel's."""
        made = self.model_copy()
        stretch = Stretch(self.inputs, self.low, self.high, self.fill)
        start = "network."
        network = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
        try:
            trunk = build_trunk(self.network, self.layer, network)
            made._features = Features(trunk, stretch, self.zoom, tensors["matrix"], tensors["bias"])
        except (KeyError, ValueError, IndexError) as problem:
            raise ModelError(f"the model lacks tensors of {self.asked}") from problem
        return made

    @property
    def _fitted(self) -> Features:
        if self._features is None:
            raise ModelError(f"{self.asked} lacks its tensors; load the whole model")
        return self._features


def seen_bands(names: Sequence[str]) -> tuple[int, ...]:
    """The places of the bands that stand for red, green and blue; all bands, in their order, where none do."""
    known = [name.casefold() for name in names]
    for colours in FALSE_COLOURS:
        if set(colours) <= set(known):
            return tuple(known.index(colour) for colour in colours)
    return tuple(range(len(names)))


def weights_path(network: str, backbone: str) -> Path:
    """The file behind ``imagenet``, in the user's torchvision cache, or a path; nothing is downloaded.

    Raises: UsageError for a transformer without a file, InputError that says which file to put where.
    """
    if backbone != "imagenet":
        return found_file([Path(backbone)], network, "name a .pth or .safetensors file of them with --backbone")
    if network == "vit":
        raise UsageError(
            "vit has no weights in torchvision's cache; name a file in DINOv2's layout with --backbone FILE"
        )
    candidates = [path for name in IN_CACHE[network] for path in imagenet_files(name)]
    hint = f"put torchvision's {candidates[0].name} there, or name a file with --backbone FILE"
    return found_file(candidates, f"ImageNet {network}", hint)


def read_trunk(asked: Asked, path: Path, inputs: int) -> Trunk:
    """The network of a word for a number of inputs. Raises: InputError if the file holds another one."""
    weights = read_weights(path)
    layout = "in DINOv2's layout" if asked.network == "vit" else "as torchvision stores it"
    try:
        if asked.network == "vit":
            kept = vit_tensors(weights, asked.layer, inputs)
        elif asked.network == "vgg16":
            kept = vgg_tensors(weights, asked.layer, inputs)
        else:
            kept = resnet_tensors(weights, asked.network, asked.layer, inputs)
        return build_trunk(asked.network, asked.layer, kept)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as problem:
        raise InputError(f"{path} does not hold {asked.network} {layout} ({_reason(problem)})") from problem


def build_trunk(network: str, layer: str, tensors: dict[str, Tensor]) -> Trunk:
    """A network from what a model file keeps of it. Raises: KeyError, ValueError if tensors are missing."""
    if network == "vit":
        return VitTrunk(tensors)
    return VggTrunk(layer, tensors) if network == "vgg16" else ResnetTrunk(network, layer, tensors)


def _reason(problem: Exception) -> str:
    """One clause of what is wrong with a file."""
    if isinstance(problem, KeyError):
        return f"it has no {problem.args[0]}"
    return str(problem).splitlines()[0] if isinstance(problem, ValueError) else "its tensors have other shapes"
