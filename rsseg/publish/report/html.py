"""Markup from text: every name is escaped here, and nowhere else."""

import html
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_VOID = {"img", "input", "meta", "br", "hr"}
_NUMERIC = re.compile(r'<td[^>]* class="n[ "]')


class Html(str):
    """Text that is markup already and is not escaped again."""

    __slots__ = ()


def clean(text: object) -> str:
    """A text as one line in which everything can be seen: control characters become their pictures, U+2400 to U+2421.

    Characters that turn the direction of what follows, or that UTF-8 has no bytes for, become U+FFFD.
    """
    return "".join(_visible(letter) for letter in " ".join(str(text).split("\n")))


def _visible(letter: str) -> str:
    code = ord(letter)
    if letter in "\t\r":
        return " "
    if code < 0x20 or code == 0x7F:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)
    if 0x80 <= code < 0xA0 or unicodedata.bidirectional(letter) in ("RLO", "LRO", "RLE", "LRE", "PDF"):
        return "\ufffd"
    return "\ufffd" if 0xD800 <= code < 0xE000 else letter


def escape(content: object) -> Html:
    """Content as markup: escaped, unless it is ``Html``; None is nothing."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else html.escape(clean(content), quote=True))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Several contents after each other."""
    return Html(between.join(escape(part) for part in parts))


def tag(element: str, *children: object, **attributes: object) -> Html:
    """An element. In names of attributes ``_`` is ``-`` (``class_`` is class); True is bare; None and False drop."""
    words = [
        f" {_attribute(key, value)}" for key, value in attributes.items() if value is not None and value is not False
    ]
    start = f"<{element}{''.join(words)}>"
    return Html(start if element in _VOID else f"{start}{join(children)}</{element}>")


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return name if value is True else f'{name}="{html.escape(clean(value), quote=True)}"'


def name(text: object) -> Html:
    """A name that somebody gave: kept apart from what surrounds it, whatever direction it is written in."""
    return tag("bdi", text)


def paragraphs(*texts: object) -> Html:
    """Each text as a paragraph; empty ones are left out."""
    return join(tag("p", text) for text in texts if text)


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table: thousands apart, ``digits`` behind the point; a dash for None and NaN."""
    if value is None or value != value:
        return "\u2013"
    return (
        f"{value:,.{digits}f}".replace(",", "\u202f")
        if isinstance(value, float)
        else f"{value:,}".replace(",", "\u202f")
    )


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent."""
    return number(share) if share is None or share != share else f"{100 * share:.{digits}f}\u00a0%"


def table(
    caption: object,
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    class_: str | None = None,
) -> Html:
    """A table whose first column names its rows. A cell that is ``Html`` and a whole ``td`` is taken as it is."""
    lines = [(first, [_cell(cell) for cell in cells]) for first, *cells in rows]
    # a column is headed where its first cell stands: numbers to the right
    numbers = {place for place, cell in enumerate(lines[0][1], 1) if _NUMERIC.match(cell)} if lines else set()
    heads = (tag("th", one, scope="col", class_="n" if i in numbers else None) for i, one in enumerate(columns))
    head = tag("tr", *heads)
    body = (tag("tr", tag("th", first, scope="row"), *cells) for first, cells in lines)
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body), class_=class_)
    # wide tables scroll for themselves; what scrolls must be reachable by keyboard
    return tag("div", made, class_="wide", tabindex="0", role="region", aria_label=plain(caption))


def _cell(content: object) -> Html:
    if isinstance(content, Html) and content.startswith("<td"):
        return content
    if isinstance(content, bool) or not isinstance(content, int | float):
        return tag("td", content)
    return tag("td", number(content), class_="n")


def plain(content: object) -> str:
    """The text of a content, without its elements."""
    if not isinstance(content, Html):
        return clean(content)
    text, inside = [], False
    for letter in content:
        inside = (inside or letter == "<") and letter != ">"
        if not inside and letter != ">":
            text.append(letter)
    return html.unescape("".join(text))


def definitions(pairs: Iterable[tuple[object, object]]) -> Html:
    """Terms and what they are."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", content)) for term, content in pairs))


@dataclass(frozen=True)
class Section:
    """A part of the page: its title, what stands under it, and smaller parts."""

    title: str
    body: Html = field(default_factory=Html)
    parts: tuple["Section", ...] = ()

    def render(self, anchor: str, level: int = 2) -> Html:
        """The section with its heading; ``anchor`` is its id, and the start of those of its parts."""
        inner = join(part.render(f"{anchor}-{place}", level + 1) for place, part in enumerate(self.parts, 1))
        heading = tag(f"h{min(level, 6)}", name(self.title), id=f"{anchor}-title")
        return tag("section", heading, self.body, inner, id=anchor, aria_labelledby=f"{anchor}-title")
