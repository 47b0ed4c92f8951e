"""Refinement and losses of the superpixel family against loops written from the papers, and the authors' code."""

import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processes import in_processes
from torch import Tensor
from torch.nn import functional

from rsseg.learn.losses.superpixels import (
    Weights,
    class_weights,
    continuity,
    mumford_shah,
    refine,
    weighted_cross_entropy,
)

KINDS = pytest.mark.parametrize("kind", ["inverse", "sqrt-inverse", "none"])
MASKED = pytest.mark.parametrize("masked", [False, True])


def made(n: int = 2, classes: int = 5, height: int = 6, width: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (n, classes, h, w) in float64, labels and valid pixels (n, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(n, classes, height, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (n, height, width), generator=generator)
    return scores, labels, torch.rand(n, height, width, generator=generator) < 0.7


def slow_refine(labels: Tensor, regions: Tensor, valid: Tensor) -> Tensor:
    """Section 2 of Kanezaki: superpixel by superpixel, the most frequent label; the smallest of equals."""
    refined = labels.clone()
    for image in range(len(labels)):
        for region in regions[image].unique().tolist():
            members = (regions[image] == region) & valid[image]
            votes = Counter(labels[image][members].tolist())
            if votes:
                refined[image][members] = max(sorted(votes), key=lambda label: votes[label])
    return refined


@given(n=st.integers(1, 3), classes=st.integers(2, 6), regions=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_refinement_is_the_papers_loop(n: int, classes: int, regions: int, seed: int) -> None:
    _, labels, valid = made(n, classes, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    places = torch.randint(0, regions, labels.shape, generator=generator)
    assert torch.equal(refine(labels, places, classes, valid), slow_refine(labels, places, valid))
    everywhere = torch.ones_like(valid)
    assert torch.equal(refine(labels, places, classes), slow_refine(labels, places, everywhere))


def test_of_equally_frequent_labels_the_smallest_wins() -> None:
    labels = torch.tensor([[[4, 2, 2, 4], [3, 9, 1, 0]]])
    regions = torch.tensor([[[0, 0, 0, 0], [1, 1, 1, 1]]])
    assert refine(labels, regions, 10).tolist() == [[[2, 2, 2, 2], [0, 0, 0, 0]]]
    many = torch.arange(300).flip(0).view(1, 1, 300) % 100  # every label three times, the largest first
    assert refine(many, torch.zeros_like(many), 100).unique().tolist() == [0]


def test_invalid_pixels_do_not_vote_and_keep_their_label() -> None:
    labels = torch.tensor([[[1, 1, 1, 5, 5]]])
    valid = torch.tensor([[[False, False, True, True, True]]])
    assert refine(labels, torch.zeros_like(labels), 6, valid).tolist() == [[[1, 1, 5, 5, 5]]]
    assert refine(labels, torch.zeros_like(labels), 6, torch.zeros_like(valid)).tolist() == labels.tolist()


@given(seed=st.integers(0, 1000), regions=st.integers(1, 40))
def test_refinement_brings_no_new_label_and_changes_nothing_twice(seed: int, regions: int) -> None:
    _, labels, _ = made(classes=20, seed=seed)
    places = torch.randint(0, regions, labels.shape, generator=torch.Generator().manual_seed(seed))
    once = refine(labels, places, 20)
    for before, after in zip(labels, once, strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist())
    assert torch.equal(refine(once, places, 20), once)


def test_images_of_a_batch_do_not_meet() -> None:
    _, labels, _ = made(n=3, seed=4)
    regions = torch.randint(0, 6, labels.shape, generator=torch.Generator().manual_seed(4))
    alone = [refine(labels[i : i + 1], regions[i : i + 1], 5) for i in range(3)]
    assert torch.equal(refine(labels, regions, 5), torch.cat(alone))


def test_refinement_is_twenty_times_faster_than_the_loop() -> None:
    """2400 superpixels of a 200 px tile at 100 classes, against a loop that has its index lists ready."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 100, (1, 200, 200), generator=generator)
    regions = (torch.arange(200)[:, None] // 4 * 48 + torch.arange(200) * 48 // 200)[None]
    flat, places = labels.flatten().numpy(), regions.flatten().numpy()
    order = np.argsort(places, kind="stable")
    lists = np.split(order, np.cumsum(np.bincount(places))[:-1])
    assert len(lists) == 2400

    def loop() -> None:
        target = flat.copy()
        for members in lists:
            names, counts = np.unique(flat[members], return_counts=True)
            target[members] = names[counts.argmax()]

    def best(work: object, times: int) -> float:
        taken = []
        for _ in range(times):
            began = time.process_time()
            work()  # type: ignore[operator]
            taken.append(time.process_time() - began)
        return min(taken)

    assert best(loop, 3) > 20 * best(lambda: refine(labels, regions, 100), 15)


@KINDS
@MASKED
def test_weights_follow_their_formula_and_sum_to_the_pixels(kind: Weights, masked: bool) -> None:
    _, targets, valid = made(classes=4, seed=3)
    mask = valid if masked else None
    weights = class_weights(targets, 7, kind, mask)
    chosen = targets[valid] if masked else targets.flatten()
    counts = Counter(chosen.tolist())
    root = {c: 1 / math.sqrt(n) for c, n in counts.items()}
    scale = len(chosen) / sum(root[c] * n for c, n in counts.items())
    for label in range(7):
        expected = {
            "inverse": len(chosen) / (len(counts) * counts[label]) if counts[label] else 0.0,
            "sqrt-inverse": scale * root.get(label, 0.0),
            "none": 1.0 if counts[label] else 0.0,
        }[kind]
        assert float(weights[label]) == pytest.approx(expected, rel=1e-6)
    assert float(weights[chosen].sum()) == pytest.approx(len(chosen), rel=1e-6)


def test_classes_count_alike_with_inverse_weights() -> None:
    targets = torch.tensor([[[0] * 9 + [1]]])
    weights = class_weights(targets, 3)
    assert weights.tolist() == pytest.approx([10 / 18, 5.0, 0.0])


@KINDS
@MASKED
def test_weighted_cross_entropy_is_its_sum(kind: Weights, masked: bool) -> None:
    scores, targets, valid = made()
    weights = class_weights(targets, 5, kind, valid if masked else None).double()
    total = share = 0.0
    for n, row, col in np.ndindex(*targets.shape):
        if masked and not valid[n, row, col]:
            continue
        values = scores[n, :, row, col].tolist()
        label = int(targets[n, row, col])
        total -= float(weights[label]) * (values[label] - math.log(sum(math.exp(v) for v in values)))
        share += float(weights[label])
    found = weighted_cross_entropy(scores, targets, weights, valid if masked else None)
    assert float(found) == pytest.approx(total / share, abs=1e-12)


def test_weights_of_one_give_the_plain_cross_entropy() -> None:
    scores, targets, _ = made()
    found = weighted_cross_entropy(scores, targets, class_weights(targets, 5, "none"))
    assert float(found) == pytest.approx(float(functional.cross_entropy(scores, targets)), abs=1e-12)


def slow_continuity(scores: Tensor, valid: Tensor) -> float:
    """Eq. 15 with a mean over each direction's own pairs."""
    n, classes, height, width = scores.shape
    sums = []
    for down, right in ((1, 0), (0, 1)):
        total, pairs = 0.0, 0
        for image, row, col in np.ndindex(n, height - down, width - right):
            if valid[image, row, col] and valid[image, row + down, col + right]:
                pairs += 1
                for k in range(classes):
                    total += abs(float(scores[image, k, row + down, col + right] - scores[image, k, row, col]))
        sums.append(total / (classes * pairs))
    return sum(sums)


@MASKED
def test_continuity_is_equation_15(masked: bool) -> None:
    scores, _, valid = made()
    expected = slow_continuity(scores, valid if masked else torch.ones_like(valid))
    assert float(continuity(scores, valid if masked else None)) == pytest.approx(expected, abs=1e-12)


def slow_mumford_shah(image: Tensor, y: Tensor, valid: Tensor) -> tuple[float, float]:
    """Eq. 16, sum by sum."""
    level = variation = 0.0
    n, classes, height, width = y.shape
    for i, k in np.ndindex(n, classes):
        weight = y[i, k] * valid[i]
        for band in image[i]:
            centre = float((weight * band).sum() / weight.sum())
            level += float((weight * (band - centre) ** 2).sum())
        for row, col in np.ndindex(height, width):
            for down, right in ((1, 0), (0, 1)):
                r, c = row + down, col + right
                if r < height and c < width and valid[i, row, col] and valid[i, r, c]:
                    variation += abs(float(y[i, k, r, c] - y[i, k, row, col]))
    return level, variation


@MASKED
def test_mumford_shah_is_equation_16(masked: bool) -> None:
    scores, _, valid = made()
    image, y = 5 + scores[:, :3].flip(-1), scores.softmax(dim=1)
    mask = valid if masked else None
    pixels = int(valid.sum()) if masked else valid.numel()
    expected = slow_mumford_shah(image, y, valid if masked else torch.ones_like(valid))
    assert [float(term) for term in mumford_shah(image, y, mask)] == pytest.approx(expected, abs=1e-9)
    scaled = mumford_shah(image, y, mask, mean=True)
    assert [float(term) * pixels for term in scaled] == pytest.approx(expected, abs=1e-9)


def test_mumford_shah_agrees_with_the_authors_code(data: Path) -> None:
    """Values and gradients of jongcye/CNN_MumfordShah_Loss."""
    oracle = np.load(data / "oracles" / "losses.npz")
    logits = torch.tensor(oracle["ms_logits"], requires_grad=True)
    terms = mumford_shah(torch.tensor(oracle["ms_image"]), logits.softmax(dim=1))
    for term, name in zip(terms, ("ms_level", "ms_tv"), strict=True):
        assert float(term.detach()) == pytest.approx(float(oracle[name]), rel=1e-9)
        gradient = torch.autograd.grad(term, logits, retain_graph=True)[0]
        np.testing.assert_allclose(gradient.numpy(), oracle[f"{name}_grad"], atol=1e-9)


def test_level_keeps_its_precision_far_from_zero() -> None:
    scores, _, _ = made(height=40, width=40)
    image, y = scores[:, :3], scores.softmax(dim=1)
    exact = float(mumford_shah(image, y)[0])
    assert float(mumford_shah((image + 100).float(), y.float())[0]) == pytest.approx(exact, rel=1e-4)


def losses(scores: Tensor, targets: Tensor, image: Tensor, valid: Tensor | None) -> Tensor:
    """All terms in one sum."""
    weights = class_weights(targets, scores.shape[1], "inverse", valid)
    level, variation = mumford_shah(image, scores.softmax(dim=1), valid, mean=True)
    return weighted_cross_entropy(scores, targets, weights, valid) + continuity(scores, valid) + level + variation


@MASKED
def test_gradients_are_those_of_the_values(masked: bool) -> None:
    scores, targets, valid = made(height=4, width=5)
    image = scores[:, :2].flip(-1).clone()
    scores.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: losses(s, targets, image, valid if masked else None), (scores,))


def test_what_invalid_pixels_hold_changes_nothing() -> None:
    scores, targets, valid = made()
    image = scores[:, :3].clone()
    other_scores, other_targets, other_image = scores.clone(), targets.clone(), image.clone()
    for tensor in (other_scores, other_image):
        tensor.permute(0, 2, 3, 1)[~valid] = 1e3
    other_targets[~valid] = 0
    results = []
    for s, t, x in ((scores, targets, image), (other_scores, other_targets, other_image)):
        s = s.clone().requires_grad_(True)
        loss = losses(s, t, x, valid)
        loss.backward()
        assert s.grad is not None and not s.grad.permute(0, 2, 3, 1)[~valid].any()
        results.append((float(loss.detach()), s.grad.permute(0, 2, 3, 1)[valid]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1])


def test_a_batch_without_valid_pixels_costs_nothing() -> None:
    scores, targets, valid = made()
    scores.requires_grad_(True)
    loss = losses(scores, targets, scores[:, :3].detach(), torch.zeros_like(valid))
    loss.backward()
    assert float(loss.detach()) == 0 and scores.grad is not None and not scores.grad.any()


def test_half_precision_is_widened() -> None:
    scores, targets, _ = made()
    half = scores.to(torch.bfloat16)
    found = losses(half, targets, half[:, :3], None)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(losses(half.double(), targets, half[:, :3].double(), None)), rel=1e-4)


def gradient_of_a_part(rank: int, count: int) -> Tensor:
    """With respect to a factor of all scores, from one process's images."""
    scores, targets, valid = made(n=4)
    factor = torch.ones(5, 1, 1, dtype=torch.float64, requires_grad=True)
    s, t, v = scores.chunk(count)[rank], targets.chunk(count)[rank], valid.chunk(count)[rank]
    losses(factor * s, t, s[:, :3], v).backward()
    assert factor.grad is not None
    return factor.grad


def test_two_processes_have_the_gradient_of_one() -> None:
    found = in_processes(gradient_of_a_part)
    torch.testing.assert_close((found[0] + found[1]) / 2, gradient_of_a_part(0, 1))
