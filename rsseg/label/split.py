"""A reference in two parts: clusters get their classes on one, and the map is scored on the other."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from rsseg.errors import UsageError

Part = Literal["fit", "score"]
"""The part that clusters get their classes on, and the part that is held out to score the map."""

BLOCK = 64
"""Side in pixels of the blocks that a raster of classes is split by; single pixels would have their neighbours, which
look alike, on the other side."""


@dataclass(frozen=True)
class Split:
    """One part of a reference; equal shares and seeds make the same parts of the same file, whatever the map.

    Args:
        part: which one is read.
        share: of the polygons, points or blocks that go to "fit".
        seed: start of the random choice; a larger share of the same seed keeps what a smaller one had.

    Raises: UsageError.
    """

    part: Part
    share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UsageError(
                f"a share of {self.share:g} leaves one part of the reference empty; use one between 0 and 1"
            )

    @property
    def other(self) -> "Split":
        """The other part."""
        return replace(self, part="score" if self.part == "fit" else "fit")

    def keeps(self, fit: np.ndarray) -> np.ndarray:
        """Which units belong to the part, from those that belong to "fit": (n,) bool."""
        return fit if self.part == "fit" else ~fit


@dataclass(frozen=True)
class Halves:
    """What a split came to: how many ``units`` (a noun) lie in each part, and the classes that one part lacks."""

    split: Split
    units: str
    fit: int
    score: int
    fit_only: tuple[str, ...] = ()
    score_only: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """How many units lie in the part that is read."""
        return self.fit if self.split.part == "fit" else self.score

    def as_dict(self) -> dict[str, object]:
        """Everything, ready for JSON."""
        made = {"part": self.split.part, "share": self.split.share, "seed": self.split.seed, "units": self.units}
        sides = {"fit": self.fit, "score": self.score}
        return {**made, **sides, "fit_only": list(self.fit_only), "score_only": list(self.score_only)}

    @property
    def sentences(self) -> list[str]:
        """What a user should know of it."""
        said = [f"part {self.split.part} of the reference: fit has {self.fit} {self.units}, score {self.score}"]
        for names, part, other in ((self.fit_only, "fit", "score"), (self.score_only, "score", "fit")):
            if names:
                said.append(f"only part {part} has {', '.join(names)}: too few {self.units}, so that {other} has none")
        return said


def fit_units(codes: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which units go to "fit": of each class the share of its units, drawn at random, and one at least on each side.

    Args:
        codes: (n,) class code of each polygon or point.

    Returns: (n,) bool. The only unit of a class goes to "fit".
    """
    order = np.random.default_rng(seed).permutation(len(codes))
    fit = np.zeros(len(codes), bool)
    for code in np.unique(codes):
        own = order[codes[order] == code]
        fit[own[: max(1, min(round(share * len(own)), len(own) - 1))]] = True
    return fit


def fit_blocks(presence: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Which blocks go to "fit": of each class the share of its blocks, drawn at random, as near as they allow.

    A block may hold several classes. The classes of the fewest blocks are shared out first, so that they lie on both
    sides where that is possible (as in Sechidis et al. 2011, iterative stratification).

    Args:
        presence: (blocks, classes) bool, whether a block holds a class.

    Returns: (blocks,) bool; blocks without a reference are in no part that matters.
    """
    order = np.random.default_rng(seed).permutation(len(presence))
    fit, done = np.zeros(len(presence), bool), np.zeros(len(presence), bool)
    for code in np.argsort(presence.sum(axis=0), kind="stable"):
        own = order[presence[order, code]]
        wanted = max(1, min(round(share * len(own)), len(own) - 1)) - int(fit[own].sum())
        left = own[~done[own]]
        fit[left[: max(0, wanted)]] = True
        done[own] = True
    return fit


def halves(split: Split, units: str, fit: np.ndarray, presence: np.ndarray, classes: tuple[str, ...]) -> Halves:
    """Count both sides.

    Args:
        fit: (n,) bool, the units of "fit".
        presence: (n, classes) bool, the classes of each unit.
        classes: their names.
    """
    held = presence.any(axis=1)
    first, second = presence[fit].any(axis=0), presence[~fit].any(axis=0)
    return Halves(
        split,
        units,
        int((fit & held).sum()),
        int((~fit & held).sum()),
        tuple(name for name, here, there in zip(classes, first, second, strict=True) if here and not there),
        tuple(name for name, here, there in zip(classes, first, second, strict=True) if there and not here),
    )
