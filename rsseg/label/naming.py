"""Names and colours for the clusters of a map from the rules that their pixels meet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rsseg.label.legend import Evidence, Legend, LegendClass
from rsseg.label.maps import LabelMap
from rsseg.label.rules import Pixels, Rule, RuleSet
from rsseg.label.spectra import check_same_grid, map_and_scene
from rsseg.progress import SILENT, Reporter
from rsseg.scene.source import Scene

IMPOSSIBLE = 2.0
"""Mean reflectance that no surface reaches: where most pixels do, the numbers are no reflectance."""

# 256 Ki pixels: their values as float32 stay in the cache
_CHUNK = 1 << 18

# brightness is summed in whole ten-thousandths: exact, whatever the order, and far from the end of 64 bits
_STEPS, _LARGEST = 1e4, 1e6


@dataclass(frozen=True)
class RuleCounts:
    """How many pixels of each cluster meet each rule, by cluster value; row 0 is no data and empty.

    ``pixels`` (256,) counts the map's pixels, ``met`` (256, rules) those of them with valid values, by their rule;
    ``light`` (256,) is their brightness, summed in ten-thousandths; ``impossible`` are the pixels too bright for
    reflectance. All are exact whole numbers.
    """

    pixels: NDArray[np.int64]
    met: NDArray[np.int64]
    light: NDArray[np.int64]
    impossible: int

    @property
    def are_reflectance(self) -> bool:
        """Whether the numbers can be reflectance: at most half of the pixels are too bright for it."""
        return 2 * self.impossible <= int(self.met.sum())


def count_rules(source: LabelMap, scene: Scene, rules: RuleSet, reporter: Reporter = SILENT) -> RuleCounts:
    """Read map and scene once, in strips of 512 rows, and count the pixels by cluster and rule.

    Raises: GridError if the two lie on different grids.
    """
    check_same_grid(source, scene)
    seen = scene.select(rules.bands)
    pixels, light, impossible = np.zeros(256, np.int64), np.zeros(256, np.int64), 0
    met = np.zeros((256, len(rules.rules)), np.int64)
    with reporter.task("rules", source.grid.height) as task:
        for labels, values, valid in map_and_scene(source, seen):
            pixels += np.bincount(labels.ravel(), minlength=256)
            for clusters, looks in _chunks(seen, labels, values, valid):
                met += _table(clusters, rules.of(looks), len(rules.rules))
                light += _light(clusters, looks)
                impossible += int(np.count_nonzero(looks.brightness > IMPOSSIBLE))
            task.advance(len(labels))
    pixels[0] = 0
    return RuleCounts(pixels, met, light, impossible)


def summed(parts: Sequence[RuleCounts]) -> RuleCounts:
    """The counts of clusters that are the same on several maps."""
    pixels, met, light = (
        np.sum([getattr(part, name) for part in parts], axis=0) for name in ("pixels", "met", "light")
    )
    return RuleCounts(pixels, met, light, sum(part.impossible for part in parts))


def by_rules(counts: RuleCounts, rules: RuleSet, made: Mapping[str, str]) -> Legend:
    """Each cluster becomes a class of its own value that is named by the rule that most of its pixels meet.

    Where the first rule has less than half of a cluster's valid pixels, the name says "mixed" and the first two.
    Names that several clusters share are numbered by falling pixels; the shades of a rule, or of the rules that
    share them, go from the darkest cluster to the brightest. A cluster without a valid pixel is marked unknown. Of
    equal ones the earlier rule and the smaller value come first.
    """
    sizes = counts.met.sum(axis=1)
    used = [int(value) for value in np.argsort(-sizes, kind="stable") if sizes[value]]
    best = {value: np.argsort(-counts.met[value], kind="stable")[:2] for value in used}
    names = numbered([_name(counts.met[value], best[value], rules.rules) for value in used])
    titles = dict(zip(used, names, strict=True))
    by_light = sorted(sorted(used), key=lambda value: int(counts.light[value]) / int(sizes[value]))
    colours = _colours({value: int(best[value][0]) for value in by_light}, rules.rules)
    clusters = [int(value) for value in np.flatnonzero(counts.pixels)]
    evidence = {value: _evidence(counts.met[value]) for value in clusters}
    return Legend(
        made=dict(made), classes=tuple(_class(value, titles, colours) for value in clusters), evidence=evidence
    )


def numbered(names: Sequence[str]) -> Iterator[str]:
    """Names of which none occurs twice: those that did get 1, 2, ... behind them."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield f"{name} {seen[name]}" if names.count(name) > 1 else name


def shade(ends: tuple[str, str], place: int, count: int) -> str:
    """The colour ``#rrggbb`` of one of ``count`` classes, ``place`` from 0, evenly between two colours."""
    part = (place + 0.5) / count
    first, last = (np.array([int(end[i : i + 2], 16) for i in (1, 3, 5)]) for end in ends)
    return "#{:02x}{:02x}{:02x}".format(*(int(level) for level in np.rint(first + part * (last - first))))


def _chunks(
    scene: Scene, labels: np.ndarray, values: np.ndarray, valid: np.ndarray
) -> Iterator[tuple[np.ndarray, Pixels]]:
    """Clusters (n,) and physical values of the pixels that have both, some at a time."""
    names = tuple(name.casefold() for name in scene.band_names)
    scales, offsets = scene.scales.astype(np.float32)[:, None], scene.offsets.astype(np.float32)[:, None]
    known, flat = (labels * valid).ravel(), values.reshape(len(values), -1)
    for start in range(0, known.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        keep = known[part] > 0
        yield known[part][keep], Pixels(names, flat[:, part][:, keep].astype(np.float32) * scales + offsets)


def _table(clusters: np.ndarray, codes: NDArray[np.int64], rules: int) -> NDArray[np.int64]:
    return np.bincount(clusters.astype(np.int64) * rules + codes, minlength=256 * rules).reshape(256, rules)


def _light(clusters: np.ndarray, looks: Pixels) -> NDArray[np.int64]:
    steps = np.rint(np.clip(looks.brightness.astype(np.float64), -_LARGEST, _LARGEST) * _STEPS)
    return np.asarray(np.bincount(clusters, steps, 256).astype(np.int64))


def _name(met: NDArray[np.int64], best: NDArray[np.int64], rules: Sequence[Rule]) -> str:
    first, *others = (rules[number].name for number in best)
    return f"mixed: {first} / {others[0]}" if 2 * met[best[0]] < met.sum() else first


def _colours(leading: Mapping[int, int], rules: Sequence[Rule]) -> dict[int, str]:
    """A colour for each cluster from the shades of its rule, in the order of the clusters."""
    found: dict[int, str] = {}
    for shades in dict.fromkeys(rule.shades for rule in rules):
        members = [value for value, first in leading.items() if rules[first].shades == shades]
        found |= {value: shade(shades, place, len(members)) for place, value in enumerate(members)}
    return found


def _class(value: int, titles: Mapping[int, str], colours: Mapping[int, str]) -> LegendClass:
    if value not in titles:
        return LegendClass(value=value, name=f"cluster {value}", clusters=(value,), unknown=True)
    return LegendClass(value=value, name=titles[value], colour=colours[value], clusters=(value,))


def _evidence(met: NDArray[np.int64]) -> Evidence:
    valid = int(met.sum())
    if not valid:
        return Evidence(how="none", pixels=0)
    return Evidence(how="rules", pixels=valid, share=round(int(met.max()) / valid, 4))
