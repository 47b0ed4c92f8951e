"""DDC's loss against loops written from section 3.1, and against values of its group's reference code."""

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import median_low

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rsseg.learn.losses.ddc import PAPER, Convention, corner_closeness, ddc_loss, ddc_terms, kernel

REFERENCE = Convention(sigma="reference", prefactor="reference")
CONVENTIONS = pytest.mark.parametrize(
    "convention",
    [PAPER, REFERENCE, Convention(sigma="reference", pairs="sum"), Convention(prefactor="reference", factor=0.6)],
    ids=["paper", "reference", "reference sigma and sums", "reference prefactor and a wide kernel"],
)

Rows = list[list[float]]


def slow_kernel(hidden: Rows, convention: Convention) -> Rows:
    """Section 3.1.1 with the bandwidth of section 4.6, or of the reference code."""
    count = len(hidden)
    distance = [[math.dist(hidden[q], hidden[r]) for r in range(count)] for q in range(count)]
    if convention.sigma == "paper":
        sigma = convention.factor * median_low([distance[q][r] for q, r in combinations(range(count), 2)])
    else:
        sigma = math.sqrt(convention.factor * median_low([value**2 for row in distance for value in row]))
    return [[math.exp(-(value**2) / (2 * sigma**2)) for value in row] for row in distance]


def slow_divergence(weights: Rows, similarity: Rows, convention: Convention) -> float:
    """Eq. 3, term by term."""
    count, classes = len(weights), len(weights[0])

    def product(i: int, j: int) -> float:
        total = 0.0
        for q in range(count):
            for r in range(count):
                total += weights[q][i] * weights[r][j] * similarity[q][r]
        return total

    total = 0.0
    for i in range(classes - 1):
        for j in range(i + 1, classes):
            total += product(i, j) / math.sqrt(product(i, i) * product(j, j))
    return total / classes if convention.prefactor == "paper" else total * 2 / (classes * (classes - 1))


def slow_terms(p: Rows, hidden: Rows, convention: Convention) -> tuple[float, float, float]:
    """The three terms of eq. 4."""
    similarity, classes = slow_kernel(hidden, convention), len(p[0])
    corners = [[float(i == j) for j in range(classes)] for i in range(classes)]
    closeness = [[math.exp(-(math.dist(row, corner) ** 2)) for corner in corners] for row in p]
    products = [sum(a * b for a, b in zip(*pair, strict=True)) for pair in combinations(p, 2)]
    upper = sum(products) / (len(products) if convention.pairs == "mean" else 1)
    return (
        slow_divergence(p, similarity, convention),
        upper,
        slow_divergence(closeness, similarity, convention),
    )


