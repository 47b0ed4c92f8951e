"""YAML that people wrote, or that somebody sent them: plain values within limits, or one sentence."""

import math
from pathlib import Path
from typing import Any

import yaml

from rsseg.errors import InputError

BYTES, VALUES, DEPTH, DIGITS = 1 << 20, 20_000, 40, 60
"""The most that is read: bytes of a file, values of it (those behind aliases counted wherever they stand), lists and
mappings within each other, and characters of a number. A legend of 255 classes has about 5000 values."""


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file in UTF-8.

    Raises: InputError if it cannot be read, is larger than 1 MiB or no text in UTF-8, and as ``parse_yaml``;
    FileNotFoundError.
    """
    try:
        with path.open("rb") as stream:  # no more is read, be it a device without end
            content = stream.read(BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as problem:
        raise InputError(f"{path} cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
    if len(content) > BYTES:
        raise InputError(f"{path} is larger than the {BYTES >> 20} MiB that is read of YAML; is it the right file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} cannot be read as a text in UTF-8; save it as UTF-8") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Any:
    """The plain values of a YAML text; ``source`` names it in messages. No object of Python is ever built.

    Raises: InputError, naming the line, for broken YAML, tags of other types, a key that stands twice, numbers that are
    not finite or too long, and more values or deeper ones than ``VALUES`` and ``DEPTH``.
    """
    if len(text) > BYTES:
        raise InputError(f"{source} is longer than the {BYTES} characters that are read of YAML")
    try:
        return _load(text)
    except _Refused as problem:
        raise InputError(f"{source}, line {problem.line}: {problem}") from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(problem, "problem", None) or "it is not YAML"
        raise InputError(f"{source}{where}: {_brief(reason)}; check its indentation, colons and quotes") from None
    # a date that is none, and tags such as !!bool before words that PyYAML does not expect there
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as problem:
        raise InputError(f"{source} is not YAML that can be used: {_brief(str(problem))}") from None


def _load(text: str) -> Any:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _brief(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= 120 else line[:117] + "..."


class _Refused(Exception):
    """YAML that is valid and yet not read."""

    def __init__(self, reason: str, mark: Any) -> None:
        super().__init__(reason)
        self.line = mark.line + 1


class _Loader(yaml.SafeLoader):
    """The safe loader within limits, which refuses a key that stands twice; YAML itself lets the last one win."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._total = 0, 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, counted; an alias counts as all that it stands for."""
        mark, alias = self.peek_event().start_mark, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEPTH:
            raise _Refused(f"values lie more than {DEPTH} deep in each other", mark)
        before = self._total
        self._grow(1, mark)
        node = super().compose_node(parent, index)
        if alias:
            if id(node) not in self._sizes:
                raise _Refused("an alias stands inside of what it stands for", mark)
            self._grow(self._sizes[id(node)] - 1, mark)
        else:
            self._sizes[id(node)] = self._total - before
        self._depth -= 1
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        """A mapping whose keys are words or numbers, each once."""
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Refused("a key is a list or a mapping; write a word", key.start_mark)
            if key.value in seen:
                raise _Refused(f"the key {_brief(repr(key.value))} stands twice; keep one of them", key.start_mark)
            seen.add(key.value)
        return node

    def number(self, node: Any) -> int | float:
        """A finite number of a few digits; a long one takes minutes to convert."""
        if len(node.value) > DIGITS:
            raise _Refused(
                f"a number has more than {DIGITS} characters; put it in quotes if it is a name", node.start_mark
            )
        whole = node.tag.endswith(":int")
        value: int | float = self.construct_yaml_int(node) if whole else self.construct_yaml_float(node)
        if not math.isfinite(value):
            raise _Refused(f"{node.value} is no finite number; put it in quotes if it is a name", node.start_mark)
        return value

    def _grow(self, count: int, mark: Any) -> None:
        self._total += count
        if self._total > VALUES:
            raise _Refused(f"it holds more than {VALUES} values, aliases counted as what they stand for", mark)


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.number)
