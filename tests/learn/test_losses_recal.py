"""RECAL's loss against loops written from eq. 3 and from Algorithm 2."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import blocks_scene, quiet_build, samples_of, scene_of
from torch import Tensor, nn

from rsseg.learn.losses.recal import Accumulator, class_entropy, classification_entropy, plogp, recal_loss
from rsseg.learn.methods.recal import Recal, RecalPhase, unrecorded
from rsseg.learn.samples import SceneSamples

WEIGHTS = pytest.mark.parametrize("weight", [0.25, 1.0, 4.0])


def slow_loss(p: list[list[float]], weight: float) -> float:
    """Eq. 3, sum by sum."""
    samples, classes = len(p), len(p[0])
    phi = 0.0
    for row in p:
        for value in row:
            phi -= value * math.log(value) if value > 0 else 0.0
    psi = 0.0
    for k in range(classes):
        mean = sum(row[k] for row in p) / samples
        psi -= mean * math.log(mean) if mean > 0 else 0.0
    return weight * phi / samples - psi


def probabilities(n: int = 12, classes: int = 5, seed: int = 0, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.softmax(sharpness * torch.randn(n, classes, generator=generator, dtype=torch.float64), dim=1)


@WEIGHTS
@given(n=st.integers(1, 9), classes=st.integers(2, 7), seed=st.integers(0, 1000), sharpness=st.floats(0, 40))
def test_the_loss_is_equation_3(weight: float, n: int, classes: int, seed: int, sharpness: float) -> None:
    p = probabilities(n, classes, seed, sharpness)
    assert float(recal_loss(p, weight)) == pytest.approx(slow_loss(p.tolist(), weight), abs=1e-12)


@WEIGHTS
@given(classes=st.integers(2, 9), seed=st.integers(0, 1000), sharpness=st.floats(0, 60))
def test_the_loss_lies_between_its_bounds(weight: float, classes: int, seed: int, sharpness: float) -> None:
    loss = float(recal_loss(probabilities(20, classes, seed, sharpness), weight))
    assert -math.log(classes) - 1e-12 <= loss <= weight * math.log(classes) + 1e-12


@WEIGHTS
def test_the_bounds_are_reached(weight: float) -> None:
    certain_and_even = torch.eye(4, dtype=torch.float64)
    assert float(recal_loss(certain_and_even, weight)) == pytest.approx(-math.log(4))
    one_for_all = torch.eye(4, dtype=torch.float64)[[2, 2, 2]]
    assert float(recal_loss(one_for_all, weight)) == pytest.approx(0)
    uniform = torch.full((6, 4), 0.25, dtype=torch.float64)
    assert float(recal_loss(uniform, weight)) == pytest.approx((weight - 1) * math.log(4))
    assert float(classification_entropy(uniform)) == pytest.approx(math.log(4))


def test_the_loss_does_not_depend_on_the_order_of_samples_or_clusters() -> None:
    p = probabilities()
    shuffled = p[torch.randperm(len(p))][:, torch.randperm(p.shape[1])]
    assert float(recal_loss(shuffled)) == pytest.approx(float(recal_loss(p)), abs=1e-12)


@WEIGHTS
def test_the_gradient_is_that_of_the_value(weight: float) -> None:
    p = probabilities().requires_grad_()
    assert torch.autograd.gradcheck(lambda q: recal_loss(torch.softmax(q, dim=1), weight), p)
    assert torch.autograd.gradcheck(lambda q: recal_loss(q, weight), p)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_probabilities_of_exactly_zero_and_one_have_finite_gradients(dtype: torch.dtype) -> None:
    p = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=dtype, requires_grad=True)
    recal_loss(p).backward()
    assert p.grad is not None and bool(torch.isfinite(p.grad).all())
    assert float(plogp(torch.zeros(1))) == 0


def test_half_precision_is_widened() -> None:
    p = probabilities()
    assert recal_loss(p.bfloat16()).dtype == torch.float32
    assert float(recal_loss(p.half())) == pytest.approx(float(recal_loss(p)), abs=5e-3)


def accumulated(chunks: list[Tensor]) -> Accumulator:
    sums = Accumulator(chunks[0].shape[1], torch.device("cpu"))
    for chunk in chunks:
        sums.add(chunk)
    return sums


@WEIGHTS
@pytest.mark.parametrize("sizes", [[12], [6, 6], [5, 4, 3], [1, 10, 1]])
def test_algorithm_2_has_the_value_of_one_large_batch(weight: float, sizes: list[int]) -> None:
    p = probabilities()
    chunks = list(p.split(sizes))
    loss = accumulated(chunks[:-1] or [p[:0]]).loss(chunks[-1], weight)
    assert float(loss) == pytest.approx(slow_loss(p.tolist(), weight), abs=1e-12)


def test_algorithm_2_has_the_gradient_of_the_last_mini_batch_only() -> None:
    p = probabilities(12)
    first, last = p[:8].clone().requires_grad_(), p[8:].clone().requires_grad_()
    accumulated([first]).loss(last, 0.7).backward()
    assert first.grad is None
    whole = p.clone().requires_grad_()
    recal_loss(torch.cat([whole[:8].detach(), whole[8:]]), 0.7).backward()
    assert whole.grad is not None and last.grad is not None
    torch.testing.assert_close(last.grad, whole.grad[8:], rtol=1e-12, atol=1e-14)
    assert not whole.grad[:8].any()


@WEIGHTS
def test_the_surrogates_gradients_are_those_of_one_large_batch(weight: float) -> None:
    logits = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    whole = logits.clone().requires_grad_()
    recal_loss(torch.softmax(whole, dim=1), weight).backward()
    parts = [part.clone().requires_grad_() for part in logits.split([5, 4, 3])]
    sums = accumulated([torch.softmax(part, dim=1) for part in parts])
    for part in parts:
        sums.surrogate(torch.softmax(part, dim=1), weight).backward()
    found = torch.cat([part.grad for part in parts if part.grad is not None])
    assert whole.grad is not None
    torch.testing.assert_close(found, whole.grad, rtol=1e-10, atol=1e-13)


def test_the_sums_of_a_batch_do_not_leak_into_the_next() -> None:
    phase, samples = tiny_phase(accumulation="last")
    frozen(phase.network)
    indices = torch.arange(16)
    first, second = float(phase.step(samples, indices)), float(phase.step(samples, indices))
    assert first == second


# through a real network


def tiny_phase(**options: object) -> tuple[RecalPhase, SceneSamples]:
    torch.manual_seed(5)
    method = quiet_build("recal", **{"classes": 4, "patch": 4, "batch": 8, "accumulate": 3, **options})
    assert isinstance(method, Recal)
    samples = samples_of(scene_of(blocks_scene(24, 24, block=4)[0]), 4, 4)
    phase = method.phases[0]
    assert isinstance(phase, RecalPhase)
    return phase, samples


def frozen(network: nn.Module) -> None:
    """Batch norm by stored statistics, gradients as in training."""
    network.eval()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad(set_to_none=True)
    return found


def big_batch(phase: RecalPhase, samples: SceneSamples, indices: Tensor) -> tuple[float, dict[str, Tensor]]:
    network = phase.network
    loss = recal_loss(network.head.probabilities(network(samples.gather(indices))), phase.settings.entropy_weight)
    loss.backward()
    return float(loss.detach()), gradients(network)


def test_two_passes_give_value_and_gradient_of_one_large_batch() -> None:
    phase, samples = tiny_phase(accumulation="exact", entropy_weight=0.6)
    frozen(phase.network)
    indices = torch.randperm(len(samples))[:24]
    value, wanted = big_batch(phase, samples, indices)
    assert float(phase.step(samples, indices)) == pytest.approx(value, abs=1e-6)
    found = gradients(phase.network)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6 + 1e-4 * float(gradient.abs().max()))


def test_algorithm_2_through_a_network_moves_it_by_the_last_mini_batch_only() -> None:
    phase, samples = tiny_phase(accumulation="last")
    frozen(phase.network)
    indices = torch.arange(24)
    value = float(phase.step(samples, indices))
    found = gradients(phase.network)
    whole, complete = big_batch(phase, samples, indices)
    assert value == pytest.approx(whole, abs=1e-6)
    network = phase.network
    with torch.no_grad():
        earlier = network.head.probabilities(network(samples.gather(indices[:16])))
    recal_loss(torch.cat([earlier, network.head.probabilities(network(samples.gather(indices[16:])))])).backward()
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6 + 1e-4 * float(gradient.abs().max()))
    assert any(not torch.allclose(found[name], complete[name], rtol=0.05) for name in found)


@pytest.mark.parametrize("accumulation", ["last", "exact"])
def test_statistics_of_mini_batches_make_a_difference_to_the_large_batch(accumulation: str) -> None:
    """In training mode batch norm sees 8 samples where one large batch would see 24: the value is near, not equal."""
    phase, samples = tiny_phase(accumulation=accumulation)
    phase.network.train()
    indices = torch.arange(24)
    with torch.no_grad(), unrecorded(phase.network):
        p = phase.network.head.probabilities(phase.network(samples.gather(indices)))
    difference = abs(float(phase.step(samples, indices)) - float(recal_loss(p)))
    assert 1e-6 < difference < 0.5


def test_the_first_of_two_passes_leaves_stored_statistics_as_they_are() -> None:
    phase, samples = tiny_phase()
    network = phase.network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items() if "running" in name}
    with torch.no_grad(), unrecorded(network):
        network(samples.gather(torch.arange(8)))
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    network(samples.gather(torch.arange(8)))
    assert not torch.equal(network.state_dict()["head.norm.running_mean"], before["head.norm.running_mean"])


def test_one_group_of_one_mini_batch_is_algorithm_1() -> None:
    phase, samples = tiny_phase()
    frozen(phase.network)
    value, wanted = big_batch(phase, samples, torch.arange(8))
    assert float(phase.step(samples, torch.arange(8))) == value
    assert all(torch.equal(gradient, wanted[name]) for name, gradient in gradients(phase.network).items())


@pytest.mark.parametrize(("count", "size"), [(24, 24), (100, 24), (20, 20), (17, 16), (9, 8), (5, 5), (2, 2)])
def test_no_mini_batch_has_a_single_sample(count: int, size: int) -> None:
    phase, _ = tiny_phase()
    groups = list(phase.batches(count, torch.Generator().manual_seed(0)))
    assert [len(group) for group in groups] == [size] * (count // size)
    assert len(torch.cat(groups).unique()) == size * (count // size)


def test_class_entropy_takes_sums_as_well_as_means() -> None:
    assert float(class_entropy(torch.tensor([2.0, 2, 4]))) == pytest.approx(
        float(class_entropy(torch.tensor([1.0, 1, 2])))
    )
