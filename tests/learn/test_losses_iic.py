"""IIC's loss against a loop written from eqs. 2 and 3, and against the authors' code."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processes import in_processes
from torch import Tensor

from rsseg.learn.losses.iic import EPSILON, iic_loss, information, joint, normalised

WEIGHTS = pytest.mark.parametrize("weight", [0.5, 1.0, 1.5])


def slow_loss(first: list[list[float]], second: list[list[float]], weight: float) -> float:
    """Eqs. 2 and 3 with the entropy coefficient, sum by sum."""
    pairs, classes = len(first), len(first[0])
    p = [[0.0] * classes for _ in range(classes)]
    for z, other in zip(first, second, strict=True):
        for i in range(classes):
            for j in range(classes):
                p[i][j] += (z[i] * other[j] + z[j] * other[i]) / (2 * pairs)
    loss = 0.0
    for i in range(classes):
        for j in range(classes):
            rows, columns = sum(p[i]), sum(p[k][j] for k in range(classes))
            if p[i][j] > 0:
                loss -= p[i][j] * (math.log(p[i][j]) - weight * math.log(rows) - weight * math.log(columns))
    return loss


def pairs(n: int = 12, classes: int = 5, seed: int = 0, sharpness: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, n, classes, generator=generator, dtype=torch.float64)
    logits[1] += logits[0]
    first, second = torch.softmax(sharpness * logits, dim=2)
    return first, second


@WEIGHTS
@given(n=st.integers(1, 9), classes=st.integers(2, 7), seed=st.integers(0, 1000), sharpness=st.floats(0, 9))
def test_the_loss_is_equation_3_with_the_coefficient(
    weight: float, n: int, classes: int, seed: int, sharpness: float
) -> None:
    first, second = pairs(n, classes, seed, sharpness)
    wanted = slow_loss(first.tolist(), second.tolist(), weight)
    assert float(iic_loss(first, second, weight)) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("weight", [1.0, 1.5])
def test_value_and_gradients_are_those_of_the_authors_code(data: Path, weight: float) -> None:
    wanted = np.load(data / "oracles" / "losses.npz")
    first, second = (torch.tensor(wanted[name], requires_grad=True) for name in ("iic_logits", "iic_logits_t"))
    loss = iic_loss(torch.softmax(first, dim=1), torch.softmax(second, dim=1), weight)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted[f"iic_lamb{weight}_loss"]), abs=1e-14)
    for logits, name in ((first, "logits"), (second, "logits_t")):
        np.testing.assert_allclose(logits.grad, wanted[f"iic_lamb{weight}_grad_{name}"], rtol=1e-9, atol=1e-15)


@given(classes=st.integers(2, 9), seed=st.integers(0, 1000), sharpness=st.floats(0, 60), weight=st.floats(1, 3))
def test_the_loss_lies_between_its_bounds(classes: int, seed: int, sharpness: float, weight: float) -> None:
    first, second = pairs(20, classes, seed, sharpness)
    assert -math.log(classes) - 1e-12 <= float(iic_loss(first, second)) <= 1e-12
    assert float(iic_loss(first, second, weight)) >= -(2 * weight - 1) * math.log(classes) - 1e-12


@WEIGHTS
def test_certain_even_and_equal_clusters_reach_the_least_loss(weight: float) -> None:
    certain = torch.eye(4, dtype=torch.float64).repeat(3, 1)
    assert float(iic_loss(certain, certain, weight)) == pytest.approx(-(2 * weight - 1) * math.log(4))
    one_for_all = torch.eye(4, dtype=torch.float64)[[2, 2, 2]]
    assert float(iic_loss(one_for_all, one_for_all, weight)) == pytest.approx(0, abs=1e-12)


def test_uniform_clusters_share_no_information_but_are_even() -> None:
    uniform = torch.full((6, 4), 0.25, dtype=torch.float64)
    assert float(iic_loss(uniform, uniform)) == pytest.approx(0, abs=1e-12)
    assert float(iic_loss(uniform, uniform, 1.5)) == pytest.approx(-math.log(4))


@WEIGHTS
def test_the_loss_does_not_change_when_views_are_swapped_or_pairs_and_clusters_are_permuted(weight: float) -> None:
    first, second = pairs()
    value = float(iic_loss(first, second, weight))
    assert float(iic_loss(second, first, weight)) == pytest.approx(value, abs=1e-13)
    half = torch.arange(len(first)) % 2 == 0  # symmetric: each pair may be swapped by itself
    swapped = torch.where(half[:, None], first, second), torch.where(half[:, None], second, first)
    assert float(iic_loss(*swapped, weight)) == pytest.approx(value, abs=1e-13)
    rows, columns = torch.randperm(len(first)), torch.randperm(first.shape[1])
    shuffled = first[rows][:, columns], second[rows][:, columns]
    assert float(iic_loss(*shuffled, weight)) == pytest.approx(value, abs=1e-13)


def test_which_sample_is_paired_with_which_matters() -> None:
    first, second = pairs()
    assert float(iic_loss(first, second)) < float(iic_loss(first, second.roll(1, 0))) - 0.1


@WEIGHTS
def test_the_gradient_is_that_of_the_value(weight: float) -> None:
    first, second = (p.requires_grad_() for p in pairs(6, 4))
    assert torch.autograd.gradcheck(lambda a, b: iic_loss(a, b, weight), (first, second))


def test_sub_heads_have_losses_of_their_own() -> None:
    heads = [pairs(seed=seed) for seed in range(3)]
    losses = iic_loss(torch.stack([p for p, _ in heads]), torch.stack([q for _, q in heads]), 1.2)
    assert losses.tolist() == pytest.approx([float(iic_loss(p, q, 1.2)) for p, q in heads], abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_clusters_that_no_sample_has_leave_value_and_gradient_finite(dtype: torch.dtype) -> None:
    p = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=dtype, requires_grad=True)
    loss = iic_loss(p, p.detach())
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert p.grad is not None and bool(torch.isfinite(p.grad).all())


def test_small_negative_sums_count_as_the_smallest_probability() -> None:
    clean = torch.tensor([[0.5, 0.0], [0.0, 0.5]], dtype=torch.float64)
    rounded = clean + torch.tensor([[0.0, -1e-18], [-1e-18, 0.0]], dtype=torch.float64)
    assert float(information(rounded)) == float(information(clean)) == pytest.approx(math.log(2), abs=100 * EPSILON)


def test_sums_of_any_size_are_made_a_symmetric_distribution() -> None:
    total = torch.tensor([[[4.0, 2.0], [0.0, 2.0]]])
    assert torch.equal(normalised(total), torch.tensor([[[0.5, 0.125], [0.125, 0.25]]]))
    first, second = pairs()
    torch.testing.assert_close(joint(first, second).sum(), torch.ones((), dtype=torch.float64))


def test_the_joint_is_summed_in_full_precision_under_autocast() -> None:
    first, second = (p.float() for p in pairs(200, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = iic_loss(first, second)
    assert found.dtype == torch.float32
    assert float(found) == float(iic_loss(first, second))


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5)).double()


def loss_and_gradients(rank: int, count: int, first: Tensor, second: Tensor) -> Tensor:
    """The loss of one process's part of the pairs and the network's gradients, in one vector."""
    network = small_network()
    halves = (torch.softmax(network(x.chunk(count)[rank]), dim=1) for x in (first, second))
    loss = iic_loss(*halves, 1.2)
    loss.backward()
    return torch.cat([loss.detach()[None], *(parameter.grad.flatten() for parameter in network.parameters())])


def test_two_processes_have_the_loss_and_the_gradient_of_one() -> None:
    first = torch.randn(14, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    second = first + 0.3 * torch.randn(14, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = loss_and_gradients(0, 1, first, second)
    found = in_processes(loss_and_gradients, first, second)
    for vector in found:
        torch.testing.assert_close(vector[0], whole[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(sum(found)[1:] / 2, whole[1:], rtol=1e-9, atol=1e-13)


def test_with_a_tolerance_unequal_clusters_cost_nothing_up_to_it() -> None:
    """Perfect pairs of clusters with unequal masses: the information is their entropy, capped at ln K - tolerance."""
    shares = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    entropy = float(-(shares * shares.log()).sum())
    joint = torch.diag(shares)
    assert float(information(joint)) == pytest.approx(entropy)
    loose, tight = math.log(3) - entropy + 0.1, math.log(3) - entropy - 0.1
    assert float(information(joint, tolerance=tight)) == pytest.approx(entropy)
    assert float(information(joint, tolerance=loose)) == pytest.approx(entropy - 2 * 0.1)
    equal = torch.eye(3, dtype=torch.float64) / 3
    assert float(information(equal, tolerance=loose)) == pytest.approx(math.log(3) - 2 * loose)


def test_within_the_tolerance_the_masses_have_no_gradient() -> None:
    scores = torch.tensor([[2.0, 0.0, 0.0], [2.0, 0.0, 0.1], [0.0, 2.0, 0.0], [0.0, 0.1, 2.0]], dtype=torch.float64)
    for tolerance in (0.0, 0.9):
        raw = scores.clone().requires_grad_()
        p = raw.softmax(dim=1)
        iic_loss(p, p, tolerance=tolerance).backward()
        found = raw.grad
        plain = scores.clone().requires_grad_()
        q = plain.softmax(dim=1)
        table = joint(q, q)
        (-(table * table.log()).sum() if tolerance else -information(table)).backward()
        assert torch.allclose(found, plain.grad)  # type: ignore[arg-type]
