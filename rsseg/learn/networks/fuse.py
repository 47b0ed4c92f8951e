"""Networks made ready for labelling: each convolution joined with the batch norm behind it, nearest centres faster."""

from copy import deepcopy

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from rsseg.learn.networks.heads import CentreHead
from rsseg.learn.networks.patch import PatchNetwork


def fused(network: nn.Module) -> nn.Module:
    """A copy of the network in evaluation mode, convolutions joined with the batch norm that follows them directly.

    Only sequences (``nn.Sequential``) tell what follows what, so others stay as they are. The joined weights differ
    from the separate ones by rounding only.
    """
    copied = deepcopy(network).eval()
    _fuse_below(copied)
    nearest = isinstance(copied, PatchNetwork) and isinstance(copied.head, CentreHead)
    return (NearestCentres(copied) if nearest else copied).requires_grad_(False)


class NearestCentres(nn.Module):
    """A patch network whose clusters are centres: its answers, by operations that suit few classes and many patches."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Votes of patches, as ``PatchNetwork.predict`` has them."""
        scores = self.network(x)
        winner = scores.argmax(dim=1, keepdim=True)
        # softmax over a short last dimension takes ten times as long
        ties = functional.softmax(scores.float().T.contiguous(), dim=0).T
        return scores.new_zeros(scores.shape).scatter_(1, winner, 1.0).float(), ties


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
