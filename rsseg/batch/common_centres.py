"""The classes that all scenes of an archive share: their mean spectra, and what they are called."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from rsseg.batch.scene_spectra import SceneSpectra
from rsseg.errors import InputError
from rsseg.files import write_text
from rsseg.label.common_classes import common_centres, nearest_class, within_spread
from rsseg.label.legend import Evidence, Legend, LegendClass
from rsseg.label.legend_file import from_yaml, read_legend, to_yaml
from rsseg.label.merging import doubts
from rsseg.label.naming import RuleCounts, by_rules
from rsseg.label.reduction import by_spectrum, legend_of
from rsseg.label.rules import REFLECTANCE
from rsseg.pipeline.cache import FOLDER
from rsseg.publish.class_colours import coloured
from rsseg.publish.run_files import read_json

VERSION = 1

UNKNOWN = LegendClass(value=255, name="unknown", colour="#808080", clusters=(), unknown=True)
"""The class of clusters without a valid pixel in their scene; the same on all maps."""

MOST = 254


class CommonCentres(BaseModel):
    """Mean spectra of the classes 1, 2, ...: ``centres`` (classes, bands) in units of ``scale`` (bands,).

    ``asked`` is how many classes were asked for, ``scenes`` those that they were made of, ``legend`` their first names
    as YAML.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    asked: int
    units: str
    bands: tuple[str, ...]
    scale: tuple[float, ...]
    centres: tuple[tuple[float, ...], ...]
    scenes: tuple[str, ...]
    legend: str

    @classmethod
    def read(cls, output: Path) -> Self | None:
        """The classes that an earlier batch made; None where there are none or the file is damaged."""
        try:
            found = cls.model_validate(read_json(centres_path(output)))
        except ValueError:
            return None
        return found if found.version == VERSION else None

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """As of ``SceneSpectra.kind``."""
        return self.units, tuple(sorted(self.bands))

    @property
    def identity(self) -> str:
        """Twelve letters that tell these classes from others."""
        return sha256(self.text.encode()).hexdigest()[:12]

    @property
    def text(self) -> str:
        """The classes as JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False) + "\n"

    def owners(self, spectra: SceneSpectra) -> dict[int, int]:
        """Each cluster of a map -> the value of the class with the nearest spectrum, 255 for one without pixels."""
        values, _, means, _ = spectra.ordered(self.bands)
        nearest = nearest_class(means / np.array(self.scale), np.array(self.centres)) + 1
        found = dict(zip(values.tolist(), nearest.tolist(), strict=True))
        return {cluster: found.get(cluster, UNKNOWN.value) for cluster in spectra.clusters}

    def legend_for(self, spectra: SceneSpectra, names: Legend) -> Legend:
        """The legend of one map: each cluster in its class as of ``owners``, called as in ``names``."""
        values, counts, means, _ = spectra.ordered(self.bands)
        points, centres = means / np.array(self.scale), np.array(self.centres)
        nearest = nearest_class(points, centres)
        doubt = doubts(points, nearest, centres, np.arange(len(centres)))
        found = {
            int(value): (int(owner), by_spectrum(int(count), float(part)))
            for value, owner, count, part in zip(values, nearest, counts, doubt, strict=True)
        }
        made = {"by": f"common legend {self.identity}", "bands": ", ".join(self.bands), "units": self.units}
        legend = legend_of([(item.name, item.colour) for item in names.classes], found, [], made)
        return _with_unknown(legend, sorted(set(spectra.clusters) - set(found)))


def centres_path(output: Path) -> Path:
    """Where the common classes' spectra lie."""
    return output / FOLDER / "common_legend.json"


def make_centres(scenes: Mapping[str, Sequence[SceneSpectra]], classes: int) -> CommonCentres:
    """Classes from the clusters of all maps of the scenes, by name, that have the same units and bands.

    ``classes`` are 1 to 254. The result does not depend on the order of the scenes.
    """
    maps = [item for name in sorted(scenes) for item in scenes[name]]
    bands = tuple(sorted(name.casefold() for name in maps[0].bands))
    parts = [item.ordered(bands) for item in maps]
    scale = within_spread(*zip(*((counts, means, variances) for _, counts, means, variances in parts), strict=True))
    points = np.concatenate([means for _, _, means, _ in parts]) / scale
    centres = common_centres(points, np.concatenate([counts for _, counts, _, _ in parts]), classes)
    return CommonCentres(
        version=VERSION,
        asked=classes,
        units=maps[0].units,
        bands=bands,
        scale=tuple(scale.tolist()),
        centres=tuple(tuple(row) for row in centres.tolist()),
        scenes=tuple(sorted(scenes)),
        legend=to_yaml(_named(maps, bands, scale, centres)),
    )


