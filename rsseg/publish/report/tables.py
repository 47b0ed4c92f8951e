"""Tables that a run wrote about all of its scenes or variants."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rsseg.publish.report.html import Html, Section, name, paragraphs, table, tag

_KNOWN = (
    ("cross_scene.csv", "Every model on every scene"),
    ("sweep.csv", "The variants of the sweep"),
)
_MOST = 200


def tables_section(folder: Path) -> Section | None:
    """The tables that are there; None without one."""
    parts = [part for file, title in _KNOWN if (part := _part(folder / file, title)) is not None]
    return Section("Tables of the run", parts=tuple(parts)) if parts else None


def _part(path: Path, title: str) -> Section | None:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            lines = [line for line in csv.reader(stream) if line]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    if len(lines) < 2:
        return None
    head, rows = lines[0], [_cells(line, len(lines[0])) for line in lines[1 : _MOST + 1]]
    left = f"The first {_MOST} of {len(lines) - 1} lines." if len(lines) - 1 > _MOST else ""
    return Section(title, Html(paragraphs(left) + table(path.name, [name(word) for word in head], rows)))


def _cells(line: Sequence[str], width: int) -> list[Html]:
    texts = [*line, *([""] * width)][:width]
    return [name(texts[0]), *(_cell(text) for text in texts[1:])]


def _cell(text: str) -> Html:
    try:
        float(text)
    except ValueError:
        return tag("td", name(text))
    return tag("td", text, class_="n")
