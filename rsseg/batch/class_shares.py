"""How much of the mapped ground of an archive each class has, where the maps share their classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rsseg.batch.outcome import Outcome


@dataclass(frozen=True)
class ClassShare:
    """A class over all maps of a model: ``share`` of the labelled ground, and on how many scenes it occurs."""

    value: int
    name: str
    colour: str
    pixels: int
    hectares: float
    share: float
    scenes: int


@dataclass(frozen=True)
class Shares:
    """The classes of a model's maps by value; ``hectares`` says whether all maps tell how large their pixels are."""

    model: str
    common: bool
    scenes: int
    hectares: bool
    classes: tuple[ClassShare, ...]


def class_shares(done: Sequence[Outcome], shared: bool) -> list[Shares]:
    """The shares of every model whose maps have the same classes; the common legend's where there is one.

    Args:
        done: the scenes with maps, in a settled order.
        shared: whether a model's classes are the same on all scenes.
    """
    found: list[Shares] = []
    for common in (True, False) if shared else (True,):
        key = "common" if common else "maps"
        models = {model for item in done for model in item.facts.get(key, {})}
        for model in sorted(models - {item.model for item in found}):
            maps = [item.facts[key][model] for item in done if model in item.facts.get(key, {})]
            shares = _pooled(model, common, [item["classes"] for item in maps if item.get("classes")])
            found += [shares] if shares else []
    return found


def _pooled(model: str, common: bool, maps: Sequence[Sequence[Mapping[str, Any]]]) -> Shares | None:
    """The sums over maps; None without a class, or where a value is not the same class on all of them."""
    entries: dict[int, list[Mapping[str, Any]]] = {}
    for one in (item for classes in maps for item in classes):
        entries.setdefault(one["value"], []).append(one)
    if any(_look(one) != _look(own[0]) for own in entries.values() for one in own):
        return None
    hectares = all(one["hectares"] is not None for own in entries.values() for one in own)
    size = "hectares" if hectares else "pixels"
    sums = {value: math.fsum(one[size] for one in own) for value, own in sorted(entries.items())}
    total = math.fsum(sums.values())
    if not total:
        return None
    classes = []
    for value, amount in sums.items():
        own = entries[value]
        pixels = sum(one["pixels"] for one in own)
        classes.append(ClassShare(value, *_look(own[0]), pixels, amount if hectares else 0.0, amount / total, len(own)))
    return Shares(model, common, len(maps), hectares, tuple(classes))


def _look(one: Mapping[str, Any]) -> tuple[str, str]:
    return one["name"], one["colour"]
