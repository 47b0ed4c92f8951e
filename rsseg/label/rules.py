"""Rules that say what a pixel's spectrum looks like; in a set of rules each pixel meets exactly one.

A rule tells a look, never a land cover: a black roof meets "shadow-like or dark", a white one "cloud- or snow-like".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rsseg.label.spectra import ClusterSpectra
from rsseg.scene.source import Scene

Kind = Literal["reflectance", "order", "brightness"]
"""Thresholds on reflectance; the order of brightness and NDVI within the scene; the order of brightness alone."""

NAMED = ("green", "red", "nir")
"""The bands that the rules on reflectance read, by these names."""

WATER_NIR = 0.11
"""Near infrared reflectance that water stays below in Fmask (Zhu and Woodcock, 2012)."""

BRIGHT, FLAT, DARK = 0.25, -0.2, 0.10
"""Conventions: reflectance that clouds and snow reach in every band, the NDWI above which their spectrum is flat
(bright sand rises to the near infrared), and the reflectance below which every band of a shadow stays."""

SPARSE, DENSE = 0.25, 0.5
"""Common limits of NDVI, a convention: what is below is bare, open vegetation, closed vegetation."""


@dataclass(frozen=True)
class Pixels:
    """Pixels as the rules see them: ``values`` (bands, n) float32, physical, of the bands ``names``."""

    names: tuple[str, ...]
    values: NDArray[np.float32]

    def __getitem__(self, band: str) -> NDArray[np.float32]:
        return np.asarray(self.values[self.names.index(band)])

    @cached_property
    def brightness(self) -> NDArray[np.float32]:
        """The mean (n,) of all bands."""
        return np.asarray(self.values.mean(axis=0, dtype=np.float32))

    def above(self, first: str, second: str, limit: float) -> NDArray[np.bool_]:
        """Where (first - second) / (first + second) > limit; the index is 0 where the sum is not positive."""
        a, b = self[first], self[second]
        total = a + b
        with np.errstate(invalid="ignore"):  # an infinite limit times 0, which the other branch answers
            return np.asarray(np.where(total > 0, a - b > np.float32(limit) * total, limit < 0))


@dataclass(frozen=True)
class Rule:
    """What pixels can look like: a name, its condition in words, and the colours ``#rrggbb`` its classes lie between.

    Rules with the same two colours share the range. ``meets`` gives (n,) bool; of several rules that a pixel meets the
    first counts.
    """

    name: str
    says: str
    shades: tuple[str, str]
    meets: Callable[[Pixels], NDArray[np.bool_]]


@dataclass(frozen=True)
class RuleSet:
    """Rules in their order; a pixel that meets none before the last has the last. ``bands``: what they read."""

    kind: Kind
    bands: tuple[str, ...]
    rules: tuple[Rule, ...]

    def of(self, pixels: Pixels) -> NDArray[np.int64]:
        """The number of each pixel's rule, from 0: (n,)."""
        found = np.full(pixels.values.shape[1], len(self.rules) - 1, np.int64)
        for number in reversed(range(len(self.rules) - 1)):
            found[self.rules[number].meets(pixels)] = number
        return found


def _cloud(pixels: Pixels) -> NDArray[np.bool_]:
    return np.asarray((pixels.values >= np.float32(BRIGHT)).all(axis=0) & pixels.above("green", "nir", FLAT))


def _water(pixels: Pixels) -> NDArray[np.bool_]:
    return np.asarray(pixels.above("green", "nir", 0.0) & (pixels["nir"] < np.float32(WATER_NIR)))


def _dark(pixels: Pixels) -> NDArray[np.bool_]:
    return np.asarray((pixels.values < np.float32(DARK)).all(axis=0))


def _vegetation(pixels: Pixels, least: float) -> NDArray[np.bool_]:
    return pixels.above("nir", "red", least)


def _any(pixels: Pixels) -> NDArray[np.bool_]:
    return np.ones(pixels.values.shape[1], bool)


