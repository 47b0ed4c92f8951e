"""Landsat's MTL metadata, as text (ODL) or JSON, in the layouts of all collections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rsseg.errors import InputError
from rsseg.scene.sensors.texts import lines_of, parsed_json, plain_number, same_value
from rsseg.scene.shown import shown

Groups = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Mtl:
    """Groups of keys. One key can stand in several groups of a Level-2 file with different values.

    ``contradictions`` are keys that stand in one group again with another value, and that value.
    """

    source: str
    groups: Mapping[str, Mapping[str, str]]
    contradictions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: str) -> "Mtl":
        """Read the text of a file in either form; ``source`` is its name for messages.

        Raises: InputError if it is neither.
        """
        json = text.lstrip().startswith("{")
        groups, others = (_from_json(text, source), {}) if json else _from_odl(text)
        if not groups:
            raise InputError(f"{source} holds no metadata of a Landsat product; get the file again")
        return cls(source, groups, others)

    def get(self, key: str, *groups: str) -> str | None:
        """The first value of ``key`` in these groups, or in any group where none is named.

        Raises: InputError if the group gives two different ones.
        """
        for group in groups or self.groups:
            value = self.groups.get(group, {}).get(key)
            other = self.contradictions.get(group, {}).get(key)
            if other is not None:
                both = f"{shown(value)} and {shown(other)}"
                raise InputError(f"{self.source} gives {key} twice in {shown(group)}, as {both}; remove the wrong line")
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
        value = plain_number(text)
        if value is None:
            raise InputError(f"{self.source} says {key} = {shown(text)}, which is no number")
        return value


def _from_odl(text: str) -> tuple[Groups, Groups]:
    groups: Groups = {}
    others: Groups = {}
    stack: list[str] = []
    for line in lines_of(text):
        key, equals, value = (part.strip() for part in line.partition("="))
        value = value.strip('"').strip()
        if not equals:
            continue
        if key == "GROUP":
            stack.append(value)
        elif key == "END_GROUP":
            stack = stack[:-1]
        elif stack and not same_value(groups.setdefault(stack[-1], {}).setdefault(key, value), value):
            others.setdefault(stack[-1], {})[key] = value
    return groups, others


def _from_json(text: str, source: str) -> Groups:
    groups: Groups = {}
    waiting: list[Mapping[str, Any]] = [parsed_json(text, source)]
    while waiting:
        for name, value in waiting.pop().items():
            if isinstance(value, dict):
                groups[name] = {key: _one_line(item) for key, item in value.items() if _is_value(item)}
                waiting.append(value)
    return groups


def _is_value(item: object) -> bool:
    return item is not None and not isinstance(item, dict | list)


def _one_line(item: object) -> str:
    return " ".join(lines_of(str(item)))
