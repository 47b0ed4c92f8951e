"""How much is done at a time, so that labelling stays within a memory size; what cannot change the answer goes first.

Fewer batches beside one another and fewer rows read at a time change nothing. Only where one batch alone is too large
does it shrink, which may change labels whose two best votes are all but equal.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from rsseg.errors import MemoryWarning
from rsseg.label.workers import AHEAD, IN_FLIGHT

FILES = 256 << 20
"""What reading and writing rasters holds beside: GDAL's block cache (``scene.raster.CACHE_BYTES``)."""

ROWS = 512
"""Rows of the map, and of its confidence, that wait to be written."""

LEAST_BATCH = 16
"""Patches below which a batch is not made smaller."""

BLOCKS = 4
"""Blocks in memory: one being read, one waiting, two that batches in flight take patches from."""

SCRATCH = 2
"""Memory of a layer over its input and output: other layouts of them, and what waits beside it."""

FREE_SHARE = 0.8
"""Part of a GPU's free memory that batches may take."""


@dataclass(frozen=True)
class Need:
    """Bytes that labelling takes: of a sample in the network, of its votes, and of a row that is read at a time.

    ``width``: pixels across the map.
    """

    sample: int
    votes: int
    row: int
    width: int


@dataclass(frozen=True)
class Limits:
    """``slots``: batches computed at a time on a CPU; ``batch``: samples in each; ``rows``: of samples, to be read."""

    slots: int
    batch: int
    rows: int


def limits(memory: int | None, usual: Limits, devices: Sequence[torch.device], find: Callable[[], Need]) -> Limits:
    """The largest work at a time, at most the ``usual``, that ``memory`` bytes and the GPUs hold.

    ``find``: gives what labelling takes, where that has to be known. Where ``memory`` is too little for a single small
    batch, that is done nevertheless and said: the libraries alone may have taken it.
    """
    gpus = [device for device in devices if device.type == "cuda"]
    if memory is None and not gpus:
        return usual
    need = find()
    batch = min([usual.batch] + [_on_gpu(device, usual.batch, need) for device in gpus])
    return replace(usual, batch=batch) if memory is None else _within(memory, replace(usual, batch=batch), need)


def _within(memory: int, usual: Limits, need: Need) -> Limits:
    base, least = resident() + FILES + 4 * ROWS * need.width, min(LEAST_BATCH, usual.batch)
    wanted = base + _work(need, least) + BLOCKS * need.row
    if memory < wanted:
        warn(
            f"labelling this scene takes about {-(-wanted // (1 << 20))} MiB with one small batch at a time, more than "
            f"--memory {memory >> 20}M",
            MemoryWarning,
            stacklevel=4,
        )
        return Limits(1, least, 1)
    spare, batch = memory - base, usual.batch
    rows = min(usual.rows, max(1, spare // 2 // (BLOCKS * need.row)))
    spare -= rows * BLOCKS * need.row
    while batch > least and _work(need, batch) > spare:
        batch = max(least, batch // 2)
    return Limits(min(usual.slots, max(1, spare // _work(need, batch))), batch, rows)


def _work(need: Need, batch: int) -> int:
    """Bytes of one batch being computed and of the votes that wait beside it."""
    return batch * (SCRATCH * need.sample + (AHEAD + 1) * need.votes)


def _on_gpu(device: torch.device, size: int, need: Need) -> int:
    """The samples of a batch, at most ``size``, that the free memory of a GPU holds."""
    free = int(FREE_SHARE * torch.cuda.mem_get_info(device)[0])
    while size > LEAST_BATCH and IN_FLIGHT * SCRATCH * size * need.sample > free:
        size = max(LEAST_BATCH, size // 2)
    return size


def resident() -> int:
    """Bytes of memory that the process holds now; where the system does not say, the most that it has held."""
    status = Path("/proc/self/statm")
    if status.exists():
        pages: int = int(status.read_text().split()[1])
        return pages * 4096
    return peak() or 0


def peak() -> int | None:
    """The most bytes that this process had in memory so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(found if sys.platform == "darwin" else found << 10)


def sample_bytes(network: Any, bands: int, patch: int, size: int | None = None) -> int:
    """Bytes of the largest input and output of a layer of one sample (bands, patch, patch).

    ``size``: a smaller side to try with, from which it is scaled by area.
    """
    side, largest = min(patch, size or patch), 0

    def see(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        held = [x for x in (*inputs, output) if isinstance(x, Tensor)]
        largest = max(largest, sum(4 * x.numel() for x in held))

    hooks = [module.register_forward_hook(see) for module in network.modules() if not list(module.children())]
    try:
        with torch.inference_mode():
            network.predict(torch.zeros(1, bands, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return max(largest, 4 * bands * side * side) * patch * patch // (side * side)