def inputs(n: int = 9, classes: int = 4, seed: int = 0, width: int = 3) -> tuple[Tensor, Tensor]:
    """Assignments and hidden features, float64."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.softmax(2 * torch.randn(n, classes, generator=generator, dtype=torch.float64), dim=1)
    return p, torch.randn(n, width, generator=generator, dtype=torch.float64)


def values(terms: tuple[Tensor, Tensor, Tensor]) -> list[float]:
    return [float(term) for term in terms]


@CONVENTIONS
@given(n=st.integers(2, 7), classes=st.integers(2, 5), seed=st.integers(0, 1000))
def test_the_terms_are_those_of_equation_4(convention: Convention, n: int, classes: int, seed: int) -> None:
    if n == 2 and convention.sigma == "reference":
        n = 3  # the lower median of two samples is 0: see the test of features that fall together
    p, hidden = inputs(n, classes, seed)
    wanted = slow_terms(p.tolist(), hidden.tolist(), convention)
    # sums below the floor are lifted to it
    assert values(ddc_terms(p, hidden, convention)) == pytest.approx(wanted, rel=1e-6, abs=1e-6)


@CONVENTIONS
def test_the_loss_is_the_weighted_sum_of_its_terms(convention: Convention) -> None:
    p, hidden = inputs()
    first, second, third = slow_terms(p.tolist(), hidden.tolist(), convention)
    weighted = replace(convention, divergence_weight=0.5, orthogonality_weight=2.0, corner_weight=3.0)
    assert float(ddc_loss(p, hidden, convention)) == pytest.approx(first + second + third, rel=1e-9)
    assert float(ddc_loss(p, hidden, weighted)) == pytest.approx(0.5 * first + 2 * second + 3 * third, rel=1e-9)


def test_values_and_gradients_are_those_of_the_reference_code(data: Path) -> None:
    path = data / "oracles" / "losses.npz"
    if not path.is_file():
        pytest.skip("no oracles")
    known = np.load(path)
    logits = torch.from_numpy(known["ddc_logits"]).requires_grad_()
    hidden = torch.from_numpy(known["ddc_hidden"]).requires_grad_()
    found = kernel(hidden, "reference").detach().numpy()
    np.testing.assert_allclose(found, known["ddc_kernel"], rtol=1e-10, atol=1e-13)
    terms = ddc_terms(torch.softmax(logits, dim=1), hidden, REFERENCE)
    for name, term in zip(("l1", "l2", "l3"), terms, strict=True):
        assert float(term.detach()) == pytest.approx(float(known[f"ddc_{name}"]), rel=1e-12)
        gradients = torch.autograd.grad(term, (logits, hidden), retain_graph=True, allow_unused=True)
        for of, gradient in zip(("logits", "hidden"), gradients, strict=True):
            if gradient is None:
                assert (name, of) == ("l2", "hidden")
                continue
            np.testing.assert_allclose(gradient.numpy(), known[f"ddc_{name}_grad_{of}"], rtol=1e-9, atol=1e-14)


@CONVENTIONS
def test_the_loss_does_not_depend_on_the_order_of_samples_or_clusters(convention: Convention) -> None:
    p, hidden = inputs()
    rows, clusters = torch.randperm(len(p)), torch.randperm(p.shape[1])
    shuffled = ddc_terms(p[rows][:, clusters], hidden[rows], convention)
    assert values(shuffled) == pytest.approx(values(ddc_terms(p, hidden, convention)), rel=1e-12)


@CONVENTIONS
def test_the_loss_does_not_depend_on_where_and_in_which_units_the_features_are(convention: Convention) -> None:
    p, hidden = inputs()
    moved = ddc_terms(p, 40 * hidden - 300, convention)
    assert values(moved) == pytest.approx(values(ddc_terms(p, hidden, convention)), rel=1e-8)


@CONVENTIONS
@given(n=st.integers(2, 20), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_the_terms_lie_between_their_bounds(convention: Convention, n: int, classes: int, seed: int) -> None:
    p, hidden = inputs(n, classes, seed)
    first, second, third = values(ddc_terms(p, hidden, convention))
    largest = (classes - 1) / 2 if convention.prefactor == "paper" else 1.0
    assert 0 <= first <= largest + 1e-9 and 0 <= third <= largest + 1e-9
    assert 0 <= second <= (1 if convention.pairs == "mean" else math.comb(n, 2)) + 1e-9


def groups(apart: float = 50.0) -> tuple[Tensor, Tensor]:
    """Three far groups of four samples each, and certain assignments to them."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(3).repeat_interleave(4)
    centres = apart * torch.eye(3, dtype=torch.float64)
    hidden = centres[group] + torch.rand(12, 3, generator=generator, dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64)[group], hidden


def test_the_bounds_are_reached() -> None:
    p, hidden = groups()
    first, second, _ = values(ddc_terms(p, hidden))
    assert first == pytest.approx(0, abs=1e-8)
    assert second == pytest.approx(3 * math.comb(4, 2) / math.comb(12, 2))
    uniform = torch.full_like(p, 1 / 3)
    assert values(ddc_terms(uniform, hidden)) == pytest.approx([1.0, 1 / 3, 1.0])
    assert values(ddc_terms(uniform, hidden, REFERENCE)) == pytest.approx([1.0, 1 / 3, 1.0])
    eight = torch.full((12, 8), 1 / 8, dtype=torch.float64)
    assert float(ddc_terms(eight, hidden)[0]) == pytest.approx(7 / 2)


@CONVENTIONS
def test_the_true_groups_are_better_than_any_other_answer(convention: Convention) -> None:
    p, hidden = groups()
    best = float(ddc_loss(p, hidden, convention))
    merged = torch.stack([p[:, 0], p[:, 1] + p[:, 2], torch.zeros(12, dtype=p.dtype)], dim=1)
    for other in (p.roll(2, dims=0), torch.full_like(p, 1 / 3), merged):
        assert float(ddc_loss(other, hidden, convention)) > best


