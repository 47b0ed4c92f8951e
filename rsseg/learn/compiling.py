"""Compiled training: the trunk of a network goes through torch.compile while it learns, and nothing else does."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rsseg.learn.networks.build import Network
from rsseg.learn.steps import is_shortage


def compile_trunk(network: Network, say: Callable[[str], None]) -> None:
    """Let a network's features, or its trunk, run compiled in training, in place.

    Modules and the names of tensors stay as they are; scoring and labelling, whose batches have other sizes, are not
    compiled. Where there is no compiler, or it fails, ``say`` is told once and training goes on without.
    """
    trunk = getattr(network, "features", None) or getattr(network, "trunk", None)
    if isinstance(trunk, nn.Module):
        trunk.forward = _Compiled(trunk.forward, trunk, say)


class _Compiled:
    """A forward pass that is compiled where gradients are wanted."""

    def __init__(self, plain: Callable[[Tensor], Tensor], module: nn.Module, say: Callable[[str], None]) -> None:
        self.plain, self.module, self.say = plain, module, say
        # of batches of one size; CUDA graphs ("reduce-overhead") would overwrite what a second pass in a step made
        self.compiled: Callable[[Tensor], Tensor] | None = torch.compile(plain, dynamic=False)

    def __call__(self, x: Tensor) -> Tensor:
        if self.compiled is None or not (self.module.training and torch.is_grad_enabled()):
            return self.plain(x)
        try:
            return self.compiled(x)
        except Exception as problem:  # a fault of the network's own comes again below
            if is_shortage(problem):
                raise
            reason = " ".join(str(problem).split("\n")[:2])
            self.say(f"training goes on without --compile: {type(problem).__name__}: {reason}")
        self.compiled = None
        return self.plain(x)
