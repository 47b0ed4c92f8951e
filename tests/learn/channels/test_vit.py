"""The vision transformer against one of torch's own parts, written from the papers."""

import pytest
import torch
from backbones import vit_file
from torch import Tensor, nn
from torch.nn import functional

from rsseg.learn.channels.vit import VitTrunk, last_block, positions, vit_tensors


def attention(state: dict[str, Tensor], name: str, x: Tensor, width: int) -> Tensor:
    module = nn.MultiheadAttention(width, width // 64, batch_first=True)
    renamed = {
        "in_proj_weight": state[f"{name}.qkv.weight"],
        "in_proj_bias": state[f"{name}.qkv.bias"],
        "out_proj.weight": state[f"{name}.proj.weight"],
        "out_proj.bias": state[f"{name}.proj.bias"],
    }
    module.load_state_dict(renamed)
    answer: Tensor = module(x, x, x)[0]
    return answer


def perceptron(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    if f"{name}.fc1.weight" in state:
        hidden = functional.gelu(x @ state[f"{name}.fc1.weight"].T + state[f"{name}.fc1.bias"])
        return hidden @ state[f"{name}.fc2.weight"].T + state[f"{name}.fc2.bias"]
    both = x @ state[f"{name}.w12.weight"].T + state[f"{name}.w12.bias"]
    half = both.shape[-1] // 2
    hidden = both[..., :half] * torch.sigmoid(both[..., :half]) * both[..., half:]
    return hidden @ state[f"{name}.w3.weight"].T + state[f"{name}.w3.bias"]


def norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(dim=-1, keepdim=True)
    unit = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 1e-6).sqrt()
    return unit * state[f"{name}.weight"] + state[f"{name}.bias"]


def slow(state: dict[str, Tensor], x: Tensor, blocks: int) -> Tensor:
    """Dosovitskiy et al., eq. 1 to 4, with DINOv2's layer scale and registers; (width, cells, cells)."""
    width, _, patch, _ = state["patch_embed.proj.weight"].shape
    cells = x.shape[-1] // patch
    filters = state["patch_embed.proj.weight"].reshape(width, -1)
    tokens = [state["cls_token"][0, 0] + state["pos_embed"][0, 0]]
    for place in range(cells * cells):
        row, col = divmod(place, cells)
        part = x[0, :, row * patch : (row + 1) * patch, col * patch : (col + 1) * patch].reshape(-1)
        tokens.append(filters @ part + state["patch_embed.proj.bias"] + state["pos_embed"][0, 1 + place])
    registers = list(state["register_tokens"][0]) if "register_tokens" in state else []
    y = torch.stack([tokens[0], *registers, *tokens[1:]])[None]
    for block in range(blocks):
        name = f"blocks.{block}"
        one, two = (state.get(f"{name}.ls{number}.gamma", torch.ones(width)) for number in (1, 2))
        y = y + one * attention(state, f"{name}.attn", norm(state, f"{name}.norm1", y), width)
        y = y + two * perceptron(state, f"{name}.mlp", norm(state, f"{name}.norm2", y))
    return norm(state, "norm", y)[0, 1 + len(registers) :].T.reshape(width, cells, cells)


FILES = {
    "dinov2": {},
    "two heads": {"width": 128},
    "registers": {"registers": 3},
    "swiglu": {"swiglu": True},
    "no layer scale": {"scaled": False, "patch": 8},
}


@pytest.mark.parametrize("options", FILES.values(), ids=FILES)
@torch.inference_mode()
def test_cells_are_those_of_the_papers(options: dict[str, int]) -> None:
    state = vit_file(**options)  # type: ignore[arg-type]
    trunk = VitTrunk(vit_tensors(state, "", 3))
    x = torch.randn(1, 3, 4 * trunk.patch, 4 * trunk.patch, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(trunk(x), slow(state, x, 2), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_an_earlier_block_can_be_asked_for() -> None:
    state = vit_file(blocks=3)
    trunk = VitTrunk(vit_tensors(state, "1", 3))
    x = torch.randn(1, 3, 56, 56)
    torch.testing.assert_close(trunk(x), slow(state, x, 2), rtol=1e-4, atol=1e-4)
    assert last_block(trunk.tensors) == 1 and "mask_token" not in trunk.tensors


def test_positions_of_the_trained_grid_are_taken_as_they_are() -> None:
    embedding = torch.randn(1, 17, 8)
    assert positions(embedding, (4, 4)) is embedding


def test_positions_are_stretched_over_another_grid() -> None:
    """A plane stays one inside, the class token's own stays, and rows do not become columns."""
    rows, cols = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    grid = torch.stack([rows, 10 * cols], dim=-1).reshape(1, 64, 2)
    found = positions(torch.cat([torch.full((1, 1, 2), 7.0), grid], dim=1), (16, 16))
    assert found.shape == (1, 257, 2) and torch.equal(found[0, 0], torch.full((2,), 7.0))
    inner = found[0, 1:].reshape(16, 16, 2)[4:-4, 4:-4]
    wanted = (torch.arange(4, 12) + 0.5) / 2 - 0.5
    torch.testing.assert_close(inner[..., 0], wanted[:, None].expand(8, 8), rtol=0, atol=0.05)
    torch.testing.assert_close(inner[..., 1], 10 * wanted.expand(8, 8), rtol=0, atol=0.5)


@pytest.mark.parametrize(("grid", "cells"), [(4, 16), (16, 16), (24, 24), (37, 37), (64, 37)])
def test_a_tile_has_as_many_patches_as_the_network_was_trained_on(grid: int, cells: int) -> None:
    where = VitTrunk(vit_tensors(vit_file(grid=grid), "", 3)).tiling(2)
    assert where.core + 2 * where.halo == cells * 14
    assert where.core > where.halo >= 2 * 14


def test_all_heads_have_64_values() -> None:
    with pytest.raises(ValueError, match="width of 96"):
        vit_tensors(vit_file(width=96), "", 3)


@pytest.mark.parametrize(
    "change",
    [
        {"pos_embed": torch.zeros(1, 12, 64)},
        {"patch_embed.proj.weight": torch.zeros(64, 3, 14, 7)},
        {"patch_embed.proj.weight": torch.zeros(64, 4, 14, 14)},
        {"blocks.1.attn.qkv.weight": torch.zeros(64, 64)},
    ],
    ids=["positions", "patch", "colours", "attention"],
)
def test_other_shapes_are_refused(change: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError):
        vit_tensors({**vit_file(), **change}, "", 3)


@pytest.mark.parametrize("layer", ["2", "11"])
def test_a_block_that_the_file_lacks_is_refused(layer: str) -> None:
    with pytest.raises(ValueError, match="last block is 1"):
        vit_tensors(vit_file(blocks=2), layer, 3)
