"""What the readers of metadata files share: text of any encoding, and numbers that are no guess."""

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from rsseg.errors import InputError
from rsseg.scene.shown import shown

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def decoded(raw: bytes, where: str) -> str:
    """Metadata as text: UTF-8 or UTF-16 by its mark; other bytes are replaced, since only ASCII keys matter.

    Raises: InputError, naming ``where``, if it is no text.
    """
    text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig", errors="replace")
    if "\0" in text:
        raise InputError(f"{where} holds zero bytes, so that it is no text; it is damaged, get it again")
    return text


def lines_of(text: str) -> list[str]:
    """Lines by any of the three systems' ends; control characters become blanks."""
    return [_CONTROL.sub(" ", line) for line in re.split(r"\r\n|\r|\n", text)]


def plain_number(text: str) -> float | None:
    """A finite decimal number in ASCII digits, or None: Python would read ``1_000`` and other scripts' digits too."""
    value = float(text) if _NUMBER.fullmatch(text.strip()) else math.nan
    return value if math.isfinite(value) else None


def same_value(a: str, b: str) -> bool:
    """Whether two values of one key say the same, as texts or as numbers."""
    return a == b or (plain_number(a) is not None and plain_number(a) == plain_number(b))


def parsed_json(text: str, source: str) -> Mapping[str, Any]:
    """A JSON object in which no key contradicts itself.

    Raises: InputError, naming ``source``.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found and found[key] != value:
                raise ValueError(f"{shown(key)} stands in it twice with different values")
            found[key] = value
        return found

    try:
        tree = json.loads(text, object_pairs_hook=once)
    except RecursionError:
        raise InputError(f"{source} is JSON too deep to be metadata; get the file again") from None
    except ValueError as problem:
        raise InputError(f"{source} is broken JSON ({shown(problem, 200)}); get the file again") from problem
    return tree if isinstance(tree, dict) else {}
