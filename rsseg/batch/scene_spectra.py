"""What the clusters of a scene's map look like, kept beside the scene for the common legend."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from rsseg.errors import InputError
from rsseg.files import write_text
from rsseg.label.naming import count_rules
from rsseg.label.rules import REFLECTANCE, kind_for
from rsseg.label.spectra import cluster_spectra
from rsseg.pipeline.cache import Cache
from rsseg.publish.report.scenes import matched
from rsseg.publish.run_files import read_json
from rsseg.publish.run_folder import open_run
from rsseg.scene.source import Scene

VERSION = 1


class SceneSpectra(BaseModel):
    """The clusters of a map by rising value; all lists are as long as ``clusters``.

    ``pixels`` counts the map's pixels, ``counts`` those with valid values; ``means`` and ``variances`` (clusters,
    bands) are over the latter. ``met`` (clusters, rules), ``light`` and ``impossible`` are those of
    ``naming.RuleCounts``, for reflectance of named bands only. ``of`` are the digests of map and scene.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int
    of: list[str]
    units: str
    bands: list[str]
    clusters: list[int]
    pixels: list[int]
    counts: list[int]
    means: list[list[float]]
    variances: list[list[float]]
    met: list[list[int]] | None
    light: list[int] | None
    impossible: int

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The spectra of a file; None where it is absent, damaged or of another version of rsseg."""
        try:
            found = cls.model_validate(read_json(path))
        except ValueError:
            return None
        return found if found.version == VERSION else None

    @property
    def kind(self) -> tuple[str, tuple[str, ...]]:
        """What has to be equal for two scenes to be compared: units, and names of bands whatever their order."""
        return self.units, tuple(sorted(name.casefold() for name in self.bands))

    def ordered(self, bands: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Values, counts (clusters,), means and variances (clusters, bands) of clusters with valid pixels.

        ``bands`` are the names in the order that is wanted, in small letters.
        """
        places = [[name.casefold() for name in self.bands].index(name) for name in bands]
        counts = np.array(self.counts, np.int64)
        used = counts > 0
        shape = (len(counts), len(self.bands))
        means, variances = (np.array(rows, np.float64).reshape(shape) for rows in (self.means, self.variances))
        return np.array(self.clusters, np.int64)[used], counts[used], means[used][:, places], variances[used][:, places]


def spectra_path(run_folder: Path, name: str, model: str) -> Path:
    """Where the spectra of a map lie."""
    return run_folder / name / "spectra" / f"{model}.json"


def scene_spectra(run_folder: Path, name: str, model: str) -> dict[str, Any]:
    """Gather the spectra of a model's clusters on a scene, write them as ``spectra/MODEL.json``, and return them.

    Map and scene are read once in strips of 512 rows, and once more for the rules of names where the scene is
    reflectance; neither is read where the file is there and of the same map and scene.

    Raises: InputError if the run is not finished or its scene is gone; GridError.
    """
    scene, labels = _opened(run_folder, name, model)
    cache, target = Cache(run_folder), spectra_path(run_folder, name, model)
    # a product is large, and its reflectance is what is read where the run made one
    of = [cache.digest(labels), cache.digest(scene.path)]
    known = SceneSpectra.read(target)
    if known is not None and known.of == of:
        return known.model_dump()
    found = _gathered(scene, labels, of)
    write_text(target, json.dumps(found, indent=None, allow_nan=False) + "\n", overwrite=True)
    return found


def _opened(run_folder: Path, name: str, model: str) -> tuple[Scene, Path]:
    run = open_run(run_folder)
    folder = next((item for item in run.scenes if item.name == name), None)
    if folder is None:
        raise InputError(f"the run in {run_folder} has no scene {name}; name one of its scenes")
    found = next((item.labels for item in folder.maps if item.model == model), None)
    if found is None:
        raise InputError(f"the run in {run_folder} has no map of {name} by {model}; run the same command again")
    if folder.scene is None:
        raise InputError(folder.problem.removesuffix(".") + "; give the scene back its place and run the command again")
    return folder.scene, found


def _gathered(scene: Scene, labels: Path, of: list[str]) -> dict[str, Any]:
    with matched(labels, scene) as source:
        spectra = cluster_spectra(source, scene)
    used = np.flatnonzero(spectra.pixels)
    return {
        "version": VERSION,
        "of": of,
        "units": scene.units,
        "bands": list(spectra.bands),
        "clusters": used.tolist(),
        "pixels": spectra.pixels[used].tolist(),
        "counts": spectra.counts[used].tolist(),
        "means": spectra.means[used].tolist(),
        "variances": spectra.variances[used].tolist(),
        **_rules(scene, labels, used),
    }


def _rules(scene: Scene, labels: Path, used: np.ndarray) -> Mapping[str, Any]:
    """How many pixels of each cluster meet each rule on reflectance; nothing where there can be no such rule."""
    if kind_for(scene) != "reflectance":
        return {"met": None, "light": None, "impossible": 0}
    with matched(labels, scene) as source:
        counts = count_rules(source, scene, REFLECTANCE)
    return {"met": counts.met[used].tolist(), "light": counts.light[used].tolist(), "impossible": counts.impossible}
