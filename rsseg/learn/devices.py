"""Which device computes, and how many threads: the machine's choice, never part of the answer."""

import torch

from rsseg.errors import UsageError

BESIDE = 1408 << 20
"""What a training takes beside its scenes: libraries, GDAL's cache, strips being read, a network at work; measured on a
full LISS-IV scene."""


def choose_device(name: str = "auto", threads: int | None = None) -> torch.device:
    """The device called ``name``, of several the first; ``auto`` is a GPU where there is one, else the CPU.

    Raises: UsageError as ``choose_devices``.
    """
    return choose_devices(name, threads)[0]


def choose_devices(names: str = "auto", threads: int | None = None) -> list[torch.device]:
    """The devices called ``names``, separated by commas; ``auto`` is one GPU where there is one, else the CPU.

    TF32 is switched off, since labels in float32 must agree between devices. Raises: UsageError for a device that
    this machine does not have.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True  # convolutions give the same gradients each time
    return [_device(name.strip()) for name in names.split(",")]


def room(memory: int, device: torch.device) -> int:
    """Bytes that the scenes of a training may take: at most half of ``memory``, and of a GPU half of what it has.

    Of a small ``memory`` less than half, down to a quarter, since a training takes ``BESIDE`` bytes besides.
    """
    own = min(memory // 2, max(memory // 4, memory - BESIDE))
    return own if device.type != "cuda" else min(own, torch.cuda.mem_get_info(device)[1] // 2)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"this machine has no device {name!r} that torch can use; try --device cpu") from None
    return device


def gpu_count() -> int:
    """How many GPUs this process sees; none of them is touched."""
    return torch.cuda.device_count()


def gpu_names() -> list[str]:
    """The GPUs that this process sees, by what tells them from others of the machine: ids, or numbers without ids."""
    found = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return [str(getattr(one, "uuid", number)) for number, one in enumerate(found)]
