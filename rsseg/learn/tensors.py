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
    try:
        with safe_open(path, framework="pt") as stored:
            notes = json.loads((stored.metadata() or {})[KEY])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
            for name in notes["channels_last"]:
                tensors[name] = tensors[name].contiguous(memory_format=torch.channels_last)
    except FileNotFoundError:
        raise ModelError(f"there is no {what} at {path}") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise ModelError(f"{path} is not a {what} of rsseg, or it is damaged ({type(problem).__name__})") from problem
    return tensors, notes


def is_channels_last(tensor: Tensor) -> bool:
    """Whether a 4-D tensor lies in channels-last order, and in no other."""
    return tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
