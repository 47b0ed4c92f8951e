"""Which device computes, and how many threads: the machine's choice, never part of the answer."""

import torch

from rsseg.errors import UsageError


def choose_device(name: str = "auto", threads: int | None = None) -> torch.device:
    """The device called ``name``; ``auto`` is a GPU where there is one, else the CPU.

    TF32 is switched off, since labels in float32 must agree between devices. Raises: UsageError for a device that
    this machine does not have.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True  # convolutions give the same gradients each time
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"this machine has no device {name!r} that torch can use; try --device cpu") from None
    return device
