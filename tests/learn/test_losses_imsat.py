"""The losses of GAN + IMSAT against loops written from eq. 1 to 9 of the paper, and the sides of their gradients."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import in_processes
from torch import Tensor, nn

from rsseg.learn.losses.imsat import (
    Constants,
    activation_penalty,
    adversarial_directions,
    discriminator_loss,
    divergence,
    entropy,
    generator_loss,
    head_losses,
    perturbed,
    rim_loss,
    unit_rows,
)

Rows = list[list[float]]


def probabilities(n: int = 12, classes: int = 5, seed: int = 0, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(n, classes, generator=generator, dtype=torch.float64), dim=1)


# eq. 4


def slow_rim(p: Rows, delta: float, weight: float) -> float:
    """Eq. 4, sum by sum, with the imbalance as a divergence from equal shares (eq. 3)."""
    n, k = len(p), len(p[0])
    imbalance = 0.0
    for cluster in range(k):
        mean = sum(row[cluster] for row in p) / n
        if mean > 0:
            imbalance += mean * math.log(mean / (1 / k))
    doubt = 0.0
    for row in p:
        doubt -= sum(value * math.log(value) for value in row if value > 0)
    return weight * max(imbalance - delta * math.log(k), 0.0) + doubt / n


@given(
    n=st.integers(1, 9),
    classes=st.integers(2, 7),
    seed=st.integers(0, 1000),
    sharpness=st.floats(0, 40),
    delta=st.sampled_from([0.0, 1e-4, 0.3]),
    weight=st.sampled_from([1.0, 4.0]),
)
def test_the_rim_term_is_equation_4(
    n: int, classes: int, seed: int, sharpness: float, delta: float, weight: float
) -> None:
    p = probabilities(n, classes, seed, sharpness)
    assert float(rim_loss(p, delta, weight)) == pytest.approx(slow_rim(p.tolist(), delta, weight), abs=1e-12)


@given(classes=st.integers(2, 9), seed=st.integers(0, 1000), sharpness=st.floats(0, 60))
def test_the_rim_term_lies_between_its_bounds(classes: int, seed: int, sharpness: float) -> None:
    loss = float(rim_loss(probabilities(20, classes, seed, sharpness), 0.0, 1.0))
    assert -1e-12 <= loss <= math.log(classes) + 1e-12


def test_the_bounds_are_reached() -> None:
    certain_and_even = torch.eye(4, dtype=torch.float64)
    assert float(rim_loss(certain_and_even, 0.0)) == pytest.approx(0, abs=1e-12)
    one_for_all = certain_and_even[[2, 2, 2]]
    assert float(rim_loss(one_for_all, 0.0, 4.0)) == pytest.approx(4 * math.log(4))
    assert float(rim_loss(one_for_all, 0.25, 4.0)) == pytest.approx(3 * math.log(4))
    uniform = torch.full((6, 4), 0.25, dtype=torch.float64)
    assert float(rim_loss(uniform)) == pytest.approx(math.log(4))


def test_the_rim_term_does_not_depend_on_the_order_of_samples_or_clusters() -> None:
    p = probabilities()
    shuffled = p[torch.randperm(len(p))][:, torch.randperm(p.shape[1])]
    assert float(rim_loss(shuffled)) == pytest.approx(float(rim_loss(p)), abs=1e-12)


def test_inequality_within_the_tolerance_costs_nothing() -> None:
    p = probabilities()
    imbalance = float(rim_loss(p, 0.0, 1.0) - entropy(p).mean()) / math.log(5)
    assert 0.01 < imbalance < 0.5
    for delta, tolerated in ((imbalance - 1e-3, False), (imbalance + 1e-3, True)):
        logits = p.log().requires_grad_()
        loss = rim_loss(torch.softmax(logits, dim=1), delta)
        (found,) = torch.autograd.grad(loss, logits)
        (doubt,) = torch.autograd.grad(entropy(torch.softmax(logits, dim=1)).mean(), logits)
        assert torch.allclose(found, doubt, atol=1e-12) is tolerated


@pytest.mark.parametrize("delta", [0.0, 1e-4])
def test_the_rim_gradient_is_that_of_the_value(delta: float) -> None:
    logits = probabilities().log().requires_grad_()
    assert torch.autograd.gradcheck(lambda q: rim_loss(torch.softmax(q, dim=1), delta), logits)


# eq. 8


def test_the_divergence_is_kullbacks() -> None:
    p, q = probabilities(seed=1), probabilities(seed=2)
    wanted = [
        sum(a * math.log(a / b) for a, b in zip(left, right, strict=True))
        for left, right in zip(p.tolist(), q.tolist(), strict=True)
    ]
    assert divergence(p, q).tolist() == pytest.approx(wanted, abs=1e-12)
    assert float(divergence(p, p).abs().max()) == 0
    assert bool((divergence(p, q) > 0).all())
    both = p.log().requires_grad_(), q.log().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: divergence(a.softmax(1), b.softmax(1)), both)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_probabilities_of_exactly_zero_and_one_have_finite_gradients(dtype: torch.dtype) -> None:
    p = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=dtype, requires_grad=True)
    q = torch.tensor([[0.0, 1, 0], [0, 1, 0]], dtype=dtype, requires_grad=True)
    (rim_loss(p) + divergence(p, q).mean()).backward()
    for tensor in (p, q):
        assert tensor.grad is not None and bool(torch.isfinite(tensor.grad).all())


def test_half_precision_is_widened() -> None:
    p = probabilities()
    for loss in (rim_loss(p.bfloat16()), divergence(p.half(), p.half()), activation_penalty(p.half())):
        assert loss.dtype == torch.float32


# eq. 6 and 7


class Heads(nn.Module):
    """A small classifier with two heads, of 4 and 9 clusters."""

    def __init__(self, width: int = 6, gain: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.hidden = nn.Sequential(nn.Linear(width, 16), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(16, 4), nn.Linear(16, 9)])
        self.double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(gain)

    def forward(self, m: Tensor) -> list[Tensor]:
        return [head(self.hidden(m)) for head in self.heads]

    def probabilities(self, m: Tensor) -> list[Tensor]:
        return [scores.softmax(1) for scores in self(m)]


def features(n: int = 40, width: int = 6) -> Tensor:
    scale = torch.linspace(0.5, 4, n, dtype=torch.float64)[:, None]
    return scale * torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def change(model: Heads, m: Tensor, directions: Tensor, alpha: float) -> Tensor:
    """Mean over the heads of the divergence after a step, (n,)."""
    moved = model.probabilities(perturbed(m, directions, alpha))
    return torch.stack([divergence(p, q) for p, q in zip(model.probabilities(m), moved, strict=True)]).mean(dim=0)


def test_steps_are_in_proportion_to_each_rows_norm() -> None:
    m = features()
    directions = unit_rows(torch.randn_like(m))
    steps = (perturbed(m, directions, 0.15) - m).norm(dim=1)
    torch.testing.assert_close(steps, 0.15 * m.norm(dim=1))


def test_the_adversarial_direction_changes_the_answer_more_than_random_ones() -> None:
    model, m = Heads(), features()
    with torch.no_grad():
        directions = adversarial_directions(model, m, model.probabilities(m), 0.3)
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(len(m), dtype=torch.float64))
        adversarial = change(model, m, directions, 0.15)
        tries = torch.stack([change(model, m, unit_rows(torch.randn_like(m)), 0.15) for _ in range(20)])
    assert float(adversarial.mean()) > 2 * float(tries.mean())
    assert float((adversarial > tries.mean(dim=0)).double().mean()) >= 0.9


def test_the_direction_is_the_gradient_at_a_random_step() -> None:
    """One power iteration row by row and head by head, with gradients by differences."""
    model, m = Heads().requires_grad_(False), features(3)
    torch.manual_seed(8)
    found = adversarial_directions(model, m, model.probabilities(m), 0.3)
    torch.manual_seed(8)
    starts = torch.randn_like(m)
    for row in range(len(m)):
        start = starts[row] / starts[row].norm()
        at = m[row] + 0.3 * m[row].norm() * start
        p = model.probabilities(m[row][None])
        slope = []
        for axis in range(m.shape[1]):
            step = torch.zeros_like(at)
            step[axis] = 1e-6
            after, before = model.probabilities((at + step)[None]), model.probabilities((at - step)[None])
            slope.append(sum(float(divergence(p[h], after[h]) - divergence(p[h], before[h])) for h in range(2)))
        wanted = torch.tensor(slope, dtype=torch.float64)
        torch.testing.assert_close(found[row], wanted / wanted.norm(), rtol=1e-5, atol=1e-6)


def test_the_search_leaves_no_gradient_behind() -> None:
    model, m = Heads(), features().requires_grad_()
    directions = adversarial_directions(model, m, model.probabilities(m), 0.3)
    assert not directions.requires_grad and m.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_faint_gradients_still_give_unit_rows() -> None:
    """Near the uniform answer that training starts from, squares of gradients underflow in float32."""
    torch.testing.assert_close(unit_rows(torch.full((1, 4), 1e-30)), torch.full((1, 4), 0.5))
    assert not unit_rows(torch.zeros(2, 3)).any()


# eq. 9


CONSTANTS = Constants(deltas=(1e-4, 1e-2), vat=True)


def dropped_of(m: Tensor, copies: int = 3) -> Tensor:
    return torch.cat([m + 0.1 * copy * m.sign() for copy in range(copies)])


def slow_heads(model: Heads, m: Tensor, dropped: Tensor | None, copies: int, c: Constants) -> list[float]:
    """Eq. 9 for each head, sample by sample, with the directions that the same random numbers give."""
    n = len(m)
    found = adversarial_directions(
        model, m.repeat(copies, 1), [p.repeat(copies, 1) for p in model.probabilities(m)], 0.3
    )
    losses = []
    for head, delta in enumerate(c.deltas):
        p = model.probabilities(m)[head]
        total = c.rim_weight * slow_rim(p.tolist(), delta, c.balance_weight)
        for copy in range(copies):
            for i in range(n):
                here = copy * n + i
                if dropped is not None:
                    other = model.probabilities(dropped[here][None])[head]
                    total += 0.5 * float(divergence(p[i][None], other)) / (n * copies)
                if c.vat:
                    moved = m[i] + c.alpha_adversarial * m[i].norm() * found[here]
                    other = model.probabilities(moved[None])[head]
                    total += 0.5 * float(divergence(p[i][None], other)) / (n * copies)
        losses.append(total)
    return losses


@pytest.mark.parametrize("vat", [True, False])
@pytest.mark.parametrize("divergence_of_dropout", [True, False])
def test_each_heads_loss_is_equation_9(vat: bool, divergence_of_dropout: bool) -> None:
    model, m = Heads(), features(7)
    constants = Constants(deltas=(1e-4, 1e-2), vat=vat)
    dropped = dropped_of(m) if divergence_of_dropout else None
    with torch.no_grad():
        torch.manual_seed(1)
        found = head_losses(model, m, dropped, 3, constants)
        torch.manual_seed(1)
        wanted = slow_heads(model, m, dropped, 3, constants)
    assert found.tolist() == pytest.approx(wanted, rel=1e-9)


def gradients(model: Heads, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def only(part: str) -> Constants:
    return Constants(deltas=(0.0, 0.0), rim_weight=0.0, vat=part == "vat")


def test_the_adversarial_gradient_flows_through_the_perturbed_side_only() -> None:
    model, m = Heads(), features()
    torch.manual_seed(2)
    found = gradients(model, head_losses(model, m, None, 1, only("vat")).mean())
    torch.manual_seed(2)
    fixed = [p.detach() for p in model.probabilities(m)]
    moved = perturbed(m, adversarial_directions(model, m, fixed, 0.3), 0.15)
    sides = [0.5 * divergence(p, q).mean() for p, q in zip(fixed, model.probabilities(moved), strict=True)]
    for mine, theirs in zip(found, gradients(model, torch.stack(sides).mean()), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_gradient_of_the_dropout_divergence_flows_through_both_sides() -> None:
    model, m = Heads(), features()
    other = dropped_of(m, 2)[len(m) :]
    found = gradients(model, head_losses(model, m, other, 1, only("dropout")).mean())
    p, q = model.probabilities(m), model.probabilities(other)
    first = gradients(model, sum(0.25 * divergence(a.detach(), b).mean() for a, b in zip(p, q, strict=True)))  # type: ignore[arg-type]
    p, q = model.probabilities(m), model.probabilities(other)
    second = gradients(model, sum(0.25 * divergence(a, b.detach()).mean() for a, b in zip(p, q, strict=True)))  # type: ignore[arg-type]
    for mine, left, right in zip(found, first, second, strict=True):
        torch.testing.assert_close(mine, left + right)
    assert any(float((mine - right).abs().max()) > 1e-4 for mine, right in zip(found, first, strict=True))


# eq. 1


def test_the_game_is_equation_1() -> None:
    real, fake = torch.randn(5, 1, dtype=torch.float64), torch.randn(5, 1, dtype=torch.float64)
    answer = [1 / (1 + math.exp(-value)) for value in real[:, 0].tolist()]
    answer_to_fake = [1 / (1 + math.exp(-value)) for value in fake[:, 0].tolist()]
    wanted = -sum(map(math.log, answer)) / 5 - sum(math.log(1 - value) for value in answer_to_fake) / 5
    assert float(discriminator_loss(real, fake)) == pytest.approx(wanted)
    assert float(generator_loss(fake)) == pytest.approx(-sum(map(math.log, answer_to_fake)) / 5)
    sure = torch.full((2, 1), 200.0)
    assert float(discriminator_loss(-sure, sure)) == 400 and float(generator_loss(-sure)) == 200


@settings(max_examples=25)
@given(st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=6))
def test_the_penalty_counts_what_is_beyond_20_before_the_activation(values: Sequence[float]) -> None:
    before = torch.tensor([values], dtype=torch.float64)
    wanted = sum(max(abs(value) - 20, 0) for value in values)
    assert float(activation_penalty(nn.functional.leaky_relu(before, 0.2))) == pytest.approx(wanted, abs=1e-9)


# two processes


def gradient_of_a_part(rank: int, count: int) -> Tensor:
    """The gradients of the loss of a part of the rows, and the mean of the RIM terms, which is that of all rows."""
    model, m = Heads(), features()
    mine = m.chunk(count)[rank]
    constants = Constants(deltas=(1e-4, 1e-2), vat=False)
    head_losses(model, mine, mine + 0.2 * mine.sign(), 1, constants).mean().backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    terms = [rim_loss(p) for p in model.probabilities(mine)]
    return torch.cat([gradient, torch.stack(terms).mean().detach()[None]])


def test_two_processes_have_the_gradient_of_one() -> None:
    whole, parts = gradient_of_a_part(0, 1), in_processes(gradient_of_a_part)
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)
    assert float(parts[0][-1]) == pytest.approx(float(whole[-1])) == float(parts[1][-1])
    assert not torch.allclose(parts[0], parts[1])
