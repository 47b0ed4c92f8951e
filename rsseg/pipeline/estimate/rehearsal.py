"""The stages of a run, each as it is, on a small part of one scene in a temporary folder."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rsseg.pipeline.cache import Node
from rsseg.pipeline.nodes import nodes_of
from rsseg.pipeline.plan import Plan, RunScene, TrainedModel
from rsseg.progress import SILENT


@dataclass(frozen=True)
class Spent:
    """What a stage took and wrote on a part of ``pixels`` pixels."""

    pixels: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class Line:
    """An amount that grows with a size: ``constant`` + ``slope`` x size."""

    constant: float
    slope: float = 0.0

    @classmethod
    def through(cls, small: tuple[float, float], large: tuple[float, float]) -> "Line":
        """The line through two points (size, amount), which neither falls nor begins below 0."""
        apart = large[0] - small[0]
        slope = max(0.0, (large[1] - small[1]) / apart) if apart > 0 else 0.0
        return cls(max(0.0, large[1] - slope * large[0]), slope)

    def at(self, size: float) -> float:
        """The amount at a size."""
        return self.constant + self.slope * size


def small_plan(plan: Plan, scene: RunScene, models: Sequence[TrainedModel], folder: Path) -> Plan:
    """The plan for one small scene: every model is of it and labels it."""
    own = [replace(model, trained_on=(scene,), applied_to=(scene,)) for model in models]
    return replace(plan, scenes=[scene], models=own, folder=folder, aoi=None, reporter=SILENT)


def needed(nodes: Sequence[Node], names: set[str]) -> list[Node]:
    """The nodes of these names with all that they depend on, in order; training is rehearsed elsewhere."""
    wanted: set[Path] = set()
    found = []
    for node in reversed(nodes):
        if node.name.split()[0] != "train" and (node.name in names or wanted.intersection(node.outputs)):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def rehearse(plan: Plan, names: set[str], did: Callable[[], Any] = lambda: None) -> Mapping[str, Spent]:
    """Run the stages of these names, and those that they need; one that fails on a part of a scene is left out."""
    grid, spent = plan.scenes[0].source.grid, {}
    for node in needed(nodes_of(plan), names):
        before, began = bytes_in(plan.folder), time.perf_counter()
        try:
            node.run()
        except Exception:  # such as a reference that lies elsewhere: the estimate goes on without this stage
            continue
        seconds = time.perf_counter() - began
        spent[node.name] = Spent(grid.height * grid.width, seconds, bytes_in(plan.folder) - before)
        did()
    return spent


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names)
