"""What a model file says of itself, checked against its tensors before anything is built: a stranger may have made it.

Each check raises ValueError with the reason as a clause: "its patch of 100000 pixels is larger than any".
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rsseg.errors import UsageError
from rsseg.learn.channels.backbone import ZOOMS, Backbone
from rsseg.learn.channels.base import Channel
from rsseg.learn.channels.spectral import Bands, Components, Indices
from rsseg.learn.networks.build import LARGEST_PATCH, Spec, blank_network
from rsseg.learn.networks.dense import DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetworkSpec
from rsseg.learn.networks.vote import VoteSpec

if TYPE_CHECKING:
    from rsseg.learn.model import Inference

LARGEST = 65_536
"""No whole number in a description is larger: widths, heads and members are each far smaller."""

SMALLEST_TILE = 2
"""Pixels on a side of a tile that every dense network can take: Net10a halves it."""

LARGEST_REACH = 64
"""Pixels around a window that smoothing may read."""


def check_numbers(value: Any) -> None:
    """Refuse numbers that are not finite, or so large that even to count up to them would take hours.

    ``value``: what JSON can hold.
    """
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            check_numbers(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"its description holds the number {value}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise ValueError(f"its description holds a number of more than {LARGEST}")


def check_description(inference: "Inference") -> None:
    """Refuse a patch larger than any, a normalisation that divides by 0, and channels of other bands."""
    if inference.patch > LARGEST_PATCH:
        raise ValueError(f"its patch of {inference.patch} pixels is larger than {LARGEST_PATCH}")
    if isinstance(_member(inference.network), DenseNetworkSpec) and inference.patch < SMALLEST_TILE:
        raise ValueError(f"its tile of {inference.patch} pixels is smaller than {SMALLEST_TILE}")
    if not all(spread > 0 for spread in inference.normalisation.spread):
        raise ValueError("its normalisation divides by a number that is not positive")
    channels, bands = inference.channels, len(inference.bands)
    if channels is None:
        return
    if not all(_fits(part, bands) for part in channels.parts):
        raise ValueError(f"its channels are not of {bands} bands")
    smoothing = channels.smoothing
    if smoothing and not {len(smoothing.mean), len(smoothing.sigma)} == {bands}:
        raise ValueError(f"its smoothing is not of {bands} bands")
    if smoothing and smoothing.reach > LARGEST_REACH:
        raise ValueError(f"its smoothing reaches {smoothing.reach} pixels, more than {LARGEST_REACH}")


def _fits(part: Channel, bands: int) -> bool:
    """Whether a channel's numbers are those of a number of bands."""
    if isinstance(part, Bands):
        return len(part.bands) == bands
    if isinstance(part, Components):
        return {len(part.mean), len(part.matrix), *map(len, part.matrix)} == {bands}
    if isinstance(part, Indices):
        return all(0 <= place < bands for _, *pair in part.pairs for place in pair)
    if isinstance(part, Backbone):
        sizes = {len(part.inputs), len(part.low), len(part.high), len(part.fill)}
        return len(sizes) == 1 and part.zoom in ZOOMS and all(0 <= place < bands for place in part.inputs)
    return True


def check_tensors(inference: "Inference", tensors: Mapping[str, Tensor]) -> None:
    """Refuse network tensors of other names, shapes or types than described; nothing is allocated for that."""
    if _modules(inference.network) > len(tensors):
        raise ValueError("it holds other tensors than its description says")
    try:
        network = blank_network(inference.network, inference.inputs, inference.patch, inference.classes)
    except (RuntimeError, UsageError, TypeError, OverflowError, ZeroDivisionError) as problem:
        raise ValueError("its description is of no network") from problem
    wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in network.state_dict().items()}
    if wanted != {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}:
        raise ValueError("it holds other tensors than its description says")
    for name, tensor in tensors.items():
        _check_places(name.rpartition(".")[2], tensor, inference)


def _member(spec: Spec) -> PatchNetworkSpec | DenseNetworkSpec:
    """The network itself, or what each member of a vote is."""
    return spec.of if isinstance(spec, VoteSpec) else spec


def _modules(spec: Spec) -> int:
    """How many parts a network is built from at least, each with tensors of its own."""
    return spec.members * spec.of.heads if isinstance(spec, VoteSpec) else spec.heads


def _check_places(name: str, tensor: Tensor, inference: "Inference") -> None:
    """Refuse a chosen head or a cluster's partner that is not there."""
    spec = _member(inference.network)
    count = {"chosen": spec.heads, "partner": inference.classes}.get(name)
    if count is not None and not bool(((tensor >= 0) & (tensor < count)).all()):
        raise ValueError(f"it chooses one of {count} with a number beyond them")
    if name == "running_var" and bool((tensor < 0).any()):
        raise ValueError("it holds a negative variance")


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse NaN and infinities: whatever a network of such weights answers, it is no map."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
            raise ValueError(f"its weights {name!r} are not finite numbers")
