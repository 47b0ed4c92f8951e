"""Any network from what a model file records of it."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from rsseg.learn.networks.dense import DenseNetwork, DenseNetworkSpec
from rsseg.learn.networks.patch import PatchNetwork, PatchNetworkSpec
from rsseg.learn.networks.vote import DenseVote, PatchVote, VoteNetwork, VoteSpec

Spec = PatchNetworkSpec | DenseNetworkSpec | VoteSpec
Network = PatchNetwork | DenseNetwork | VoteNetwork

LARGEST_PATCH = 4096
"""Pixels on a side of a patch or tile, far beyond any that a network can take."""


def build_network(spec: Spec, bands: int, size: int, classes: int) -> Network:
    """The network that ``spec`` describes, with random weights."""
    if isinstance(spec, PatchNetworkSpec):
        return PatchNetwork(spec, bands, size, classes)
    if isinstance(spec, DenseNetworkSpec):
        return DenseNetwork(spec, bands, classes)
    if isinstance(spec.of, DenseNetworkSpec):
        return DenseVote(spec, [DenseNetwork(spec.of, bands, classes) for _ in range(spec.members)])
    return PatchVote(spec, [PatchNetwork(spec.of, bands, size, classes) for _ in range(spec.members)])


def blank_network(spec: Spec, bands: int, size: int, classes: int) -> Network:
    """As ``build_network``, but its tensors have names, shapes and types alone: they take neither memory nor time."""
    with torch.device("meta"), _NoStart():
        return build_network(spec, bands, size, classes)


class _NoStart(TorchFunctionMode):
    """Leaves out the drawing of first weights, for which PyTorch would load its compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _STARTS or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


_STARTS = {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.fill_,
    Tensor.zero_,
    Tensor.mul,
    Tensor.__mul__,
    functional.normalize,
}


def is_dense(network: Network) -> bool:
    """Whether the network labels pixels of tiles rather than patches."""
    return isinstance(network, DenseNetwork | DenseVote)
