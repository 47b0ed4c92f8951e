"""Matrices and records as CSV and JSON; in CSV, texts that a spreadsheet would compute begin with an apostrophe."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rsseg.cells import to_cell


def matrix_csv(values: np.ndarray, rows: Sequence[str], columns: Sequence[str], corner: str) -> str:
    """A matrix (rows, columns) with its names; ``corner`` says what rows and columns are."""
    lines = [[corner, *map(to_cell, columns)]]
    lines += [[to_cell(name), *map(_cell, line)] for name, line in zip(rows, values.tolist(), strict=True)]
    return _csv(lines)


def records_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records with the same keys, one a line; None and NaN are empty."""
    lines = [list(records[0])] + [[_cell(value) for value in record.values()] for record in records]
    return _csv(lines)


def json_text(value: Any) -> str:
    """A value as JSON; NaN, which JSON does not know, is null."""
    return json.dumps(_plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(lines: Sequence[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(lines)
    return stream.getvalue()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6f}" if isinstance(value, float) else to_cell(value) if isinstance(value, str) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
