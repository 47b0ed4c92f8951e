"""Legends: which clusters of a label map make which class, what the classes are called and how they are drawn."""

import re
import reprlib
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

How = Literal["reference", "map", "spectra", "rules", "none"]
"""What put a cluster into its class: the reference pixels on it, the pixels of another map on it, its mean spectrum,
the rules that its pixels meet, or nothing (its class is new)."""

Value = Annotated[StrictInt, Field(ge=1, le=255)]

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Strict(BaseModel):
    """Unknown keys are refused: a misspelt key must not be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LegendClass(_Strict):
    """A class of the map to be: its value, name and colour, and the clusters that become it.

    Without a ``colour`` (``#rrggbb``) it is drawn in that of its name. ``unknown`` marks a cluster of which nothing
    says what it is. A class may have no cluster.
    """

    value: Value
    name: str
    colour: str | None = None
    clusters: tuple[Value, ...]
    unknown: bool = False

    @field_validator("name", mode="before")
    @classmethod
    def _text(cls, name: Any) -> Any:
        if isinstance(name, int | float) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"{reprlib.repr(name)} is no name; write a text, in quotes if it is a word like yes, no or null"
            )
        return writable(name.strip())

    @field_validator("colour", mode="before")
    @classmethod
    def _colour(cls, colour: Any) -> Any:
        if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
            found = "it is empty" if colour is None else f"{reprlib.repr(colour)} is no colour"
            raise ValueError(f'{found}; write it in quotes, like "#0072b2" (after a bare # comes a comment)')
        return colour

    @field_validator("clusters", mode="before")
    @classmethod
    def _list(cls, clusters: Any) -> Any:
        if not isinstance(clusters, list | tuple):
            raise ValueError(f"{reprlib.repr(clusters)} is no list; write it like [3, 7, 12]")
        return clusters


class Evidence(_Strict):
    """Why a cluster is in the class that a legend was made with.

    ``pixels`` are those that say so: the cluster's pixels on the reference or the other map, or with valid values in
    the scene. ``share`` is, for ``how`` "reference" and "map", the part of them on the class; for "rules", the part
    that meets the rule of the name (of a mixed one, the first), which is no accuracy.

    ``doubt`` goes from 0, none, to 0.5, the next class is as good; it is not known where there is no other class. For
    "spectra" it is d / (d + e) with the distance d of the cluster's spectrum to its class and e to the next one; for
    "reference" and "map" it is q / (p + q) with the part p of the pixels on the class and q on the next one, which
    ``next`` names if it has any.
    """

    how: How
    pixels: int = Field(ge=0)
    share: float | None = Field(None, ge=0, le=1)
    doubt: float | None = Field(None, ge=0, le=1)
    next: str | None = None


class Legend(_Strict):
    """Classes for the clusters of a label map, and how they were found.

    ``made`` says from what (texts, by key); ``evidence`` is by cluster and may lack any. Values, names and clusters
    occur once each.
    """

    made: dict[str, str] = Field(default_factory=dict)
    classes: tuple[LegendClass, ...] = Field(min_length=1)
    evidence: dict[Value, Evidence] = Field(default_factory=dict)

    @field_validator("made", mode="after")
    @classmethod
    def _made(cls, made: dict[str, str]) -> dict[str, str]:
        return {key: writable(text) for key, text in made.items()}

    @model_validator(mode="after")
    def _once(self) -> Self:
        _check_once("the value", "classes", [(item.value, item) for item in self.classes])
        _check_once("the name", "classes", [(item.name, item) for item in self.classes])
        _check_once("cluster", "lists", [(cluster, item) for item in self.classes for cluster in item.clusters])
        return self

    @property
    def table(self) -> np.ndarray:
        """Cluster -> class value: (256,) uint8, 0 for no data and for clusters of no class."""
        table = np.zeros(256, np.uint8)
        for item in self.classes:
            table[list(item.clusters)] = item.value
        return table

    def missing(self, labels: np.ndarray) -> tuple[int, ...]:
        """The clusters among labels (h, w) uint8 that are in no class."""
        counts = np.bincount(labels.ravel(), minlength=256)
        return tuple(int(value) for value in np.flatnonzero(counts[1:] * (self.table[1:] == 0)) + 1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; what is not known is left out."""
        content: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        for item in content["classes"]:
            if not item["unknown"]:
                del item["unknown"]
        content["evidence"] = {
            cluster: self.evidence[cluster].model_dump(exclude_none=True) for cluster in self.evidence
        }
        return content


def writable(text: str) -> str:
    """A text that UTF-8 can hold: what of it is no character, as in broken file names, becomes U+FFFD."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def in_a_line(text: str, longest: int = 60, end: str = "...") -> str:
    """A name for a sentence: one line, without control characters, cut with an ``end`` where it is too long."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return shown if len(shown) <= longest else shown[: longest - len(end)] + end


def _check_once(what: str, place: str, uses: list[tuple[Any, LegendClass]]) -> None:
    first: dict[Any, LegendClass] = {}
    for key, item in uses:
        if key in first:
            one, other = (f"'{in_a_line(owner.name)}'" for owner in (first[key], item))
            both = f"classes {one} and {other}" if first[key] is not item else other
            raise ValueError(
                f"{what} {in_a_line(str(key))} stands twice, in {both}; it belongs into one of the {place}"
            )
        first[key] = item
