"""The colour of a class from its name, so that what means the same looks the same on every map and every scene.

Common words of land cover have the colours that maps give them; any other name has one that depends on it alone.
"""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from rsseg.label.legend import Legend
from rsseg.label.mapping import UNNAMED
from rsseg.label.rules import REFLECTANCE
from rsseg.publish.palette import default_colour, difference

NEAR = 0.06
"""How different two colours of one legend look at least, in OKLab, as long as there are enough of them."""

_CONVENTIONS: tuple[tuple[str, str, str], ...] = (
    ("#2f6fd6", "water", "river lake sea ocean pond reservoir canal stream lagoon"),
    ("#3a9ea3", "wetland", "marsh swamp bog fen mangrove mudflat saltmarsh peatland"),
    ("#165b14", "forest", "tree wood woodland woody coppice timber jungle canopy"),
    ("#998719", "shrub", "shrubland scrub scrubland bush bushland heath heathland"),
    ("#2aa353", "vegetation", "vegetated greenery"),
    ("#b5e06a", "grass grassland", "meadow pasture lawn herbaceous rangeland savanna savannah steppe"),
    (
        "#e8b820",
        "crop cropland",
        "farmland farm agriculture agricultural arable cultivated field paddy rice wheat maize",
    ),
    ("#c38872", "bare soil", "barren fallow earth bareland quarry mine"),
    ("#fadfa9", "sand", "sandy beach dune desert"),
    ("#8c6d59", "rock", "rocky stone gravel scree"),
    ("#d9143d", "built urban town", "city village building house residential settlement impervious industrial roof"),
    ("#53637b", "road", "street asphalt pavement railway runway motorway highway"),
    ("#e2cdf0", "cloud", "cloudy haze"),
    ("#302c38", "shadow", "shade dark"),
    ("#b7f6fa", "snow", "ice glacier icy"),
    ("#6a1515", "burnt", "burned burn burnscar fire"),
)
"""Colour, the words that have exactly it, and words of the same kind, which have a shade of it."""

_SHADES = (("#000000", 0.32), ("#ffffff", 0.28), ("#000000", 0.17), ("#ffffff", 0.45))
"""What a kind's colour is mixed with for its other words and for names of several words, and how much of it."""

_PLAIN = frozenset(("area", "areas", "land", "cover", "class", "type", "like", "up", "the", "and", "or", "of"))
"""Words that say nothing of the kind: "bare land" is "bare"."""

_NOT = frozenset(("non", "no", "not", "without"))


def coloured(legend: Legend) -> Legend:
    """The legend with a colour for every class: its own, or that of its name, or, unnamed, that of its value.

    Classes such as "cluster 3" and "class 2" are unnamed. No two classes share a colour.
    """
    names = {item.value: item.name for item in legend.classes}
    colours = class_colours(names, {item.value: item.colour for item in legend.classes if item.colour})
    filled = tuple(item.model_copy(update={"colour": item.colour or colours[item.value]}) for item in legend.classes)
    return legend.model_copy(update={"classes": filled})


def class_colours(names: Mapping[int, str], own: Mapping[int, str] | None = None) -> dict[int, str]:
    """A colour ``#rrggbb`` for each value from 1 to 255, by its name; ``own`` are those that are settled.

    Where two names would share a colour or nearly so, one takes its next choice: never the plain word before another,
    and else the later in the alphabet, whatever their values.
    """
    found = {value: colour.lower() for value, colour in (own or {}).items()}
    plain = {value: _plain(name) for value, name in names.items() if value not in found}
    named = sorted((_rank(name), name, value) for value, name in plain.items() if not UNNAMED.fullmatch(name))
    taken = _Taken(found.values())
    for _, name, value in named:
        found[value] = _free(_choices(name), taken)
        taken.colours.append(found[value])
    for value in sorted(plain.keys() - found.keys()):
        # the defaults are far apart as they are: only those of names can be too close
        unused = [colour for colour in map(default_colour, (value, *range(1, 256))) if colour not in found.values()]
        found[value] = next((colour for colour in unused if taken.distance(colour) >= NEAR), unused[0])
    return found


