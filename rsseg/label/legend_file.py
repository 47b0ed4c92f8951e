"""Legends as YAML files that people read and edit: names, colours and lists of clusters may be changed by hand."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rsseg.errors import InputError
from rsseg.label.legend import Legend, in_a_line
from rsseg.label.yaml_files import parse_yaml, read_yaml

_HEADER = """\
# Which clusters of a label map make which class. Names, colours and the lists of clusters may be edited by hand; then
# rsseg relabel LABELS --legend THIS_FILE -o CLASSES.tif writes the map. "evidence" says why a cluster is where it is.
"""


def to_yaml(legend: Legend) -> str:
    """A legend as YAML text; ``from_yaml`` gives the same legend back."""
    content = legend.as_dict()
    parts = [_dump({"made": content["made"]}, False)] if content["made"] else []
    parts.append(_dump({"classes": content["classes"]}, None))
    if content["evidence"]:
        parts.append(_dump({"evidence": content["evidence"]}, None))
    return _HEADER + "\n" + "\n".join(parts)


def _dump(content: Mapping[str, Any], flow: bool | None) -> str:
    return yaml.dump(content, Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=flow, width=110)


class _Dumper(yaml.SafeDumper):
    """The safe dumper, but texts with line ends of any kind are escaped; folded as YAML's own they would change."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = '"' if len(data.splitlines()) > 1 or data != data.strip() else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def legend_path(labels: Path) -> Path:
    """Where the legend that made a map lies: STEM.legend.yaml beside it."""
    return labels.with_suffix(".legend.yaml")


def read_legend(path: Path) -> Legend:
    """The legend of a file.

    Raises: InputError if it is missing or cannot be read as a text in UTF-8, and as ``from_yaml``.
    """
    try:
        return _legend(read_yaml(path), str(path))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; rsseg legend makes one") from None


def from_yaml(text: str, source: str = "the legend") -> Legend:
    """A legend from YAML text; ``source`` names it in messages.

    Raises: InputError, naming the line or the key, as ``parse_yaml``, and for a key that is unknown, a value that
    cannot be used and a cluster in two classes.
    """
    return _legend(parse_yaml(text, source), source)


def _legend(content: Any, source: str) -> Legend:
    if not isinstance(content, dict):
        raise InputError(f"{source} is no legend: it should be keys and values, with classes: among them")
    try:
        return Legend.model_validate(content)
    except ValidationError as problem:
        raise InputError(_sentence(problem, source)) from None


def _sentence(problem: ValidationError, source: str) -> str:
    """The complaint that helps most: a misspelt key explains the missing one."""
    first = min(problem.errors(), key=lambda error: error["type"] != "extra_forbidden")
    place = [part for part in first["loc"] if isinstance(part, int | str) and part != "[key]"]
    parts = [str(part + 1) if isinstance(part, int) and place[0] == "classes" else str(part) for part in place]
    key = in_a_line(".".join(parts), 80)
    if first["type"] == "extra_forbidden":
        return f"{source} has no key {key}; check its spelling"
    if first["type"] == "missing":
        return f"{source} lacks {key}, which is needed"
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{source}: {key}: {reason}" if key else f"{source}: {reason}"
    return f"{source}: {key} = {reprlib.repr(first['input'])} cannot be used ({reason[:1].lower()}{reason[1:]})"
