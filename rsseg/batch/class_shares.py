"""How much of the mapped ground of an archive each class has, where the maps share their classes."""

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
    looks: dict[int, tuple[str, str]] = {}
    for item in (one for classes in maps for one in classes):
        if looks.setdefault(item["value"], (item["name"], item["colour"])) != (item["name"], item["colour"]):
            return None
    entries = [one for classes in maps for one in classes]
    hectares = bool(entries) and all(one["hectares"] is not None for one in entries)
    size = "hectares" if hectares else "pixels"
    total = sum(one[size] for one in entries)
    if not total:
        return None
    classes = []
    for value in sorted(looks):
        own = [one for one in entries if one["value"] == value]
        area = sum(one["hectares"] for one in own) if hectares else 0.0
        pixels = sum(one["pixels"] for one in own)
        share = (area if hectares else pixels) / total
        classes.append(ClassShare(value, *looks[value], pixels, area, share, len(own)))
    return Shares(model, common, len(maps), hectares, tuple(classes))
