"""What the default recipe leaves to the scene: each choice is a function of the scene's facts, with its reason."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rsseg.errors import GridError, UsageError
from rsseg.learn.bottleneck import Level
from rsseg.learn.channels.spectral import INDICES
from rsseg.learn.methods import MethodSettings
from rsseg.learn.methods.base import FEW_CLASSES

Effort = Literal["quick", "normal", "thorough"]

TILE, UNIT = 128, 8
"""Side of a tile in pixels where the scene has room for it, and what smaller ones are multiples of."""

FEWEST, MOST = 5, 20
"""Between how many classes the scene decides."""

INFORMATION, VARIANCE = 0.60, 0.75
"""Parts of what the fine clusters tell, of their neighbours and of the channels, that the classes are to keep."""

LIMITS = (TILE, FEWEST, MOST, INFORMATION, VARIANCE)
"""What choices follow from, beside the scene: choices of other limits do not hold any more."""

RUNS = 3
"""Trainings of a thorough effort, which vote; choosing one by its score was no better than chance (docs/quality.md)."""


@dataclass(frozen=True)
class Choice:
    """Settings of the recipe's model, and why they are so in one sentence."""

    settings: dict[str, Any]
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        values = ", ".join(f"{key} {_text(value)}" for key, value in self.settings.items())
        return f"{values}: {self.reason}" if values else self.reason


def choose_tile(height: int, width: int) -> Choice:
    """The side of a tile and the step between tiles for a scene of ``height`` x ``width`` pixels.

    Raises: GridError for a scene that has no room for the smallest tile.
    """
    side = min(height, width)
    if side < UNIT:
        raise GridError(
            f"the scene has {height} x {width} pixels, and a map needs at least {UNIT} x {UNIT}; choose a larger part"
        )
    patch = min(TILE, side // UNIT * UNIT)
    room = f"all that fits in {height} x {width} pixels" if patch < TILE else f"the scene has {height} x {width} pixels"
    return Choice({"patch": patch, "stride": patch // 2}, f"{room}; tiles overlap by half")


def explain_channels(
    words: Sequence[str], bands: Sequence[str], available: Sequence[str] = (), few: bool = False
) -> Choice:
    """What the network sees of a scene with these bands (``words``), and why.

    ``available``: all bands that the scene has, for the advice; ``few``: whether the map has few classes.
    """
    return Choice({"channels": list(words)}, f"{_about_indices(bands, available)}; {_about_means(words, few)}")


def _about_indices(bands: Sequence[str], available: Sequence[str]) -> str:
    if len(bands) == 1:
        return f"{_no_indices(bands, available)}, and one band has no components"
    found = [name.upper() for name, pair in INDICES.items() if _has(bands, pair)]
    if not found:
        return _no_indices(bands, available)
    made = f"{' and '.join(found)} can be made of {', '.join(bands)}"
    return made if len(found) == len(INDICES) else f"{made}; {_missing(bands, available)}"


def _about_means(words: Sequence[str], few: bool) -> str:
    if "means" in words:
        return "the means of what lies around tell textures apart"
    if few:
        return f"of fewer than {FEW_CLASSES} classes, each pixel is seen without what lies around"
    return "brightness rules, as where there are clouds, whose edges the means of what lies around would blur"


def _no_indices(bands: Sequence[str], available: Sequence[str]) -> str:
    return f"no index can be made of {_called(bands)}; {_missing(bands, available)}"


def _called(bands: Sequence[str]) -> str:
    """Bands as a message names them; those without a name have numbers."""
    kind = "the band" if len(bands) == 1 else "the bands"
    return f"{kind} {', '.join(bands)}"


def _missing(bands: Sequence[str], available: Sequence[str]) -> str:
    """How more channels could be had."""
    wanted = tuple(dict.fromkeys(band for pair in INDICES.values() for band in pair))
    if _has(available, wanted):
        return "with --bands green,red,nir there would be NDVI and NDWI"
    return "with bands named green, red and nir in the file there would be NDVI and NDWI (docs/map.md)"


def _has(bands: Sequence[str], wanted: Sequence[str]) -> bool:
    return {band.casefold() for band in wanted} <= {band.casefold() for band in bands}


def choose_classes(levels: Sequence[Level]) -> Choice:
    """The smallest number of classes, ``FEWEST`` to ``MOST``, that keeps enough of what the fine clusters tell.

    ``levels``: the merging, from all fine clusters to two. A scene with fewer clusters than ``FEWEST`` keeps them all.
    """
    few = [level for level in levels if FEWEST <= level.classes <= MOST] or [levels[0]]
    enough = [level for level in few if level.information >= INFORMATION and level.variance >= VARIANCE]
    chosen = min(enough or few, key=lambda level: level.classes if enough else -level.classes)
    kept = (
        f"they keep {chosen.information:.0%} of what {levels[0].classes} fine clusters tell of their neighbours and "
        f"{chosen.variance:.0%} of the channels' variance"
    )
    if not enough:
        return Choice({"classes": chosen.classes}, f"{kept}; more than {MOST} only with --classes")
    wanted = f"the fewest from {FEWEST} to {MOST} with {INFORMATION:.0%} and {VARIANCE:.0%}"
    return Choice({"classes": max(2, chosen.classes)}, f"{kept}, {wanted}")


def given_classes(classes: int) -> Choice:
    """The number of classes that was asked for."""
    return Choice({"classes": classes}, "as asked")


def choose_effort(effort: Effort, settings: MethodSettings) -> Choice:
    """How long to train; ``settings`` are the recipe's own, which are the normal effort."""
    epochs, warm = settings.epochs, getattr(settings, "warm_epochs", 1)
    if effort == "quick":
        return Choice({"epochs": 1, "warm_epochs": 1}, "a quick effort: a look at what the map will be")
    if effort == "thorough":
        longer = {"epochs": 2 * epochs, "warm_epochs": warm, "restarts": RUNS, "vote": RUNS}
        return Choice(longer, f"a thorough effort: twice as long, and the vote of {RUNS} runs")
    return Choice({"epochs": epochs, "warm_epochs": warm}, "the normal effort")


def settings_of(choices: Sequence[Choice]) -> dict[str, Any]:
    """All settings that were chosen."""
    return {key: value for choice in choices for key, value in choice.settings.items()}


def check_effort(effort: str) -> None:
    """Raise UsageError for an effort that there is not."""
    if effort not in ("quick", "normal", "thorough"):
        raise UsageError(f"there is no effort {effort!r}; choose quick, normal or thorough")


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
