"""Part of the stage ``legend``: clusters are named by the rules that their pixels meet."""

from collections.abc import Mapping, Sequence

import rsseg
from rsseg.errors import InputError
from rsseg.label.legend import Legend
from rsseg.label.maps import LabelMap
from rsseg.label.naming import RuleCounts, by_rules, count_rules, summed
from rsseg.label.rules import NAMED, REFLECTANCE, Kind, RuleSet, kind_for, order_rules
from rsseg.label.spectra import cluster_spectra, pooled_spectra
from rsseg.progress import SILENT, Reporter
from rsseg.publish.class_colours import coloured
from rsseg.scene.source import Scene

Pair = tuple[LabelMap, Scene]
"""A map of clusters, and the scene on its grid that it was made of."""


def named_by_rules(source: LabelMap, scene: Scene, reporter: Reporter = SILENT) -> Legend:
    """The legend that names each cluster by the rule that most of its pixels meet, with colours.

    Thresholds on reflectance where the scene is reflectance with bands named green, red and nir; else the order of
    brightness, and of NDVI where it can be made, within the scene.

    Raises: GridError if the scene lies on another grid; InputError if no labelled pixel has valid values.
    """
    return named_together([(source, scene)], {**origin(source), **scene_of(scene)}, reporter)


def named_together(pairs: Sequence[Pair], made: Mapping[str, str], reporter: Reporter = SILENT) -> Legend:
    """Like ``named_by_rules`` for clusters that are the same on several maps, over all their pixels.

    ``made``: what the legend says of its making. The scenes have the same bands and units.
    """
    scene = pairs[0][1]
    kind = kind_for(scene)
    problem = "" if kind == "reflectance" else _why_order(scene)
    rules, counts = _counted(pairs, kind, reporter)
    if kind == "reflectance" and not counts.are_reflectance:
        problem = "most of its values are too large for reflectance (--scale gives the right one)"
        rules, counts = _counted(pairs, "order", reporter)
    if problem:
        reporter.say(f"{scene.path}: {problem}, so that names only tell the order within this scene")
    made = {"by": "rules", **made, "rules": rules.kind}
    made["rule_share"] = "the part of a cluster's valid pixels that meet its rule; not an accuracy"
    return coloured(by_rules(counts, rules, made | {rule.name: rule.says for rule in rules.rules}))


def _counted(pairs: Sequence[Pair], kind: Kind, reporter: Reporter) -> tuple[RuleSet, RuleCounts]:
    """The rules of a kind and how many pixels meet them."""
    if kind == "reflectance":
        rules = REFLECTANCE
    else:
        rules = order_rules(pooled_spectra([cluster_spectra(*pair, reporter) for pair in pairs]), kind)
    counts = summed([count_rules(*pair, rules, reporter) for pair in pairs])
    if not counts.met.any():
        source, scene = pairs[0]
        raise InputError(f"{source.path} labels no pixel that has values in {scene.path}; there is nothing to name")
    return rules, counts


def _why_order(scene: Scene) -> str:
    """What keeps the rules on reflectance from a scene."""
    missing = [name for name in NAMED if name not in map(str.casefold, scene.band_names)]
    if missing:
        return f"no band is named {' or '.join(missing)} (its band descriptions give names)"
    return f"its values are {scene.units}, not reflectance (--scale makes them that)"


def origin(source: LabelMap) -> dict[str, str]:
    """What a legend says of its map."""
    return {"labels": source.path.name, "software": f"rsseg {rsseg.__version__}"}


def scene_of(scene: Scene) -> dict[str, str]:
    """What a legend says of the scene that its spectra come from."""
    return {"scene": scene.name, "bands": ", ".join(scene.band_names)}