REFLECTANCE = RuleSet(
    "reflectance",
    NAMED,
    (
        Rule(
            "cloud- or snow-like",
            f"green, red and nir of {BRIGHT:g} or more, NDWI > {FLAT:g}",
            ("#cfcbe0", "#f4f2fa"),
            _cloud,
        ),
        Rule("water-like", f"NDWI > 0 (McFeeters, 1996), nir < {WATER_NIR:g}", ("#08306b", "#8ec4e8"), _water),
        Rule("shadow-like or dark", f"green, red and nir below {DARK:g}", ("#1c1c1c", "#5a5a5a"), _dark),
        Rule(
            "dense vegetation-like",
            f"NDVI > {DENSE:g}",
            ("#00331a", "#2f9e6b"),
            partial(_vegetation, least=DENSE),
        ),
        Rule(
            "sparse vegetation-like",
            f"NDVI > {SPARSE:g}",
            ("#b5d96b", "#f4fac0"),
            partial(_vegetation, least=SPARSE),
        ),
        Rule("bare or built-up-like", "all others", ("#b5651d", "#f2c9a0"), _any),
    ),
)
"""Rules on reflectance, unitless. NDVI = (nir - red) / (nir + red), NDWI = (green - nir) / (green + nir)."""


def kind_for(scene: Scene) -> Kind:
    """The rules that a scene's units and band names allow."""
    names = {name.casefold() for name in scene.band_names}
    if scene.units == "reflectance" and names.issuperset(NAMED):
        return "reflectance"
    return "order" if names.issuperset(("red", "nir")) else "brightness"


def order_rules(spectra: ClusterSpectra, kind: Kind) -> RuleSet:
    """Rules on the order within a scene: dark, medium, bright, and ("order") low, medium, high NDVI.

    The limits cut the clusters, by their mean spectra, in thirds: they mean nothing in another scene.

    Args:
        spectra: of the clusters, with bands named red and nir for "order".
    """
    means = spectra.means[spectra.counts > 0]
    bands = tuple(name.casefold() for name in spectra.bands)
    bright = _between("brightness", ("dark", "medium bright", "bright"), _terciles(means.mean(axis=1)), _brightness)
    if kind == "brightness":
        return RuleSet(kind, bands, tuple(Rule(name, says, _GREYS, test) for name, says, test in bright))
    red, nir = means[:, bands.index("red")], means[:, bands.index("nir")]
    total = nir + red
    ndvi = np.where(total > 0, (nir - red) / np.where(total > 0, total, 1.0), 0.0)
    green = _between("NDVI", ("low NDVI", "medium NDVI", "high NDVI"), _terciles(ndvi), _ndvi)
    pairs = product(zip(green, _LAND, strict=True), bright)
    return RuleSet(kind, bands, tuple(_both(look, cover, shades) for (cover, shades), look in pairs))


Part = tuple[str, str, Callable[[Pixels], NDArray[np.bool_]]]
"""Name, condition in words and test of one third of a measure."""

_GREYS = ("#00204d", "#ffe945")
"""The ends of the colour-blind safe map cividis (Nunez, Anderton and Renslow, 2018)."""

_LAND = (("#4a2608", "#f8d8b8"), ("#5a5a00", "#f6f6a0"), ("#00261a", "#84dbbd"))
"""Browns, olives and greens for low, medium and high NDVI, each from dark to bright."""


def _terciles(values: np.ndarray) -> tuple[float, float]:
    """Limits that cut values, one a cluster, in three parts of about as many; a single value is in the middle one."""
    if not len(values):
        return 0.0, 0.0
    ordered = [-np.inf, *np.sort(values), np.inf]
    places = (round(len(values) / 3), round(2 * len(values) / 3))
    # halfway between two clusters, so that none is cut; six digits, so that a mean's last ones never decide
    low, high = ((ordered[place] + ordered[place + 1]) / 2 for place in places)
    return float(f"{low:.6g}"), float(f"{high:.6g}")


def _between(
    measure: str, names: Sequence[str], limits: tuple[float, float], above: Callable[..., NDArray[np.bool_]]
) -> list[Part]:
    low, high = limits
    tests: tuple[Callable[[Pixels], NDArray[np.bool_]], ...] = (
        lambda pixels: ~above(pixels, low),
        lambda pixels: above(pixels, low) & ~above(pixels, high),
        lambda pixels: above(pixels, high),
    )
    words = (f"{measure} up to {low:g}", f"{measure} from {low:g} to {high:g}", f"{measure} above {high:g}")
    return list(zip(names, words, tests, strict=True))


def _brightness(pixels: Pixels, limit: float) -> NDArray[np.bool_]:
    return np.asarray(pixels.brightness > np.float32(limit))


def _ndvi(pixels: Pixels, limit: float) -> NDArray[np.bool_]:
    return pixels.above("nir", "red", limit)


def _both(first: Part, second: Part, shades: tuple[str, str]) -> Rule:
    return Rule(
        f"{first[0]}, {second[0]}",
        f"{first[1]}, {second[1]}",
        shades,
        lambda pixels: first[2](pixels) & second[2](pixels),
    )
