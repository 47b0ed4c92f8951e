"""A stage of a run as a node of its cache, with the number of its version."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rsseg.pipeline.cache import Node

VERSIONS = {
    "toa": 1,
    "picture": 1,
    "train": 1,
    "segment": 2,
    "refine": 1,
    "merge": 1,
    "name": 2,
    "consensus": 4,
    "evaluate": 4,
    "sweep": 1,
    "cross-scene": 1,
}
"""Raise a stage's number when its outputs change for equal inputs: what older versions cached is then redone."""


def stage_node(
    name: str,
    config: dict[str, Any],
    inputs: Sequence[Path],
    outputs: Sequence[Path],
    run: Callable[[], Any],
    check: Callable[[], None] | None = None,
) -> Node:
    """A node; the first word of its name is its stage, ``outputs`` begin with the file to look at."""
    return Node(name, VERSIONS[name.split()[0]], config, tuple(inputs), tuple(outputs), run, check)
