"""Weights that somebody else trained: where their files lie, how they are read, and other numbers of bands."""

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from zipfile import ZipFile, is_zipfile

import torch
from torch import Tensor

from rsseg.errors import InputError


def imagenet_files(architecture: str) -> list[Path]:
    """Where torchvision keeps an architecture's ImageNet weights in the user's cache, its first version first.

    Only those for torchvision's usual input, the mean and deviation of ImageNet's colours.
    """
    from torchvision.models import get_model_weights

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    known = [weights for weights in get_model_weights(architecture) if weights.name.startswith("IMAGENET1K_V")]
    return [folder / Path(weights.url).name for weights in known]


def found_file(candidates: Sequence[Path], what: str, hint: str) -> Path:
    """The first of the files that is there.

    Raises: InputError that says which weights (``what``) are missing, where the first was looked for, and ``hint``.
    """
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(f"no {what} weights at {candidates[0]}; {hint}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a ``.safetensors`` or, through weights-only loading, a ``.pth`` file.

    Raises: InputError if it is no such file, holds programs, or tensors that state more values than they hold.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} cannot be read as weights: it is no file")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        if _is_packed(path):
            raise InputError(f"{path} cannot be read as weights: it is packed to unfold into more than its own size")
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except UnpicklingError as problem:
        raise InputError(
            f"{path} cannot be read as weights: it is no file of PyTorch's tensors, or it holds more than tensors, "
            "which could be a program and is never run"
        ) from problem
    except Exception as problem:
        raise InputError(f"{path} cannot be read as weights ({type(problem).__name__})") from problem
    if not isinstance(loaded, dict):
        raise InputError(f"{path} holds no state dictionary of tensors")
    tensors = {name: value for name, value in loaded.items() if isinstance(name, str) and isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if not _is_held(tensor):
            raise InputError(f"{path} is damaged: {name!r} is no tensor whose values are all in the file")
    return tensors


def _is_packed(path: Path) -> bool:
    """Whether an archive states more bytes than it has; PyTorch stores tensors as they are, and memory is finite."""
    if not is_zipfile(path):
        return False
    with ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size


def _is_held(tensor: Tensor) -> bool:
    """Whether a tensor's values are stored one by one; a few bytes can claim to be any number of equal ones."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return plain and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def spread_filters(weight: Tensor, bands: int) -> Tensor:
    """First-convolution filters (out, 3, h, w) for another number of bands: (out, bands, h, w).

    The response to a grey image, repeated over the bands, stays what it is for three: filters are repeated in the
    order of the bands, each divided by how often it occurs; fewer than three bands share the sum of all filters.
    """
    if weight.shape[1] != 3:
        raise ValueError(f"a first convolution of 3 inputs is wanted, not of {weight.shape[1]}")
    if bands < 3:
        return weight.sum(dim=1, keepdim=True).expand(-1, bands, -1, -1) / bands
    source = [band % 3 for band in range(bands)]
    times = torch.tensor([source.count(band) for band in source], dtype=weight.dtype)
    return weight[:, source] / times[:, None, None]
