"""Small files of weights in the layouts of torchvision and DINOv2, with random numbers."""

import torch
from torch import Tensor, nn
from torchvision import models


def lively(module: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms with statistics and weights that are nothing special; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.5, 1.5),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                with torch.no_grad():
                    assert tensor is not None
                    tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))
    return module.eval()


def resnet(name: str = "resnet18", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return lively(getattr(models, name)(weights=None), seed)


def resnet_part(module: nn.Module, layer: str) -> nn.Sequential:
    """torchvision's ResNet up to a layer, in the words of ``channels``."""
    order = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    last = 3 if layer == "stem" else order.index(layer) + 1
    return nn.Sequential(*(getattr(module, name) for name in order[:last]))


def resnet_file(layer: str = "layer1") -> dict[str, Tensor]:
    """A state dictionary of ResNet18 that ends behind a layer."""
    state = resnet().state_dict()
    later = ("layer1", "layer2", "layer3", "layer4", "fc")
    dropped = later[later.index(layer) + 1 :]
    return {name: tensor for name, tensor in state.items() if not name.startswith(dropped)}


def vgg_features(name: str, modules: int) -> nn.Sequential:
    """The first modules of torchvision's VGG16, whose classifier is never made."""
    with torch.device("meta"):
        features = getattr(models, name)(weights=None).features[:modules]
    features = features.to_empty(device="cpu")
    torch.manual_seed(0)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.1)  # type: ignore[arg-type]
    lively(features)
    return features


def vit_file(
    width: int = 64,
    blocks: int = 2,
    *,
    patch: int = 14,
    grid: int = 4,
    registers: int = 0,
    swiglu: bool = False,
    scaled: bool = True,
    seed: int = 0,
) -> dict[str, Tensor]:
    """A state dictionary in DINOv2's layout."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) / max(1, shape[-1]) ** 0.5

    state = {
        "cls_token": drawn(1, 1, width),
        "mask_token": drawn(1, width),
        "pos_embed": drawn(1, 1 + grid * grid, width),
        "patch_embed.proj.weight": 0.1 * torch.randn(width, 3, patch, patch, generator=generator),
        "patch_embed.proj.bias": drawn(width),
        "norm.weight": 1 + drawn(width),
        "norm.bias": drawn(width),
    }
    if registers:
        state["register_tokens"] = drawn(1, registers, width)
    for block in range(blocks):
        layers = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        layers |= (
            {"mlp.w12": (256, width), "mlp.w3": (width, 128)}
            if swiglu
            else {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        )
        for name, shape in layers.items():
            state[f"blocks.{block}.{name}.weight"] = 2 * drawn(*shape)
            state[f"blocks.{block}.{name}.bias"] = drawn(shape[0])
        for name in ("norm1", "norm2"):
            state[f"blocks.{block}.{name}.weight"] = 1 + drawn(width)
            state[f"blocks.{block}.{name}.bias"] = drawn(width)
        if scaled:
            state |= {f"blocks.{block}.{name}.gamma": 1 + drawn(width) for name in ("ls1", "ls2")}
    return state
