"""Texts in the cells of a CSV: a spreadsheet must not compute them."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets compute a text that begins so; an apostrophe before it makes it a text for them."""


def to_cell(text: str) -> str:
    """A text as a CSV holds it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def from_cell(cell: str) -> str:
    """The text of a cell that ``to_cell`` made."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell
