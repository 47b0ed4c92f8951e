"""The design of a probability sample of a map, as it lies in the file of its points."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio

from rsseg.cells import from_cell
from rsseg.errors import InputError
from rsseg.label.reference_layers import ClassField, answered, check_field, class_field, is_vector
from rsseg.scene.polygons import layer_of

TABLE = "rsseg_sample"
"""The table of strata beside the points of a GeoPackage."""

FIELD = "reference"
"""The field of the points that is empty when they are drawn, and holds the classes seen when they are done."""

STRATUM = "stratum"


def strata_path(points: Path) -> Path:
    """Where the strata of points in a .csv lie."""
    return points.with_name(f"{points.stem}.strata.csv")


@dataclass(frozen=True)
class Stratum:
    """One class of the sampled map: its value and name, pixels, area in square metres (None without CRS), points."""

    stratum: int
    name: str
    pixels: int
    area_m2: float | None
    points: int


@dataclass(frozen=True)
class SampleDesign:
    """How points were drawn: the map's file name and checksum (see ``sampling.Census``), the seed, and the strata."""

    labels: str
    sha256: str
    seed: int
    allocation: str
    strata: tuple[Stratum, ...]

    def records(self) -> list[dict[str, Any]]:
        """One line a stratum, with what they share on every line: the table that ``read_design`` reads."""
        shared = {"labels": self.labels, "sha256": self.sha256, "seed": self.seed, "allocation": self.allocation}
        return [{**asdict(stratum), **shared} for stratum in self.strata]


@dataclass(frozen=True)
class TablePoints:
    """Points given by their pixels: rows and columns (n,) int64, and classes; others are ``unanswered``."""

    rows: np.ndarray
    cols: np.ndarray
    field: ClassField
    unanswered: int


def read_design(path: Path) -> SampleDesign | None:
    """The design of a sample, or None if a reference is none.

    Raises: InputError if its table is damaged.
    """
    if path.suffix.lower() == ".csv":
        table = strata_path(path)
        if not table.exists():
            return None
        texts = dict.fromkeys(("name", "labels", "sha256", "allocation"), str)  # a class may be called 01
        rows = pandas.read_csv(table, keep_default_na=False, dtype=texts)
        return _design(table, _texts(rows, "name").to_dict("records"))
    if not path.exists() or not is_vector(path) or TABLE not in {str(name) for name, _ in pyogrio.list_layers(path)}:
        return None
    return _design(path, pyogrio.read_dataframe(path, layer=TABLE, read_geometry=False).to_dict("records"))


def _design(path: Path, records: list[dict[Any, Any]]) -> SampleDesign:
    try:
        strata = tuple(_stratum(record) for record in records)
        first = records[0]
        shared = str(first["labels"]), str(first["sha256"]), int(first["seed"]), str(first["allocation"])
    except (KeyError, ValueError, IndexError) as problem:
        raise InputError(f"{path} has a damaged table of strata ({problem}); draw the sample again") from None
    return SampleDesign(*shared, strata)


def _stratum(record: Mapping[Any, Any]) -> Stratum:
    area = record["area_m2"]
    known = area not in ("", None) and not pandas.isna(area)
    sizes = int(record["stratum"]), str(record["name"]), int(record["pixels"])
    return Stratum(*sizes, float(area) if known else None, int(record["points"]))


def read_points(path: Path, field: str | None) -> TablePoints:
    """The points of a sample, or of a .csv with the columns row and col (from 0), that have a class.

    Where a point was moved in a GIS, its row and column still say which pixel was drawn.

    Raises: UsageError if the field is missing; InputError if a row or column is no whole number, or no point is left.
    """
    table = _table(path, field)
    for name in ("row", "col"):
        if name not in table.columns:
            raise InputError(f"{path} has no column {name}; points in a table need row and col, counted from 0")
    check_field(path, field, list(table.columns))
    assert field is not None
    kept = table[answered(table[field])]
    if kept.empty:
        raise InputError(f"{path}: no point has a value in field {field!r} yet; fill in the class that you see at each")
    rows, cols = _whole(path, kept, "row"), _whole(path, kept, "col")
    return TablePoints(rows, cols, class_field(path, field, kept[field]), len(table) - len(kept))


def _table(path: Path, field: str | None) -> Any:
    if path.suffix.lower() != ".csv":
        return geopandas.read_file(path, layer=layer_of(path), ignore_geometry=True)
    try:
        # "NA" and "None" are names here, and so is "01"
        rows = pandas.read_csv(
            path, sep=_separator(path), keep_default_na=False, na_values=[""], dtype={field: str} if field else None
        )
        return _texts(rows, field)
    except (ValueError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} is no table of comma-separated values ({problem})") from None


def _separator(path: Path) -> str:
    """A spreadsheet set to a language with decimal commas saves tables with semicolons."""
    with path.open(encoding="utf-8") as file:
        head = file.readline()
    return ";" if ";" in head and "," not in head else ","


def _texts(rows: Any, column: str | None) -> Any:
    """A table of a CSV with a column's texts as they were before they became cells."""
    if column not in rows.columns:
        return rows
    rows[column] = rows[column].map(from_cell, na_action="ignore")
    return rows


def _whole(path: Path, table: Any, name: str) -> np.ndarray:
    numbers = pandas.to_numeric(table[name], errors="coerce")
    if numbers.isna().any() or (numbers % 1 != 0).any():
        line = table.index[int(np.flatnonzero(numbers.isna() | (numbers % 1 != 0))[0])] + 1
        raise InputError(f"{path}: point {line} has no whole number in {name}; points of a sample keep what they had")
    return numbers.to_numpy(np.int64)
