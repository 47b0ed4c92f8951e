"""What the values of a model's maps are called: its clusters by number, or the classes that it was given names for."""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsseg.errors import InputError
from rsseg.label.legend import Legend, LegendClass, writable
from rsseg.label.legend_file import from_yaml
from rsseg.publish.class_colours import class_colours, coloured
from rsseg.publish.gis import clean
from rsseg.publish.palette import LabelClass, default_classes

if TYPE_CHECKING:  # labels are renamed without torch
    from rsseg.learn.model import Model

MODEL_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Naming:
    """``classes`` of the maps, what becomes of each cluster (256,) uint8, and the tags that tell of it."""

    classes: tuple[LabelClass, ...]
    table: np.ndarray = field(default_factory=lambda: np.arange(256, dtype=np.uint8))
    tags: dict[str, str] = field(default_factory=dict)


def naming_of(model: "Model", path: Path, clusters: bool = False) -> Naming:
    """The classes of a model's legend; without one, or for ``clusters``, its clusters.

    Clusters of a model that learned from labels have the names of these. ``path`` is the model's, for messages.

    Raises: InputError if the legend is damaged or lacks a cluster.
    """
    if clusters or model.legend is None:
        return Naming(_learned(model))
    legend = coloured(from_yaml(model.legend, f"the legend in {path}"))
    check_complete(legend, model, f"the legend in {path}")
    made = {"legend_by": clean(legend.made["by"])} if "by" in legend.made else {}
    # the model's identity is that of its clusters: this tells apart two legends of one model
    told = {"legend": f"of the model, {sha256(model.legend.encode()).hexdigest()[:12]}", **made}
    return Naming(label_classes(legend), legend.table, told)


def check_complete(legend: Legend, model: "Model", source: str) -> None:
    """Refuse a legend without a class for a cluster that a model can find; ``source`` names the legend.

    Raises: InputError.
    """
    missing = _lacking(legend, model.inference.classes)
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise InputError(
            f"{source} has no class for cluster {shown} of the model, which has {model.inference.classes}; rsseg "
            "relabel MODEL --legend LEGEND gives it one"
        )


def completed(legend: Legend, clusters: int) -> tuple[Legend, tuple[int, ...]]:
    """A legend with a class, marked unknown, for each of a model's ``clusters`` that it lacks; and these clusters.

    Raises: InputError if the legend's classes leave no values for them.
    """
    missing = _lacking(legend, clusters)
    used, names = {item.value for item in legend.classes}, {item.name for item in legend.classes}
    free = [value for value in range(1, 256) if value not in used]
    if len(missing) > len(free):
        raise InputError(f"the legend has {len(used)} classes, and {len(missing)} clusters of the model are in none")
    added = []
    for cluster, value in zip(missing, free, strict=False):
        name = f"cluster {cluster}"
        title = name if name not in names else f"{name} ({value})"
        added.append(LegendClass(value=value, name=title, clusters=(cluster,), unknown=True))
    return legend.model_copy(update={"classes": (*legend.classes, *added)}), missing


def _lacking(legend: Legend, clusters: int) -> tuple[int, ...]:
    """The clusters of a model of ``clusters`` that a legend has no class for."""
    return tuple(value for value in range(1, clusters + 1) if not legend.table[value])


def label_classes(legend: Legend) -> tuple[LabelClass, ...]:
    """The classes of a legend that has all its colours."""
    return tuple(LabelClass(item.value, item.name, item.colour or "") for item in legend.classes)


def _learned(model: "Model") -> tuple[LabelClass, ...]:
    """The names of the labels that a model learned from, where there were any, else "cluster 1" and so on."""
    numbered = default_classes(model.inference.classes)
    names = model.provenance.get("classes", [])
    if len(names) != len(numbered):
        return numbered
    by_value = {value: writable(str(name)) for value, name in enumerate(names, 1)}
    colours = class_colours(by_value)
    return tuple(LabelClass(value, name, colours[value]) for value, name in by_value.items())


def is_model(path: Path) -> bool:
    """Whether a file is a model: by its name, or by the first bytes of safetensors."""
    if path.suffix.lower() == MODEL_SUFFIX:
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        # the length of a JSON text in eight bytes, and the text
        return head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
    except OSError:
        return False
