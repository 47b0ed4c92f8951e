"""BAND_META.txt of Resourcesat products: ``key= value``, one a line, with the irregularities of real files."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rsseg.errors import InputError
from rsseg.scene.sensors.texts import lines_of, plain_number, same_value
from rsseg.scene.shown import shown

ALIASES = {"sunaziumthatcenter": "sunazimuthatcenter"}
"""Older files misspell the key."""

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_TIME = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})(?:\s+(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d+))?)?", re.ASCII)

YEARS = range(1972, 2101)
"""Years in which an Earth observation satellite can have taken a scene."""


@dataclass(frozen=True)
class BandMeta:
    """The keys of one file; empty values and ``-NA-`` count as missing, keys match in any case.

    ``contradictions`` are keys that stand in the file again with another value, and that value.
    """

    source: str
    values: Mapping[str, str]
    contradictions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: str) -> "BandMeta":
        """Read the text of a file; ``source`` is its name for messages."""
        values: dict[str, str] = {}
        others: dict[str, str] = {}
        for line in lines_of(text):
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or value in ("", "-NA-"):
                continue
            if not same_value(values.setdefault(_folded(key), value), value):
                others[_folded(key)] = value
        return cls(source, values, others)

    def get(self, key: str) -> str | None:
        """The value, or None where it is missing.

        Raises: InputError if the file gives two different ones.
        """
        folded = _folded(key)
        if folded in self.contradictions:
            both = f"{shown(self.values[folded])} and {shown(self.contradictions[folded])}"
            raise InputError(f"{self.source} gives {key} twice, as {both}; remove the wrong line")
        return self.values.get(folded)

    def text(self, key: str) -> str:
        """The value; a missing one is never replaced by a default.

        Raises: InputError, naming key and file.
        """
        value = self.get(key)
        if value is None:
            raise InputError(f"{self.source} has no value for {key}, without which the product cannot be calibrated")
        return value

    def number(self, key: str) -> float:
        """The value as a finite number.

        Raises: InputError, naming key and file.
        """
        text = self.text(key)
        value = plain_number(text)
        if value is None:
            raise InputError(f"{self.source} says {key}= {shown(text)}, which is no number")
        return value

    def time(self, key: str) -> datetime:
        """The value as a UTC time without time zone; a date alone is its midnight.

        Raises: InputError, naming key and file.
        """
        text = self.text(key)
        try:
            return parse_time(text)
        except (ValueError, OverflowError) as problem:
            raise InputError(
                f"{self.source} says {key}= {shown(text)}, which is no time like 02-OCT-2018 02:28:28.04"
            ) from problem


def _folded(key: str) -> str:
    folded = key.strip().casefold()
    return ALIASES.get(folded, folded)


def parse_time(text: str) -> datetime:
    """A time such as ``02-OCT-2018 02:28:28.043361``, cut to microseconds; months do not depend on the locale.

    Raises: ValueError.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or match[2].upper() not in MONTHS:
        raise ValueError(text)
    day, month, year = int(match[1]), MONTHS.index(match[2].upper()) + 1, int(match[3])
    hour, minute, second = (int(part or 0) for part in match.group(4, 5, 6))
    if year not in YEARS or second > 60:
        raise ValueError(text)
    microsecond = int((match[7] or "0")[:6].ljust(6, "0"))
    # a leap second, 60, is allowed for
    return datetime(year, month, day, hour, minute) + timedelta(seconds=second, microseconds=microsecond)
