"""Networks made ready for labelling: each convolution joined with the batch norm behind it."""

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def fused(network: AnyModule) -> AnyModule:
    """A copy of the network in evaluation mode, convolutions joined with the batch norm that follows them directly.

    Only sequences (``nn.Sequential``) tell what follows what, so others stay as they are. The joined weights differ
    from the separate ones by rounding only.
    """
    copied = deepcopy(network).eval()
    _fuse_below(copied)
    return copied.requires_grad_(False)


def _fuse_below(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        _fuse_below(child)
        if isinstance(child, nn.Sequential):
            setattr(module, name, _joined(child))


def _joined(layers: nn.Sequential) -> nn.Sequential:
    joined: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d) and joined and isinstance(joined[-1], nn.Conv2d):
            joined[-1] = fuse_conv_bn_eval(joined[-1], layer)
        else:
            joined.append(layer)
    return nn.Sequential(*joined)
