"""The colours and names of a label map's values."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from rsseg.errors import UsageError

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_VALUES = range(1, 256)

# Okabe and Ito (2008), "Color universal design", without black, then those of Tol's "muted" colours (2021) that are
# not close to them: good neighbours for every kind of colour vision.
_FIRST = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"),
    *("#332288", "#117733", "#882255", "#999933", "#aa4499"),
)

# Viénot, Brettel and Mollon (1999): how linear RGB looks without the long- or the middle-wave cones.
_DICHROMATS = (
    np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
)


@dataclass(frozen=True)
class LabelClass:
    """What one value of a label map is called and how it is drawn.

    ``value`` is 1 to 255 (0 is no data), ``colour`` is ``#rrggbb``.

    Raises: UsageError for any other value or colour.
    """

    value: int
    name: str
    colour: str

    def __post_init__(self) -> None:
        if not 1 <= self.value <= 255:
            raise UsageError(f"class value {self.value} does not fit a label map; use 1 to 255 (0 is no data)")
        if not _COLOUR.fullmatch(self.colour):
            raise UsageError(f"colour {self.colour!r} of class {self.value} is not written #rrggbb")

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green and blue, 0 to 255."""
        return rgb(self.colour)


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def colour_table(colours: Mapping[int, str], nothing: str) -> np.ndarray:
    """Red, green and blue of each value, (256, 3) uint8: ``nothing`` for 0, its default where a value has no colour."""
    return np.array([rgb(nothing), *(rgb(colours.get(value, default_colour(value))) for value in _VALUES)], np.uint8)


def class_of(value: int, names: Mapping[int, str], colours: Mapping[int, str]) -> LabelClass:
    """The class of a value as a map has it; where that has no name or colour, "cluster VALUE" and the default one."""
    return LabelClass(value, names.get(value) or f"cluster {value}", colours.get(value, default_colour(value)))


def default_classes(count: int) -> tuple[LabelClass, ...]:
    """Classes "cluster 1" to "cluster COUNT"; a value has the same colour whatever the count.

    Raises: UsageError if ``count`` is not 1 to 255.
    """
    if not 1 <= count <= 255:
        raise UsageError(f"{count} classes do not fit a label map; use 1 to 255")
    return tuple(class_of(value, {}, {}) for value in range(1, count + 1))


def default_colour(value: int) -> str:
    """The colour ``#rrggbb`` of a value from 1 to 255."""
    return _colours()[value - 1]


def difference(first: str, second: str) -> float:
    """How different two colours ``#rrggbb`` look, as in ``_distances``; 0 for equal ones."""
    normal, *blind = map(math.dist, _seen(first), _seen(second))
    return round(min(normal, 2 * min(blind)), 6)


@cache
def _seen(colour: str) -> tuple[tuple[float, ...], ...]:
    """A colour in OKLab for normal, red- and green-blind eyes."""
    linear = _linear(np.array([rgb(colour)]))
    return tuple(tuple(_oklab(light)[0].tolist()) for light in (linear, *(linear @ eye.T for eye in _DICHROMATS)))


@cache
def _colours() -> tuple[str, ...]:
    """255 colours: each is the candidate farthest from all before it, for normal, red- and green-blind eyes."""
    levels = np.arange(0, 256, 17)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(_linear(candidates))
    # no greys, blacks and whites: they are for no data, disagreement and paper
    drawn = (lab[:, 0] > 0.35) & (lab[:, 0] < 0.93) & (np.hypot(lab[:, 1], lab[:, 2]) > 0.05)
    candidates = candidates[drawn]
    chosen: list[tuple[int, ...]] = [rgb(text) for text in _FIRST]
    nearest = np.full(len(candidates), np.inf)
    for colour in chosen:
        nearest = np.minimum(nearest, _distances(candidates, np.array(colour)))
    while len(chosen) < 255:
        best = candidates[int(np.argmax(nearest))]
        chosen.append(tuple(int(part) for part in best))
        nearest = np.minimum(nearest, _distances(candidates, best))
    return tuple("#{:02x}{:02x}{:02x}".format(*colour) for colour in chosen)


def _distances(colours: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How different colours (n, 3) look from one other (3,), 0 to 255: (n,), in OKLab.

    The smaller of the distance for normal eyes and twice the smallest for colour-blind ones: these alone would choose
    blues and yellows only. Rounded, so that the last digits of a machine's arithmetic never choose.
    """
    many, one = _linear(colours), _linear(other[None])
    normal = np.linalg.norm(_oklab(many) - _oklab(one), axis=1)
    blind = [np.linalg.norm(_oklab(many @ eye.T) - _oklab(one @ eye.T), axis=1) for eye in _DICHROMATS]
    return np.asarray(np.round(np.minimum(normal, 2 * np.min(blind, axis=0)), 6))


def _linear(colours: np.ndarray) -> np.ndarray:
    """SRGB (n, 3) from 0 to 255 as linear light from 0 to 1."""
    share = colours / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def _oklab(linear: np.ndarray) -> np.ndarray:
    """Linear sRGB (n, 3) in OKLab (Ottosson 2020), where distances are about what eyes see."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.asarray(np.cbrt(linear @ cones.T) @ lab.T)
