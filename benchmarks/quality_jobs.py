"""Which runs answer which question about quality: a model with its settings on a scene, from a seed."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import yaml
from scenes import OWN, SCENES

DENSE = ("nc", "landsat5_clouds")
"""Scenes whose reference covers them, so that distances to its boundaries mean something."""

CLASSES = 15
LABEL_STRIDE = 4


@dataclass(frozen=True)
class Job:
    """One label map to make: ``settings`` are the model's part of a pipeline, ``varied`` what a part varies.

    ``majority`` is the side of a window, in pixels, whose most frequent label each pixel of the map gets; 1 for none.
    """

    scene: str
    model: str
    settings: dict[str, Any]
    seed: int = 0
    label_stride: int = LABEL_STRIDE
    majority: int = 1
    varied: dict[str, Any] = field(default_factory=dict)

    @property
    def training(self) -> str:
        """What jobs share that differ in their labelling only."""
        content = json.dumps([self.scene, self.settings, self.seed], sort_keys=True)
        return sha256(content.encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """What tells the job from all others, as a file name; the same run may serve several parts."""
        filtered = f"_majority{self.majority}" if self.majority > 1 else ""
        return f"{self.scene}_{self.model}_{self.training}_{self.label_stride}{filtered}"


def base(model: str, classes: int = CLASSES, **changed: Any) -> dict[str, Any]:
    """A model of ``pipelines/all-methods.yaml`` with its number of classes and other settings changed."""
    models = yaml.safe_load((OWN / "all-methods.yaml").read_text(encoding="utf-8"))["models"]
    settings = {**models[model], **changed}
    settings["merge_to" if "merge_to" in settings else "classes"] = classes
    return settings


def names() -> list[str]:
    """The models of ``pipelines/all-methods.yaml``."""
    return list(yaml.safe_load((OWN / "all-methods.yaml").read_text(encoding="utf-8"))["models"])


def seeds(scene: str, count: int) -> Iterator[Job]:
    """All methods as they come."""
    for seed in range(count):
        for model in names():
            yield Job(scene, model, base(model), seed)


def patch(scene: str, count: int) -> Iterator[Job]:
    """Size of patches, and the step between those that are labelled; training keeps its own step.

    K-means of patch means loses what a patch blurs, and learns nothing.
    """
    for seed in range(count):
        for side in (4, 8, 16):
            for model in ("iic", "recal", "ddc", "kmeans"):
                settings = base(model, patch=side)
                if model == "kmeans":
                    settings |= {"features": "mean", "stride": 4}
                name = "kmeans-mean" if model == "kmeans" else model
                for stride in (step for step in (2, 4, 8) if step <= side):
                    varied = {"patch": side, "label stride": stride}
                    yield Job(scene, name, settings, seed, stride, varied=varied)


def normalisation(scene: str, count: int) -> Iterator[Job]:
    """How bands become numbers of one size."""
    for seed in range(count):
        for model in ("kmeans", "iic"):
            for kind in ("standardise", "range"):
                changed: dict[str, Any] = {} if kind == "standardise" else {"normalise": kind}
                settings = base(model, **changed)
                yield Job(scene, model, settings, seed, varied={"normalise": kind})


def clusters(scene: str, count: int) -> Iterator[Job]:
    """How many clusters a map has, from the number of classes to many for each."""
    for seed in range(count):
        for classes in (SCENES[scene][2], 10, 15, 30, 60):
            for model in ("kmeans", "iic", "recal"):
                yield Job(scene, model, base(model, classes), seed)


def length(scene: str, count: int) -> Iterator[Job]:
    """How long is trained; a phase still ends when its score has not become better for five epochs."""
    for seed in range(count):
        for factor in (0.5, 1, 2, 4):
            for model in ("iic", "recal"):
                settings = base(model)
                settings["epochs"] = round(factor * settings["epochs"])
                yield Job(scene, model, settings, seed, varied={"epochs": settings["epochs"]})


def majority(scene: str, count: int) -> Iterator[Job]:
    """What any GIS does to the map of pixel k-means afterwards, for no training at all."""
    for seed in range(count):
        for side in (1, 3, 5, 7, 9):
            yield Job(scene, "kmeans", base("kmeans"), seed, majority=side, varied={"majority": side})


KMEANS_REMEDIES: dict[str, dict[str, Any]] = {
    "pixel k-means": {},
    "indices": {"channels": ["bands", "indices"]},
    "indices, brightness": {"channels": ["bands", "indices", "brightness"]},
    "texture": {"channels": ["bands", "texture"]},
    "means of 7 x 7": {"channels": ["bands", "means"]},
    "decorrelated bands": {"channels": ["components"]},
    "denoised": {"denoise": True},
    "denoised, decorrelated, indices, brightness": {
        "channels": ["components", "indices", "brightness"],
        "denoise": True,
    },
    "range": {"normalise": "range"},
    "robust": {"normalise": "robust"},
    "balanced sample": {"balanced": True},
    "60 clusters, merged by spectra": {"classes": 60, "merge_to": CLASSES},
}
"""What is changed of pixel k-means, one thing at a time."""

CONTEXT_REMEDIES: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "no network": {"epochs": 0, "warm_epochs": 1, "noise": 0.0},
    "no information": {"epochs": 3, "information": 0.0},
    "information x 5": {"information": 5.0},
    "information x 5, 0.3 nats unequal for nothing": {"information": 5.0, "balance_tolerance": 0.3},
    "no merging": {"fine": CLASSES},
    "48 fine clusters": {"fine": 48},
    "merged by spectra": {"spectral_weight": 1e6},
    "merged by neighbours": {"spectral_weight": 0.0},
    "bands alone": {"channels": ["bands"], "denoise": False},
    "not denoised": {"denoise": False},
    "with texture": {"channels": ["components", "indices", "brightness", "texture"]},
    "best of 3 by score": {"restarts": 3},
    "vote of 3": {"restarts": 3, "vote": 3},
}
"""What is changed of the default recipe's method, one thing at a time."""


def remedies(scene: str, count: int) -> Iterator[Job]:
    """Each remedy alone: of pixel k-means, and of the default recipe's method."""
    for seed in range(count):
        for name, changed in KMEANS_REMEDIES.items():
            settings = {**base("kmeans"), "starts": 3, **changed}
            yield Job(scene, "kmeans", settings, seed, varied={"remedy": name})
        for name, changed in CONTEXT_REMEDIES.items():
            settings = {"method": "context", "classes": CLASSES, **changed}
            yield Job(scene, "context", settings, seed, varied={"remedy": name})


PARTS: dict[str, Callable[[str, int], Iterator[Job]]] = {
    "seeds": seeds,
    "patch": patch,
    "normalisation": normalisation,
    "clusters": clusters,
    "length": length,
    "majority": majority,
    "remedies": remedies,
}


def jobs(part: str, scenes: Sequence[str], count: int) -> list[Job]:
    """The jobs of a part, scene by scene."""
    return [job for scene in scenes for job in PARTS[part](scene, count)]
