"""Fused optimisers give what torch's plain ones give, whatever the memory order of gradients."""

import pytest
import torch
from torch import nn

from rsseg.learn.optimisers import adam, sgd

ORDERS = (torch.contiguous_format, torch.channels_last)


def stepped(optimiser: torch.optim.Optimizer, parameter: nn.Parameter, order: torch.memory_format) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        parameter.grad = torch.randn(16, 8, 3, 3, generator=generator).to(memory_format=order)
        optimiser.step()
    return parameter.detach()


@pytest.mark.parametrize("of_parameter", ORDERS)
@pytest.mark.parametrize("of_gradient", ORDERS)
def test_the_memory_order_of_a_gradient_does_not_matter(
    of_parameter: torch.memory_format, of_gradient: torch.memory_format
) -> None:
    start = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))

    def parameter() -> nn.Parameter:
        return nn.Parameter(start.clone().to(memory_format=of_parameter))

    mine, plain = parameter(), parameter()
    ours = stepped(adam([mine], 1e-2, betas=(0.5, 0.99)), mine, of_gradient)
    theirs = stepped(torch.optim.Adam([plain], lr=1e-2, betas=(0.5, 0.99), foreach=False), plain, of_gradient)
    assert torch.allclose(ours, theirs, atol=1e-6)
    mine, plain = parameter(), parameter()
    ours = stepped(sgd([mine], 1e-2, 0.9), mine, of_gradient)
    theirs = stepped(torch.optim.SGD([plain], lr=1e-2, momentum=0.9, foreach=False), plain, of_gradient)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_restored_state_of_another_memory_order_is_put_in_order() -> None:
    start = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(0))
    one, other = (nn.Parameter(start.clone().to(memory_format=torch.channels_last)) for _ in range(2))
    first, second = adam([one], 1e-2), adam([other], 1e-2)
    stepped(first, one, torch.channels_last)
    stepped(second, other, torch.channels_last)
    state = second.state[other]
    state["exp_avg"] = state["exp_avg"].contiguous()
    assert torch.equal(
        stepped(first, one, torch.channels_last).contiguous(), stepped(second, other, torch.channels_last).contiguous()
    )
