"""Batch statistics over all processes of a distributed training, with gradients.

Every process computes the loss of the whole batch, and the trainer averages the parameters' gradients over processes.
The backward pass of a sum over processes is again a sum, so that the average is one process's gradient.
"""

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total


def summed(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes; the tensor itself where there is one."""
    if processes() == 1:
        return tensor
    total: Tensor = _Summed.apply(tensor)
    return total


def stacked(tensor: Tensor) -> Tensor:
    """The rows (n, ...) of all processes one below another, in order of rank; every process has as many."""
    count = processes()
    if count == 1:
        return tensor
    rank, size = distributed.get_rank(), len(tensor)
    rows = tensor.new_zeros((count * size, *tensor.shape[1:]))
    place = torch.arange(rank * size, (rank + 1) * size, device=tensor.device)
    return summed(rows.index_copy(0, place, tensor))
