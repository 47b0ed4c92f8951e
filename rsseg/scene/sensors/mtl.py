"""Landsat's MTL metadata, as text (ODL) or JSON, in the layouts of all collections."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rsseg.errors import InputError


@dataclass(frozen=True)
class Mtl:
    """Groups of keys. One key can stand in several groups of a Level-2 file with different values."""

    source: str
    groups: Mapping[str, Mapping[str, str]]

    @classmethod
    def parse(cls, text: str, source: str) -> "Mtl":
        """Read the text of a file in either form; ``source`` is its name for messages.

        Raises: InputError if it is neither.
        """
        groups = _from_json(text, source) if text.lstrip().startswith("{") else _from_odl(text)
        if not groups:
            raise InputError(f"{source} holds no metadata of a Landsat product; get the file again")
        return cls(source, groups)

    def get(self, key: str, *groups: str) -> str | None:
        """The first value of ``key`` in these groups, or in any group where none is named."""
        for group in groups or self.groups:
            value = self.groups.get(group, {}).get(key)
            if value not in (None, ""):
                return value
        return None

    def text(self, key: str, *groups: str) -> str:
        """The value; a missing one is never replaced by a default.

        Raises: InputError, naming key and file.
        """
        value = self.get(key, *groups)
        if value is None:
            raise InputError(f"{self.source} has no value for {key}, without which the product cannot be read")
        return value

    def number(self, key: str, *groups: str) -> float:
        """The value as a finite number.

        Raises: InputError, naming key and file.
        """
        text = self.text(key, *groups)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"{self.source} says {key} = {text}, which is no number")
        return value


def _from_odl(text: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    stack: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        value = value.strip('"').strip()
        if not equals:
            continue
        if key == "GROUP":
            stack.append(value)
        elif key == "END_GROUP":
            stack = stack[:-1]
        elif stack:
            groups.setdefault(stack[-1], {})[key] = value
    return groups


def _from_json(text: str, source: str) -> dict[str, dict[str, str]]:
    try:
        tree = json.loads(text)
    except ValueError as problem:
        raise InputError(f"{source} is broken JSON ({problem}); get the file again") from problem
    groups: dict[str, dict[str, str]] = {}
    _collect(tree, groups)
    return groups


def _collect(tree: Mapping[str, Any], groups: dict[str, dict[str, str]]) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            groups[name] = {key: str(item) for key, item in value.items() if not isinstance(item, dict | list)}
            _collect(value, groups)
