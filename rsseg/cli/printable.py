"""Names from files and products as a terminal may show them: what would steer it is escaped."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

# C0 without tab and line feed, DEL and C1; marks that turn the direction of text; line ends of Unicode; halves of pairs
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    r"""A text whose control and bidirectional characters are shown as ``\x1b`` or ``\u202e``.

    Tabs and line feeds stay. In JSON, which escapes C0 itself, the text means what it meant.
    """
    return _STEERING.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""As ``printable``, for a sentence: line feeds and tabs are shown as ``\n`` and ``\t`` too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x20 else f"\\u{code:04x}"


class _Printable:
    """A text stream that shows what is written to it as ``printable`` does; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, in which letters that the stream's encoding lacks are escaped too."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        shown = printable(text).encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(shown)
        return len(text)


@contextmanager
def printable_output() -> Iterator[None]:
    """While it is open, stdout is shown as ``printable`` does; commands write plain text there and nothing else."""
    before = sys.stdout
    sys.stdout = _Printable(before)
    try:
        yield
    finally:
        sys.stdout = before
