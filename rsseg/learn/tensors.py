"""Tensors in safetensors files with one JSON text beside them. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rsseg.errors import ModelError
from rsseg.files import replacing

KEY = "rsseg"
"""The one metadata entry; with one there is no order of entries that could change the file's bytes."""

HEADER = 32 << 20
"""Bytes of the largest header that is read; that of a long training's checkpoint has a few MB."""

PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(1, 6)))
"""How files of ``torch.save`` and pickles begin."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any], overwrite: bool = False) -> None:
    """Write tensors and notes, whole or not at all.

    A file keeps values, not strides. Which tensors lay in channels-last order is noted, since convolutions round
    differently in the two orders and a resumed training must not.
    """
    cpu = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    laid = sorted(name for name, tensor in cpu.items() if is_channels_last(tensor))
    text = json.dumps({**notes, "channels_last": laid}, sort_keys=True)
    with replacing(path, overwrite) as part:
        save_file({name: tensor.contiguous() for name, tensor in cpu.items()}, part, metadata={KEY: text})


def load_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, in the layout they had, and notes of a file written by ``save_tensors``.

    Raises: ModelError saying that ``path`` is no ``what``, and why.
    """
    _check_start(path, what)
    try:
        with safe_open(path, framework="pt") as stored:
            notes = json.loads((stored.metadata() or {})[KEY], object_pairs_hook=_each_once)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            for name in notes["channels_last"]:
                tensors[name] = tensors[name].contiguous(memory_format=torch.channels_last)
    except FileNotFoundError:
        raise ModelError(f"there is no {what} at {path}") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError, AttributeError) as problem:
        raise ModelError(f"{path} is not a {what} of rsseg, or it is damaged ({type(problem).__name__})") from problem
    return tensors, notes


def _check_start(path: Path, what: str) -> None:
    """Refuse what cannot be safetensors by its first bytes, before a library believes the sizes that they state."""
    if path.exists() and not path.is_file():
        raise ModelError(f"{path} is not a {what} of rsseg: it is no file")
    try:
        with path.open("rb") as stream:
            start, size = stream.read(8), path.stat().st_size
    except OSError:
        return  # said where it is read
    if len(start) == 8 and int.from_bytes(start, "little") <= min(HEADER, size - 8):
        return
    if start.startswith(PICKLES):
        raise ModelError(
            f"{path} is not a {what} of rsseg but of PyTorch's own kind (pickle), which can hold programs and is "
            f"never opened here; give a {what} that rsseg wrote"
        )
    raise ModelError(f"{path} is not a {what} of rsseg, or it is damaged (cut short, or no safetensors)")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a key that stands twice, two readers could see different values."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice")
    return made


def is_channels_last(tensor: Tensor) -> bool:
    """Whether a 4-D tensor lies in channels-last order, and in no other."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
