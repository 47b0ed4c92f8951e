"""The estimators against the worked example of Olofsson et al. (2014), their equations written out, and simulation."""

import numpy as np
import pytest

from rsseg.errors import InputError
from rsseg.label.area import estimate

CLASSES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200000, 150000, 3200000, 6450000])
SHARES = PIXELS / PIXELS.sum()
OWN = np.arange(4)


def test_the_worked_example_of_the_paper() -> None:
    """Section 5: areas in hectares of pixels of 30 m, with half their 95 % confidence intervals."""
    found = estimate(COUNTS, SHARES, OWN, CLASSES, CLASSES)
    assert found.overall_accuracy.value == pytest.approx(0.947, abs=5e-4)
    assert 1.96 * (found.overall_accuracy.error or 0) == pytest.approx(0.018, abs=5e-4)
    first = found.classes[0]
    assert (first.area.value or 0) * 10_000_000 == pytest.approx(235086, abs=0.5)
    assert first.area.error == pytest.approx(0.0035, abs=5e-5)
    hectares = [10_000_000 * 0.09 * (item.area.value or 0) for item in found.classes]
    assert hectares == pytest.approx([21158, 11686, 285770, 581386], abs=0.5)
    halves = [10_000_000 * 0.09 * 1.96 * (item.area.error or 0) for item in found.classes]
    assert halves == pytest.approx([6158, 3756, 15510, 16282], abs=0.5)
    assert [item.users_accuracy.value for item in found.classes] == pytest.approx([0.88, 0.73, 0.93, 0.96], abs=5e-3)
    users = [1.96 * (item.users_accuracy.error or 0) for item in found.classes]
    assert users == pytest.approx([0.07, 0.10, 0.04, 0.02], abs=5e-3)
    assert [item.producers_accuracy.value for item in found.classes] == pytest.approx(
        [0.75, 0.85, 0.93, 0.96], abs=5e-3
    )
    assert 1.96 * (first.producers_accuracy.error or 0) == pytest.approx(0.21, abs=5e-3)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_paper_s_equations_where_classes_are_strata(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, shares = rng.integers(1, 40, (4, 4)), rng.dirichlet(np.ones(4))
    found = estimate(counts, shares, OWN, CLASSES, CLASSES)
    n = counts.sum(axis=1)
    p = counts / n[:, None] * shares[:, None]
    accurate = np.array([p[i, i] / shares[i] for i in range(4)])  # equation 2
    overall = sum(shares[i] ** 2 * accurate[i] * (1 - accurate[i]) / (n[i] - 1) for i in range(4))  # equation 5
    assert found.overall_accuracy.value == pytest.approx(np.trace(p))
    assert found.overall_accuracy.error == pytest.approx(overall**0.5)
    for k, item in enumerate(found.classes):
        assert item.users_accuracy.value == pytest.approx(accurate[k])
        assert item.users_accuracy.error == pytest.approx((accurate[k] * (1 - accurate[k]) / (n[k] - 1)) ** 0.5)
        area = p[:, k].sum()
        spread = sum((shares[i] * p[i, k] - p[i, k] ** 2) / (n[i] - 1) for i in range(4))  # equation 10
        assert item.area.value == pytest.approx(area) and item.area.error == pytest.approx(spread**0.5)
        producers = p[k, k] / area
        others = sum(
            shares[i] ** 2 * counts[i, k] / n[i] * (1 - counts[i, k] / n[i]) / (n[i] - 1) for i in range(4) if i != k
        )
        own = shares[k] ** 2 * (1 - producers) ** 2 * accurate[k] * (1 - accurate[k]) / (n[k] - 1)
        variance = (own + producers**2 * others) / area**2  # equation 7
        assert item.producers_accuracy.value == pytest.approx(producers)
        assert item.producers_accuracy.error == pytest.approx(variance**0.5)
        assert item.mapped == pytest.approx(shares[k])


def test_standard_errors_are_those_of_repeated_samples() -> None:
    """Two strata of one class and one of another: what clusters need, and the paper's equations do not cover."""
    rng = np.random.default_rng(3)
    truth = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    shares, sizes, assigned = np.array([0.5, 0.2, 0.3]), (60, 50, 70), np.array([0, 0, 1])
    samples = [
        estimate(np.array([rng.multinomial(n, p) for n, p in zip(sizes, truth, strict=True)]), shares, assigned, *NAMES)
        for _ in range(1500)
    ]
    expected = {
        "overall": (0.5 * 0.8 + 0.2 * 0.6 + 0.3 * 0.9),
        "users": (0.5 * 0.8 + 0.2 * 0.6) / 0.7,
        "producers": (0.5 * 0.8 + 0.2 * 0.6) / (0.5 * 0.8 + 0.2 * 0.6 + 0.3 * 0.1),
        "area": 0.55,
    }
    drawn = {
        "overall": [item.overall_accuracy for item in samples],
        "users": [item.classes[0].users_accuracy for item in samples],
        "producers": [item.classes[0].producers_accuracy for item in samples],
        "area": [item.classes[0].area for item in samples],
    }
    for name, found in drawn.items():
        values = np.array([item.value for item in found], float)
        errors = np.array([item.error for item in found], float)
        assert values.mean() == pytest.approx(expected[name], abs=4 * values.std() / 1500**0.5)
        assert np.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.07)


NAMES = (("a", "b"), ("one", "two", "three"))


def test_what_no_point_shows_is_not_made_up() -> None:
    counts = np.array([[9, 1, 0], [2, 8, 0]])
    found = estimate(counts, np.array([0.4, 0.6]), np.array([0, -1]), ("a", "b", "c"), ("one", "two"))
    second, third = found.classes[1:]
    assert second.mapped is None and second.users_accuracy.value is None
    assert second.producers_accuracy.value == 0 and second.area.value == pytest.approx(0.04 + 0.48)
    assert (third.area.value, third.area.error, third.producers_accuracy.value) == (0, 0, None)
    low, high = found.classes[0].area.interval or (0, 0)
    assert 0 <= low < 0.48 < high <= 1


def test_a_stratum_without_two_points_is_named() -> None:
    with pytest.raises(InputError, match=r"two points.*two \(1\)"):
        estimate(np.array([[5, 5], [1, 0]]), np.array([0.5, 0.5]), np.array([0, 1]), ("a", "b"), ("one", "two"))
