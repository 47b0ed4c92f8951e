"""A vision transformer (Dosovitskiy et al., 2021) up to a block, from a file in the layout of DINOv2.

Sizes are read from the tensors' shapes. Layer scale and register tokens (Oquab et al., 2023; Darcet et al., 2024) are
used where the file has them, so files of DINO, which has neither, are read too.
"""

import re
from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor
from torch.nn import functional

from rsseg.learn.channels.backbone_tiles import Tiling, Trunk, tiling
from rsseg.learn.networks.weights import spread_filters

HEAD = 64
"""Values of an attention head, in all of DINOv2's networks."""

CELLS = (16, 37)
"""A tile has as many patches across as the network was trained on, within these limits (224 and 518 px at patch 14)."""

EPSILON = 1e-6
"""Of the layer norms."""


class VitTrunk(Trunk):
    """Patch tokens behind a block, with the final layer norm, as a map of one cell a patch."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        """``tensors``: those of ``vit_tensors``."""
        self.tensors = tensors
        self.width, _, self.patch, _ = tensors["patch_embed.proj.weight"].shape
        self.blocks = 1 + last_block(tensors)
        self.grid = isqrt(tensors["pos_embed"].shape[1] - 1)

    def tiling(self, zoom: int) -> Tiling:
        """Tiles of a fixed number of patches, of which about a sixth on each side serves only as surroundings."""
        cells = min(max(self.grid, CELLS[0]), CELLS[1])
        margin = cells // 6
        return tiling(self.patch, (self.patch - 1) / 2, zoom, (cells - 2 * margin) * self.patch, margin * self.patch)

    def __call__(self, x: Tensor) -> Tensor:
        """Cells (width, n / patch, n / patch) of a tile (1, inputs, n, n)."""
        own = self.tensors
        cells = functional.conv2d(x, own["patch_embed.proj.weight"], own["patch_embed.proj.bias"], self.patch)
        shape = (cells.shape[2], cells.shape[3])
        tokens = torch.cat([own["cls_token"], cells.flatten(2).transpose(1, 2)], dim=1)
        tokens = tokens + positions(own["pos_embed"], shape)
        registers = own.get("register_tokens", own["cls_token"][:, :0])
        tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        for number in range(self.blocks):
            tokens = self._block(tokens, f"blocks.{number}")
        patches = self._norm(tokens, "norm")[0, 1 + registers.shape[1] :]
        return patches.T.reshape(self.width, *shape)

    def _block(self, x: Tensor, name: str) -> Tensor:
        """Attention and a two-layer network, each with a shortcut: (1, tokens, width) -> the same."""
        x = x + self._scaled(self._attention(self._norm(x, f"{name}.norm1"), f"{name}.attn"), f"{name}.ls1")
        return x + self._scaled(self._mlp(self._norm(x, f"{name}.norm2"), f"{name}.mlp"), f"{name}.ls2")

    def _attention(self, x: Tensor, name: str) -> Tensor:
        """Every token a mean of all tokens, head by head (Vaswani et al., 2017, eq. 1)."""
        size = (1, x.shape[1], 3, self.width // HEAD, HEAD)
        query, key, value = self._linear(x, f"{name}.qkv").reshape(size).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self._linear(mixed.transpose(1, 2).reshape(x.shape), f"{name}.proj")

    def _mlp(self, x: Tensor, name: str) -> Tensor:
        """GELU between two layers, or SwiGLU (Shazeer, 2020) where the file has that."""
        if f"{name}.w12.weight" not in self.tensors:
            return self._linear(functional.gelu(self._linear(x, f"{name}.fc1")), f"{name}.fc2")
        gate, value = self._linear(x, f"{name}.w12").chunk(2, dim=-1)
        return self._linear(functional.silu(gate) * value, f"{name}.w3")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return functional.linear(x, self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias"))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        return functional.layer_norm(x, (self.width,), weight, bias, EPSILON)

    def _scaled(self, x: Tensor, name: str) -> Tensor:
        scale = self.tensors.get(f"{name}.gamma")
        return x if scale is None else x * scale


def positions(embedding: Tensor, shape: tuple[int, int]) -> Tensor:
    """Position embeddings (1, 1 + g g, width) for a map of other ``shape``: bicubic, as DINOv2 does; that of the class
    token stays.
    """
    side = isqrt(embedding.shape[1] - 1)
    if (side, side) == shape:
        return embedding
    grid = embedding[:, 1:].reshape(1, side, side, -1).movedim(-1, 1)
    resized = functional.interpolate(grid, size=shape, mode="bicubic", align_corners=False)
    return torch.cat([embedding[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def last_block(tensors: Mapping[str, Tensor]) -> int:
    """The number of the last block in a file, counted from 0; -1 where there is none."""
    return max((int(found[1]) for name in tensors if (found := re.match(r"blocks\.(\d+)\.", name))), default=-1)


def vit_tensors(weights: Mapping[str, Tensor], layer: str, inputs: int) -> dict[str, Tensor]:
    """What ``VitTrunk`` needs of a file, up to block ``layer`` ("" for the last one).

    Raises: KeyError, ValueError if the file is in another layout or has no such block.
    """
    last = last_block(weights)
    block = int(layer) if layer else last
    if not 0 <= block <= last:
        raise ValueError(f"its last block is {last}")
    tensors = {name: weights[name] for name in ("cls_token", "pos_embed", "patch_embed.proj.bias")}
    tensors["patch_embed.proj.weight"] = spread_filters(weights["patch_embed.proj.weight"], inputs)
    tensors |= {name: weights[name] for name in ("norm.weight", "norm.bias")}
    if "register_tokens" in weights:
        tensors["register_tokens"] = weights["register_tokens"]
    for number in range(block + 1):
        tensors |= {name: tensor for name, tensor in weights.items() if name.startswith(f"blocks.{number}.")}
    _check_sizes(tensors, block)
    return {name: tensor.float().contiguous() for name, tensor in tensors.items()}


def _check_sizes(tensors: Mapping[str, Tensor], block: int) -> None:
    """Raise KeyError or ValueError for what no transformer of this kind has."""
    width, _, *patch = tensors["patch_embed.proj.weight"].shape
    count = tensors["pos_embed"].shape[1] - 1
    if patch[0] != patch[1] or isqrt(count) ** 2 != count:
        raise ValueError("its patches or its positions are not square")
    if width % HEAD:
        raise ValueError(f"its width of {width} is no multiple of {HEAD}")
    for number in range(block + 1):
        if tensors[f"blocks.{number}.attn.qkv.weight"].shape != (3 * width, width):
            raise ValueError(f"the attention of block {number} is not of its width")