@CONVENTIONS
def test_one_cluster_for_all_is_penalised(convention: Convention) -> None:
    """By the second term as much as can be, and by the third: all samples are as far from each corner."""
    p, hidden = groups()
    collapsed = torch.zeros_like(p)
    collapsed[:, 1] = 1
    even, one = values(ddc_terms(p, hidden, convention)), values(ddc_terms(collapsed, hidden, convention))
    assert one[1] == pytest.approx(1 if convention.pairs == "mean" else math.comb(12, 2))
    assert one[2] == pytest.approx(1)  # (k - 1) / 2, or 1, of three clusters
    assert one[1] > 3 * even[1] and one[2] > 1.5 * even[2]


@CONVENTIONS
def test_empty_clusters_have_finite_gradients_that_fill_them(convention: Convention) -> None:
    """From near one cluster for all, a step against the gradient makes the assignments differ."""
    _, hidden = groups()
    logits = torch.zeros(12, 3, dtype=torch.float64)
    logits[:, 1] = 4.0
    logits.requires_grad_()
    ddc_loss(torch.softmax(logits, dim=1), hidden, convention).backward()
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())
    assert bool((logits.grad[:, 1] > 0).all())


@CONVENTIONS
def test_the_gradient_is_that_of_the_value(convention: Convention) -> None:
    p, hidden = inputs(8)
    logits = p.log().requires_grad_()
    hidden.requires_grad_()
    fixed = hidden.detach()
    # by the hidden features the bandwidth counts as a constant, so it is held while they are moved
    terms = [lambda q, i=i: ddc_terms(torch.softmax(q, dim=1), fixed, convention)[i] for i in range(3)]
    assert all(torch.autograd.gradcheck(term, logits) for term in terms)


@pytest.mark.parametrize("rule", ["paper", "reference"])
def test_the_bandwidth_counts_as_a_constant(rule: str) -> None:
    _, hidden = inputs(8)
    hidden.requires_grad_()
    similarity = kernel(hidden, rule)  # type: ignore[arg-type]
    # K = exp(-d^2 / (2 sigma^2)): moving x_0 changes ln K_01 by (x_1 - x_0) / sigma^2
    gradient = torch.autograd.grad(similarity[0, 1].log(), hidden)[0]
    distance = (hidden[0] - hidden[1]).detach()
    squared = float((distance**2).sum() / (-2 * similarity[0, 1].detach().log()))
    torch.testing.assert_close(gradient[0], -distance / squared, rtol=1e-8, atol=1e-10)
    assert not gradient[2:].any()


@CONVENTIONS
@pytest.mark.parametrize("spread", [0.0, 1e-12])
def test_features_that_fall_together_have_finite_gradients(convention: Convention, spread: float) -> None:
    p, hidden = inputs()
    same = (hidden * spread).float().requires_grad_()
    logits = p.log().float().requires_grad_()
    loss = ddc_loss(torch.softmax(logits, dim=1), same, convention)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert all(tensor.grad is not None and bool(torch.isfinite(tensor.grad).all()) for tensor in (same, logits))


@CONVENTIONS
def test_float32_is_enough_where_most_samples_are_nearly_equal(convention: Convention) -> None:
    """The median is then shorter than the distances that float32 resolves."""
    p, hidden = inputs(60, width=20)
    hidden = 10 * hidden
    hidden[10:] = hidden[0] + 1e-4 * hidden[10:]
    found = []
    for dtype in (torch.float64, torch.float32):
        rows = hidden.to(dtype, copy=True).requires_grad_()
        ddc_loss(p.to(dtype), rows, replace(convention, orthogonality_weight=0.0)).backward()
        assert rows.grad is not None
        found.append(rows.grad.double())
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0.03)


@CONVENTIONS
def test_certain_assignments_have_finite_gradients(convention: Convention) -> None:
    p, hidden = groups()
    certain = p.clone().requires_grad_()
    ddc_loss(certain, hidden, convention).backward()
    assert certain.grad is not None and bool(torch.isfinite(certain.grad).all())


def test_half_precision_is_widened_and_autocast_is_left() -> None:
    p, hidden = inputs(64, width=16)
    exact = values(ddc_terms(p, hidden))
    assert ddc_loss(p.bfloat16(), hidden.bfloat16()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ddc_terms(p.float(), hidden.float())
        closeness = corner_closeness(p.float())
    assert values(found) == pytest.approx(exact, rel=1e-5)
    assert all(term.dtype == torch.float32 for term in found) and closeness.dtype == torch.float32
