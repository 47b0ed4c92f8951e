"""IIC's dense loss against loops written from eq. 5, and against what the authors' code computed."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import in_processes
from torch import Tensor
from torch.nn import functional

from rsseg.errors import UsageError
from rsseg.learn.losses.iic_dense import displaced_sums, fast_size, iic_dense_loss, pooled_sums

WEIGHTS = pytest.mark.parametrize("weight", [1.0, 1.5])
COLLAPSED = pytest.mark.parametrize("collapsed", [True, False])


def probabilities(*shape: int, seed: int = 0, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(*shape, generator=generator, dtype=torch.float64), dim=1)


def fields(n: int, classes: int, size: int, seed: int, sharpness: float) -> Tensor:
    """Logits of smooth fields, as networks answer."""
    coarse = torch.randn(n, classes, size // 8, size // 8, generator=torch.Generator().manual_seed(seed))
    return sharpness * functional.interpolate(coarse, size=(size, size), mode="bilinear")


def slow_joint(first: Tensor, second: Tensor, mask: Tensor, row: int, col: int) -> Tensor:
    """P_t of eq. 5 before normalising, pixel pair by pixel pair."""
    n, classes, height, width = first.shape
    joint = torch.zeros(classes, classes, dtype=first.dtype)
    for i in range(n):
        for u in range(height):
            for v in range(width):
                if not (0 <= u + row < height and 0 <= v + col < width):
                    continue
                shown = mask[i, u, v] * mask[i, u + row, v + col]
                joint = joint + shown * torch.outer(first[i, :, u, v], second[i, :, u + row, v + col])
    return joint


def slow_information(joint: Tensor, weight: float) -> Tensor:
    """Eq. 3 with the entropy coefficient, of the symmetric, normalised matrix."""
    joint = (joint + joint.T) / 2
    joint = joint / joint.sum()
    rows, total = joint.sum(dim=1), torch.zeros((), dtype=joint.dtype)
    for a in range(len(joint)):
        for b in range(len(joint)):
            logs = joint[a, b].log() - weight * rows[a].log() - weight * rows[b].log()
            total = total + joint[a, b] * logs
    return total


def slow_loss(
    first: Tensor, second: Tensor, mask: Tensor | None, displacement: int, weight: float, collapsed: bool
) -> Tensor:
    """Eq. 5 with sums written out."""
    mask = torch.ones(first[:, 0].shape, dtype=first.dtype) if mask is None else mask.to(first.dtype)
    steps = range(-displacement, displacement + 1)
    joints = [slow_joint(first, second, mask, row, col) for row in steps for col in steps]
    if collapsed:
        return -slow_information(torch.stack(joints).sum(dim=0), weight)
    return -torch.stack([slow_information(joint, weight) for joint in joints]).mean()


def gradients(loss: Tensor, *inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs))


@WEIGHTS
@COLLAPSED
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("shape", "displacement"), [((2, 3, 6, 5), 1), ((1, 2, 4, 7), 3), ((2, 2, 3, 3), 0)])
def test_value_and_gradient_are_those_of_equation_5(
    weight: float, collapsed: bool, masked: bool, shape: tuple[int, ...], displacement: int
) -> None:
    first, second = (probabilities(*shape, seed=seed).requires_grad_() for seed in (1, 2))
    mask = torch.rand(shape[0], *shape[2:], generator=torch.Generator().manual_seed(5)) < 0.8 if masked else None
    if mask is not None:
        mask[:, ::2, ::2] = mask[:, -1] = mask[:, :, -1] = True  # every displacement finds a pair
    options = {"displacement": displacement, "weight": weight, "collapsed": collapsed}
    found = iic_dense_loss(first, second, mask, **options)
    wanted = slow_loss(first, second, mask, displacement, weight, collapsed)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), abs=1e-12)
    for ours, theirs in zip(gradients(found, first, second), gradients(wanted, first, second), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-12)


@WEIGHTS
@COLLAPSED
@pytest.mark.parametrize("transform", ["identity", "hflip"])
def test_value_and_gradient_are_those_of_the_authors_code(
    data: Path, weight: float, collapsed: bool, transform: str
) -> None:
    oracle = np.load(data / "oracles" / "losses.npz")
    name = f"dense_{transform}_{'collapsed' if collapsed else 'uncollapsed'}_lamb{weight}_"
    logits = [torch.from_numpy(oracle[f"dense_logits{i}"]).requires_grad_() for i in (1, 2)]
    first, second = (logit.softmax(dim=1) for logit in logits)
    if transform == "hflip":
        second = second.flip(-1)
    mask = torch.from_numpy(oracle["dense_mask"])
    loss = iic_dense_loss(first, second, mask, displacement=3, weight=weight, collapsed=collapsed)
    assert float(loss.detach()) == pytest.approx(float(oracle[name + "loss"]), abs=1e-10)
    for i, found in enumerate(gradients(loss, *logits), start=1):
        wanted = torch.from_numpy(oracle[f"{name}grad_logits{i}"])
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    classes=st.integers(2, 6),
    seed=st.integers(0, 1000),
    sharpness=st.floats(0, 60),
    displacement=st.integers(0, 4),
    collapsed=st.booleans(),
    weight=st.sampled_from([1.0, 1.5, 2.0]),
)
def test_the_loss_lies_between_its_bounds(
    classes: int, seed: int, sharpness: float, displacement: int, collapsed: bool, weight: float
) -> None:
    first, second = (probabilities(2, classes, 6, 7, seed=seed + i, sharpness=sharpness) for i in (0, 1))
    loss = float(iic_dense_loss(first, second, displacement=displacement, weight=weight, collapsed=collapsed))
    assert loss >= -(2 * weight - 1) * math.log(classes) - 1e-9
    if weight == 1:
        assert loss <= 1e-9


def test_one_certain_cluster_everywhere_is_worth_nothing_and_even_fields_are_worth_ln_k() -> None:
    one = torch.zeros(1, 4, 16, 16, dtype=torch.float64)
    one[:, 2] = 1
    assert float(iic_dense_loss(one, one, displacement=2)) == pytest.approx(0, abs=1e-9)
    even = torch.eye(4, dtype=torch.float64)[torch.arange(4)].view(4, 4, 1, 1).expand(4, 4, 16, 16)
    assert float(iic_dense_loss(even, even, displacement=2)) == pytest.approx(-math.log(4), abs=1e-9)


@COLLAPSED
def test_neither_the_order_of_clusters_nor_that_of_the_pair_matters(collapsed: bool) -> None:
    first, second = probabilities(2, 5, 9, 8, seed=1), probabilities(2, 5, 9, 8, seed=2)
    loss = iic_dense_loss(first, second, displacement=2, collapsed=collapsed)
    order = torch.tensor([3, 0, 4, 2, 1])
    permuted = iic_dense_loss(first[:, order], second[:, order], displacement=2, collapsed=collapsed)
    swapped = iic_dense_loss(second, first, displacement=2, collapsed=collapsed)
    assert float(permuted) == pytest.approx(float(loss), abs=1e-12)
    assert float(swapped) == pytest.approx(float(loss), abs=1e-12)


@COLLAPSED
def test_masked_pixels_neither_count_nor_take_a_gradient(collapsed: bool) -> None:
    first, second = probabilities(2, 4, 12, 10, seed=1), probabilities(2, 4, 12, 10, seed=2)
    mask = torch.ones(2, 12, 10, dtype=torch.bool)
    mask[:, 3:6, 2:8] = False
    other, another = first.clone(), second.clone()
    other[:, :, ~mask[0]], another[:, :, ~mask[0]] = 0.25, 0.25
    other.requires_grad_()
    loss = iic_dense_loss(other, another, mask, displacement=2, collapsed=collapsed)
    wanted = iic_dense_loss(first, second, mask, displacement=2, collapsed=collapsed)
    assert float(loss.detach()) == pytest.approx(float(wanted), abs=1e-12)
    (gradient,) = gradients(loss, other)
    assert gradient[:, :, mask[0]].any() and not gradient[:, :, ~mask[0]].any()


def test_a_batch_without_a_valid_pixel_gives_a_finite_loss_without_gradient() -> None:
    first = probabilities(1, 3, 8, 8).requires_grad_()
    loss = iic_dense_loss(first, first.detach(), torch.zeros(1, 8, 8), displacement=1)
    (gradient,) = gradients(loss, first)
    assert math.isfinite(float(loss.detach())) and not gradient.any()


def test_the_sums_have_the_gradient_of_their_values() -> None:
    first, second = (probabilities(1, 2, 4, 5, seed=seed).requires_grad_() for seed in (1, 2))
    assert torch.autograd.gradcheck(lambda p, q: displaced_sums(p, q, 2), (first, second))
    assert torch.autograd.gradcheck(lambda p, q: pooled_sums(p, q, 2), (first, second))
    assert torch.autograd.gradcheck(lambda p, q: iic_dense_loss(p, q, displacement=2), (first, second))


@pytest.mark.parametrize(("height", "width", "displacement"), [(5, 9, 4), (7, 7, 1), (16, 8, 3), (11, 24, 6)])
def test_the_moving_sum_is_the_sum_over_displacements(height: int, width: int, displacement: int) -> None:
    first, second = probabilities(2, 3, height, width, seed=1), probabilities(2, 3, height, width, seed=2)
    every = displaced_sums(first, second, displacement)
    assert every.shape == (2 * displacement + 1, 2 * displacement + 1, 3, 3)
    torch.testing.assert_close(every.sum(dim=(0, 1)), pooled_sums(first, second, displacement))


@pytest.mark.parametrize("sharpness", [1.0, 8.0, 100.0])
def test_single_precision_agrees_with_a_loop_in_double(sharpness: float) -> None:
    base = fields(2, 8, 48, 0, sharpness)
    logits = [base + 0.3 * torch.randn(base.shape, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    single = [logit.clone().requires_grad_() for logit in logits]
    double = [logit.double().requires_grad_() for logit in logits]
    loss = iic_dense_loss(single[0].softmax(dim=1), single[1].softmax(dim=1), displacement=3)
    wanted = shifted_loss(double[0].softmax(dim=1), double[1].softmax(dim=1), 3)
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    for found, exact in zip(gradients(loss, *single), gradients(wanted, *double), strict=True):
        assert float((found - exact).norm() / exact.norm()) < 1e-3


def shifted_loss(first: Tensor, second: Tensor, displacement: int) -> Tensor:
    """The loop over displacements, each a product of shifted maps."""
    padded = functional.pad(second, (displacement,) * 4)
    found, (height, width) = [], first.shape[2:]
    for row in range(2 * displacement + 1):
        for col in range(2 * displacement + 1):
            joint = torch.einsum("nahw,nbhw->ab", first, padded[:, :, row : row + height, col : col + width])
            joint = (joint + joint.T) / 2 / joint.sum()
            rows = joint.sum(dim=1)
            logs = joint.clamp_min(1e-300).log() - torch.outer(rows, rows).clamp_min(1e-300).log()
            found.append((joint * logs).sum())
    return -torch.stack(found).mean()


def test_half_precision_is_widened_and_autocast_is_left_outside() -> None:
    first, second = probabilities(2, 4, 20, 20, seed=1).float(), probabilities(2, 4, 20, 20, seed=2).float()
    first.requires_grad_()
    plain = iic_dense_loss(first, second, displacement=2)
    wanted = gradients(plain, first)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = iic_dense_loss(first, second, displacement=2)
        found = gradients(cast, first)[0]
    assert cast.dtype == torch.float32 and float(cast.detach()) == float(plain.detach())
    assert torch.equal(found, wanted)
    assert iic_dense_loss(first.bfloat16(), second.bfloat16(), displacement=2).dtype == torch.float32


def test_a_displacement_as_large_as_the_map_is_refused() -> None:
    p = probabilities(1, 2, 8, 6)
    with pytest.raises(UsageError, match="displacement of 6"):
        iic_dense_loss(p, p, displacement=6)
    assert math.isfinite(float(iic_dense_loss(p, p, displacement=5)))


@given(st.integers(1, 5000))
def test_transform_sizes_have_small_factors_only_and_are_near(least: int) -> None:
    size = fast_size(least)
    assert least <= size <= 1.25 * least + 1 and (2**20 * 3**12 * 5**8) % size == 0


# two processes


def loss_and_gradients(rank: int, count: int) -> Tensor:
    """Of this process's images: rows of (loss, gradients), not collapsed and collapsed."""
    found = []
    for collapsed in (False, True):
        logits = [torch.randn(4, 3, 9, 8, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
        own = [logit.double().chunk(count)[rank].requires_grad_() for logit in logits]
        loss = iic_dense_loss(own[0].softmax(dim=1), own[1].softmax(dim=1), displacement=2, collapsed=collapsed)
        found.append(torch.cat([loss.detach()[None], torch.stack(gradients(loss, *own), dim=1).flatten()]))
    return torch.stack(found)


def test_two_processes_give_the_gradient_of_one() -> None:
    wanted, parts = loss_and_gradients(0, 1), in_processes(loss_and_gradients)
    for part in parts:
        torch.testing.assert_close(part[:, 0], wanted[:, 0], rtol=1e-10, atol=1e-13)
    found = torch.cat([part[:, 1:] for part in parts], dim=1) / 2  # the trainer averages over processes
    torch.testing.assert_close(found, wanted[:, 1:], rtol=1e-8, atol=1e-12)
