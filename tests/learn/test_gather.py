"""Batch statistics over processes: values and gradients of one process."""

import torch
from processes import in_processes
from torch import Tensor, nn

from rsseg.learn.gather import stacked, summed
from rsseg.learn.losses.recal import recal_loss


def network() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(5, 4).double()


def data() -> Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def pair_loss(rows: Tensor) -> Tensor:
    """Depends on every pair of rows."""
    return (torch.cdist(rows, rows) + 1e-3).sqrt().sum()


def gradient_of_pairs(rank: int, count: int) -> Tensor:
    model = network()
    pair_loss(stacked(model(data().chunk(count)[rank]))).backward()
    return model.weight.grad


def gradient_of_recal(rank: int, count: int) -> Tensor:
    model = network()
    recal_loss(model(data().chunk(count)[rank]).softmax(dim=1), 0.7).backward()
    return model.weight.grad


def summed_value(rank: int, count: int) -> Tensor:
    return summed(torch.full((2,), float(rank + 1)))


def test_one_process_gathers_nothing() -> None:
    rows = torch.ones(3, 2)
    assert summed(rows) is rows and stacked(rows) is rows


def test_two_processes_sum_and_stack_with_one_process_gradient() -> None:
    assert all(torch.equal(value, torch.full((2,), 3.0)) for value in in_processes(summed_value))
    model = network()
    pair_loss(model(data())).backward()
    found = in_processes(gradient_of_pairs)
    torch.testing.assert_close((found[0] + found[1]) / 2, model.weight.grad)


def test_recal_in_two_processes_has_one_process_gradient() -> None:
    model = network()
    recal_loss(model(data()).softmax(dim=1), 0.7).backward()
    found = in_processes(gradient_of_recal)
    torch.testing.assert_close((found[0] + found[1]) / 2, model.weight.grad)