def most_frequent_kind(spectra: Sequence[SceneSpectra]) -> tuple[str, tuple[str, ...]]:
    """The units and bands that most maps have; of equally frequent ones the first in the alphabet."""
    counts = Counter(item.kind for item in spectra)
    return min(counts, key=lambda kind: (-counts[kind], kind))


def kept_legend(output: Path, centres: CommonCentres) -> Legend:
    """The names and colours of the classes: those of ``OUT/legend.yaml``, which may be edited; written where it lacks.

    A file that tells of other classes, left by a batch that was stopped, is replaced.
    Raises: InputError if it is damaged or lacks a class.
    """
    path = output / "legend.yaml"
    fresh = _legend_file(centres)
    if not path.exists():
        write_text(path, to_yaml(fresh))
        return fresh
    found = read_legend(path)
    if found.made.get("classes") != centres.identity:
        write_text(path, to_yaml(fresh), overwrite=True)
        return fresh
    wanted = [item.value for item in fresh.classes]
    if sorted(item.value for item in found.classes) != wanted:
        raise InputError(
            f"{path} has to have a class for each value from 1 to {len(wanted)}, and no other; give it back what is "
            "missing, remove the file, or make the classes again with --new-legend"
        )
    return coloured(found.model_copy(update={"classes": tuple(sorted(found.classes, key=lambda item: item.value))}))


def _legend_file(centres: CommonCentres) -> Legend:
    edit = "names and colours may be changed here; the next rsseg batch writes the maps with them"
    made = {"by": "common spectra", "edit": edit, "classes": centres.identity, "scenes": str(len(centres.scenes))}
    first = from_yaml(centres.legend)
    return first.model_copy(update={"made": {**made, **first.made}})


def _with_unknown(legend: Legend, clusters: Sequence[int]) -> Legend:
    if not clusters:
        return legend
    evidence = legend.evidence | {value: Evidence(how="none", pixels=0) for value in clusters}
    classes = (*legend.classes, UNKNOWN.model_copy(update={"clusters": tuple(clusters)}))
    return legend.model_copy(update={"classes": classes, "evidence": dict(sorted(evidence.items()))})


def _named(maps: Sequence[SceneSpectra], bands: tuple[str, ...], scale: np.ndarray, centres: np.ndarray) -> Legend:
    """Names by the rules that the classes' pixels meet, where all scenes are reflectance; else "class 1" and so on."""
    made = {"units": maps[0].units, "bands": ", ".join(bands)}
    if all(item.met is not None for item in maps):
        counts = _rule_counts(maps, bands, scale, centres)
        if counts.are_reflectance:
            return coloured(by_rules(counts, REFLECTANCE, made | {"rules": "reflectance"}))
    values = range(1, len(centres) + 1)
    classes = tuple(LegendClass(value=value, name=f"class {value}", clusters=(value,)) for value in values)
    return coloured(Legend(made=made, classes=classes))


def _rule_counts(
    maps: Sequence[SceneSpectra], bands: tuple[str, ...], scale: np.ndarray, centres: np.ndarray
) -> RuleCounts:
    """The rules that the pixels of each class meet, summed over all maps."""
    pixels, light = np.zeros(256, np.int64), np.zeros(256, np.int64)
    met = np.zeros((256, len(REFLECTANCE.rules)), np.int64)
    for item in maps:
        values, counts, means, _ = item.ordered(bands)
        rows = np.searchsorted(item.clusters, values)
        owners = nearest_class(means / scale, centres) + 1
        np.add.at(pixels, owners, counts)
        np.add.at(met, owners, np.array(item.met, np.int64)[rows])
        np.add.at(light, owners, np.array(item.light, np.int64)[rows])
    return RuleCounts(pixels, met, light, sum(item.impossible for item in maps))
