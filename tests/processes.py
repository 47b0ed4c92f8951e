"""Two processes that train together, for tests of losses over batch statistics."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, multiprocessing


def _work(rank: int, count: int, folder: str, function: Callable[..., Tensor], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    torch.save(function(rank, count, *arguments), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def in_processes(function: Callable[..., Tensor], *arguments: Any, count: int = 2) -> list[Tensor]:
    """What ``function(rank, count, *arguments)``, a function of a module, gives in each of ``count`` gloo processes."""
    with tempfile.TemporaryDirectory() as folder:
        multiprocessing.spawn(_work, (count, folder, function, arguments), nprocs=count)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(count)]
