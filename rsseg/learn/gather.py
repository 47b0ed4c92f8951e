"""Batch statistics over all processes of a distributed training, with gradients.

Every process computes the loss of the whole batch, and the trainer averages the parameters' gradients over processes.
The backward pass of a sum over processes is again a sum, so that the average is one process's gradient.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from rsseg.errors import TrainingError

_by_itself = False


def processes() -> int:
    """How many processes train together."""
    if _by_itself or not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def rank() -> int:
    """The number of this process among those that train together, from 0."""
    return distributed.get_rank() if processes() > 1 else 0


@contextmanager
def alone() -> Iterator[None]:
    """Within it this process gathers nothing: for what each does by itself, such as scoring."""
    global _by_itself
    before, _by_itself = _by_itself, True
    try:
        yield
    finally:
        _by_itself = before


def share(count: int) -> int:
    """How many of a batch's ``count`` samples each process takes; what does not divide is left out.

    Raises: TrainingError if there are fewer samples than processes.
    """
    if count < processes():
        raise TrainingError(
            f"a batch of {count} cannot be shared by {processes()} processes; give a larger --batch, or start fewer"
        )
    return count // processes()


def own_part(indices: Tensor) -> Tensor:
    """This process's part of a batch's indices (n,): every so-manieth, so that parts of the batch are shared too."""
    count = share(len(indices))
    return indices[rank() :: processes()][:count].contiguous() if processes() > 1 else indices


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
    size = len(tensor)
    rows = tensor.new_zeros((count * size, *tensor.shape[1:]))
    place = torch.arange(rank() * size, (rank() + 1) * size, device=tensor.device)
    return summed(rows.index_copy(0, place, tensor))


def largest(tensor: Tensor) -> Tensor:
    """The element-wise maximum over all processes, without gradient, for what they must decide alike."""
    if processes() == 1:
        return tensor
    found = tensor.detach().clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(found, op=distributed.ReduceOp.MAX)
    return found