class _Taken:
    """The colours that a legend has already; each is compared once with each candidate."""

    def __init__(self, colours: Iterable[str]) -> None:
        self.colours = list(colours)
        self._nearest: dict[str, tuple[int, float]] = {}

    def distance(self, colour: str) -> float:
        """How different a candidate looks from the nearest of them."""
        seen, nearest = self._nearest.get(colour, (0, math.inf))
        nearest = min([nearest, *(difference(colour, other) for other in self.colours[seen:])])
        self._nearest[colour] = (len(self.colours), nearest)
        return nearest


def _plain(name: str) -> str:
    """A name without the differences that no reader sees."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _rank(name: str) -> int:
    """Names whose colour is a convention come first, those with a shade of one next, all others last."""
    if name in _rules() or _kind_of(name)[1]:
        return 0
    return 1 if _kind_of(name)[0] else 2


def _free(choices: Iterator[tuple[str, float]], taken: _Taken) -> str:
    """The first choice that looks as different from all that are taken as it should, or else is another colour."""
    others = []
    for colour, least in choices:
        if taken.distance(colour) >= least:
            return colour
        if taken.distance(colour) > 0:
            others.append(colour)
    return others[0]


def _choices(name: str) -> Iterator[tuple[str, float]]:
    """The colours for a name, the best first, and how far from all others each has to be."""
    number, hashed = _number(name), _hashed()
    own = [*_of_rule(name), *_of_kind(name)]
    # shades of one kind may be closer to each other than to land of another
    yield from ((colour, least) for least in (NEAR, NEAR / 2) for colour in own)
    yield from ((hashed[(number + step) % len(hashed)], NEAR) for step in range(len(hashed)))
    yield from ((default_colour(value), NEAR) for value in range(1, 256))


def _of_rule(name: str) -> Iterator[str]:
    rule = _rules().get(re.sub(r" \d+$", "", name))
    if rule:
        yield rule


def _of_kind(name: str) -> list[str]:
    """The colour of a name's kind of land and its shades; nothing where no word tells the kind."""
    base, exact = _kind_of(name)
    if not base:
        return []
    shades = [_mixed(base, *shade) for shade in _SHADES]
    start = _number(name) % len(shades)
    turned = shades[start:] + shades[:start]
    return [base, *turned] if exact else [*turned, base]


def _kind_of(name: str) -> tuple[str, bool]:
    """The colour of a name's kind of land, "" if no word tells it, and whether the name has exactly that colour."""
    words = [word for word in re.findall(r"[^\W_]+", name) if not word.isdecimal()]
    telling = [_kinds()[word] for word in words if word in _kinds()]
    if not telling or _NOT.intersection(words):
        return "", False
    # in English the last word is the thing: a cloud shadow is a shadow
    colour = telling[-1][0]
    return colour, all(word in _PLAIN or _kinds().get(word) == (colour, True) for word in words)


@cache
def _kinds() -> dict[str, tuple[str, bool]]:
    """Word -> its kind's colour, and whether it has exactly that one; singular and plural."""
    found = {}
    for colour, exact, others in _CONVENTIONS:
        for word in (*exact.split(), *others.split()):
            found[word] = found[f"{word}s"] = (colour, word in exact.split())
    return found


@cache
def _rules() -> dict[str, str]:
    """The middle shade of each rule on reflectance, by its name."""
    return {rule.name: _mixed(rule.shades[0], rule.shades[1], 0.5) for rule in REFLECTANCE.rules}


@cache
def _hashed() -> tuple[str, ...]:
    """Default colours that no kind of land is drawn in, nor nearly."""
    kinds = [colour for colour, _, _ in _CONVENTIONS]
    return tuple(
        colour
        for colour in map(default_colour, range(1, 256))
        if min(difference(colour, kind) for kind in kinds) >= NEAR
    )


def _number(name: str) -> int:
    """A number that depends on the name alone, on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:8], "big")


def _mixed(colour: str, other: str, part: float) -> str:
    levels = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round((1 - part) * one + part * two):02x}" for one, two in levels)
