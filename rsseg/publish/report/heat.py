"""Matrices as tables whose cells are coloured by their numbers."""

from collections.abc import Callable, Sequence

import numpy as np

from rsseg.publish.report.html import Html, table, tag

_DARKEST = np.array([8, 69, 148])


def background(share: float) -> np.ndarray:
    """White to dark blue (3,) for shares of 0 to 1."""
    return np.rint(255 + (_DARKEST - 255) * min(max(share, 0.0), 1.0)).astype(int)


def ink(colour: np.ndarray) -> str:
    """Black or white, whichever stands out more on a colour (3,) of 0 to 255: their contrast is at least 4.58."""
    part = np.asarray(colour) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#000" if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else "#fff"


def heat_table(
    values: np.ndarray,
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    caption: object,
    corner: str,
    shown: Callable[[int, int], str],
    framed: int = 0,
) -> Html:
    """A matrix (rows, columns) of shares from 0 to 1 as a table.

    Args:
        corner: what rows and columns are.
        shown: the text of a cell by row and column.
        framed: how many cells of the diagonal are framed.
    """
    lines = []
    for row, title in enumerate(rows):
        cells = [_cell(float(values[row, col]), shown(row, col), row == col < framed) for col in range(len(columns))]
        lines.append([title, *cells])
    return table(caption, [corner, *columns], lines, class_="heat")


def _cell(value: float, text: str, framed: bool) -> Html:
    if not np.isfinite(value):
        return tag("td", text, class_="n")
    colour = background(value)
    style = f"background:{'#{:02x}{:02x}{:02x}'.format(*colour)};color:{ink(colour)}"
    return tag("td", text, class_="n framed" if framed else "n", style=style)
