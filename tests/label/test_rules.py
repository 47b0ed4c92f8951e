import itertools

import numpy as np
import pytest

from rsseg.label.naming import shade
from rsseg.label.rules import REFLECTANCE, Kind, Pixels, RuleSet, order_rules
from rsseg.label.spectra import ClusterSpectra
from rsseg.publish.palette import _distances

NAMES = ("green", "red", "nir")


def index(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b > 0 else 0.0


def rule_of(green: float, red: float, nir: float) -> str:
    """The rules on reflectance as docs/legend.md tells them, for one pixel."""
    if min(green, red, nir) >= 0.25 and index(green, nir) > -0.2:
        return "cloud- or snow-like"
    if index(green, nir) > 0 and nir < 0.11:
        return "water-like"
    if max(green, red, nir) < 0.1:
        return "shadow-like or dark"
    if index(nir, red) > 0.5:
        return "dense vegetation-like"
    return "sparse vegetation-like" if index(nir, red) > 0.25 else "bare or built-up-like"


def spectra(means: list[list[float]], bands: tuple[str, ...] = NAMES) -> ClusterSpectra:
    """Clusters 1, 2, ... of 10 pixels each."""
    counts, table = np.zeros(256, np.int64), np.zeros((256, len(bands)))
    counts[1 : len(means) + 1], table[1 : len(means) + 1] = 10, means
    return ClusterSpectra(bands, counts, counts, table, np.zeros_like(table))


def names_of(rules: RuleSet, pixels: Pixels) -> list[str]:
    return [rules.rules[code].name for code in rules.of(pixels)]


def test_every_pixel_meets_the_rule_that_a_loop_finds(rng: np.random.Generator) -> None:
    values = (rng.random((3, 4000)) ** 2).astype(np.float32) * 0.8 - 0.03
    values[:, :1500] *= 0.2
    found = names_of(REFLECTANCE, Pixels(NAMES, values))
    assert found == [rule_of(*map(float, pixel)) for pixel in values.T]
    assert set(found) == {rule.name for rule in REFLECTANCE.rules}


@pytest.mark.parametrize(
    ("pixel", "name"),
    [
        ((0.07, 0.04, 0.03), "water-like"),  # sea in Sentinel-2
        ((0.05, 0.03, 0.33), "dense vegetation-like"),  # broadleaf forest in Landsat-7
        ((0.12, 0.16, 0.28), "sparse vegetation-like"),
        ((0.11, 0.12, 0.19), "bare or built-up-like"),
        ((0.60, 0.58, 0.55), "cloud- or snow-like"),
        ((0.26, 0.36, 0.44), "bare or built-up-like"),  # bright sand, which rises to the near infrared
        ((0.03, 0.03, 0.04), "shadow-like or dark"),
        ((-0.01, -0.02, -0.01), "shadow-like or dark"),
    ],
)
def test_what_common_surfaces_look_like(pixel: tuple[float, ...], name: str) -> None:
    values = np.array(pixel, np.float32)[:, None]
    assert names_of(REFLECTANCE, Pixels(NAMES, values)) == [name]
    swapped = Pixels(("nir", "green", "red"), values[[2, 0, 1]])
    assert names_of(REFLECTANCE, swapped) == [name]


def test_order_rules_follow_the_terciles_of_the_clusters(rng: np.random.Generator) -> None:
    means = rng.uniform(10, 200, (9, 3))
    rules = order_rules(spectra(means.tolist()), "order")
    values = rng.uniform(0, 220, (3, 2000)).astype(np.float32)
    values[:, :5] = 0
    ndvi = [index(nir, red) for _, red, nir in means]
    brights, covers = np.sort(means.mean(axis=1)), np.sort(ndvi)
    (b1, b2), (v1, v2) = (((each[2] + each[3]) / 2, (each[5] + each[6]) / 2) for each in (brights, covers))
    expected = []
    for green, red, nir in values.T.astype(float):
        bright, cover = (green + red + nir) / 3, index(nir, red)
        look = "dark" if bright <= b1 else "medium bright" if bright <= b2 else "bright"
        amount = "low" if cover <= v1 else "medium" if cover <= v2 else "high"
        expected.append(f"{look}, {amount} NDVI")
    assert names_of(rules, Pixels(NAMES, values)) == expected
    assert len(set(expected)) == 9


@pytest.mark.parametrize(("count", "expected"), [(1, "m"), (2, "db"), (3, "dmb"), (4, "dmmb"), (5, "ddmbb")])
def test_few_clusters_are_cut_between_them(count: int, expected: str) -> None:
    means = [[10.0 * 2**place] * 3 for place in range(count)]
    rules = order_rules(spectra(means), "brightness")
    found = names_of(rules, Pixels(NAMES, np.array(means, np.float32).T))
    assert "".join(name[0] for name in found) == expected


def test_a_single_cluster_has_no_order() -> None:
    rules = order_rules(spectra([[5, 9, 7]]), "order")
    values = np.array([[0, 9, 200], [0, 200, 9], [0, 1, 2]], np.float32)
    assert names_of(rules, Pixels(NAMES, values)) == ["medium bright, medium NDVI"] * 3


def test_the_order_does_not_depend_on_the_units(rng: np.random.Generator) -> None:
    means, values = rng.uniform(10, 200, (7, 3)), rng.uniform(0, 220, (3, 1000)).astype(np.float32)
    first = order_rules(spectra(means.tolist()), "order").of(Pixels(NAMES, values))
    second = order_rules(spectra((means * 64).tolist()), "order").of(Pixels(NAMES, values * 64))
    assert np.array_equal(first, second)


def test_without_band_names_the_brightness_is_all() -> None:
    rules = order_rules(spectra([[10, 20], [40, 60], [100, 80], [200, 220]], ("1", "2")), "brightness")
    values = np.array([[10, 60, 230], [10, 70, 210]], np.float32)
    assert names_of(rules, Pixels(("1", "2"), values)) == ["dark", "medium bright", "bright"]


@pytest.mark.parametrize("kind", ["reflectance", "order", "brightness"])
def test_colours_of_other_rules_differ_for_every_eye(kind: Kind) -> None:
    rules = REFLECTANCE if kind == "reflectance" else order_rules(spectra([[1, 2, 3], [5, 9, 7]]), kind)
    ranges = list(dict.fromkeys(rule.shades for rule in rules.rules))
    count = 2 if kind == "reflectance" else 3
    shades = [(number, shade(ends, place, count)) for number, ends in enumerate(ranges) for place in range(count)]
    rgb = {colour: np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for _, colour in shades}
    assert len(rgb) == len(shades)
    for (first, a), (second, b) in itertools.combinations(shades, 2):
        least = 0.05 if first != second or kind != "reflectance" else 0.02
        assert _distances(rgb[a][None], rgb[b])[0] > least, (first, a, second, b)


def test_shades_lie_between_their_ends_and_differ() -> None:
    assert shade(("#000000", "#646464"), 0, 1) == "#323232"
    many = [shade(("#000000", "#646464"), place, 20) for place in range(20)]
    assert many == sorted(many) and len(set(many)) == 20
