"""Vector files as references: one layer of polygons or of points, with a field that holds the class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import geopandas
import numpy as np
import pyogrio
from pyogrio.errors import DataSourceError

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.split import Split, fit_units
from rsseg.scene.grid import Grid
from rsseg.scene.polygons import box_text, layer_of
from rsseg.scene.vectors import check_vector

_LOST = (
    " (points of rsseg sample are known by the table beside them, rsseg_sample or STEM.strata.csv: keep it with them)"
)

POLYGONS, POINTS = ("Polygon", "MultiPolygon"), ("Point", "MultiPoint")


@dataclass(frozen=True)
class ClassField:
    """The classes of features: their names, sorted, and each feature's code from 1, (n,) int64."""

    classes: tuple[str, ...]
    codes: np.ndarray


class InMemory:
    """A reference that has been read whole: there is nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        pass


def is_vector(path: Path) -> bool:
    """Whether a reference is polygons or points, not a raster; kinds of files that lead elsewhere are neither."""
    try:
        check_vector(path)
        return len(pyogrio.list_layers(path)) > 0
    except (InputError, DataSourceError):
        return False


def read_layer(path: Path, field: str | None) -> Any:
    """The features of a file that have a class, as a table of geometries: polygons, or points if there are none.

    Features without a value in the field, or with an empty text, are left out.

    Raises: UsageError if the field is missing, with the fields that there are; InputError if nothing is left.
    """
    frame = geopandas.read_file(path, layer=layer_of(path))
    check_field(path, field, [name for name in frame.columns if name != frame.geometry.name])
    kind = frame.geometry.geom_type.where(~frame.geometry.is_empty)
    kinds = POLYGONS if kind.isin(POLYGONS).any() else POINTS
    found = frame[kind.isin(kinds)]
    if found.empty:
        raise InputError(f"{path} has no polygon and no point; classes are compared at polygons or points")
    found = found[answered(found[field])]
    if found.empty:
        noun = "polygon" if kinds is POLYGONS else "point"
        raise InputError(f"{path} has no {noun} with a value in field {field!r}")
    return found


def check_field(path: Path, field: str | None, fields: list[str]) -> None:
    """Raises: UsageError if ``field`` is none of ``fields``."""
    if field is None or field not in fields:
        problem = "--field says which field holds the class" if field is None else f"it has no field {field!r}"
        lost = "" if field or not {"row", "col", "stratum"}.issubset(fields) else _LOST
        raise UsageError(f"{path}: {problem}; its fields are {', '.join(fields) or 'none'}{lost}")


def answered(values: Any) -> Any:
    """Which values of a column are neither missing nor empty texts: a column of booleans."""
    return values.notna() & (values.astype(str).str.strip() != "")


def class_field(path: Path, field: str, values: Any) -> ClassField:
    """Number the values of a column by name, numbers by size.

    Raises: UsageError if there are more than 255.
    """
    wanted = sorted(values.unique(), key=_by_name)
    if len(wanted) > 255:
        raise UsageError(f"field {field!r} of {path} has {len(wanted)} values; a class field has at most 255")
    number = {value: code for code, value in enumerate(wanted, 1)}
    return ClassField(tuple(map(_text, wanted)), values.map(number).to_numpy(np.int64))


def on_crs(frame: Any, grid: Grid, path: Path) -> Any:
    """Features in a grid's CRS.

    Raises: GridError if a CRS is missing on either side.
    """
    if frame.crs is None or grid.crs is None:
        laid = "it cannot be laid on the map" if frame.crs is None else f"{path} cannot be laid on it"
        raise GridError(f"{path if frame.crs is None else 'the map'} has no CRS, so that {laid}; set it")
    return frame.to_crs(grid.crs)


def no_touch(path: Path, what: str, box: Any, grid: Grid) -> str:
    """What to say of features that lie elsewhere, with both boxes."""
    return f"no {what} of {path} touches the map: they lie in {box_text(box)}, the map in {box_text(grid.bounds)}"


def single_parts(frame: Any, field: str) -> Any:
    """The parts of the only feature of a class as features of their own, so that a dissolved layer can be split."""
    once = frame[field].map(frame[field].value_counts()) == 1
    several = frame.geometry.map(lambda shape: len(getattr(shape, "geoms", ())) > 1)
    if not (once & several).any():
        return frame
    parts = [
        frame[i : i + 1].explode(index_parts=False) if once.iloc[i] else frame[i : i + 1] for i in range(len(frame))
    ]
    import pandas

    return pandas.concat(parts, ignore_index=True)


def split_features(path: Path, codes: np.ndarray, split: Split, noun: str) -> np.ndarray:
    """Which features, of class codes (n,), belong to "fit": (n,) bool.

    Raises: UsageError if no class has two.
    """
    fit = fit_units(codes, split.share, split.seed)
    if fit.all():
        raise UsageError(f"{path} cannot be split: every class has one {noun} only; leave out the part, or add {noun}s")
    return fit


def _by_name(value: Any) -> tuple[bool, Any]:
    return (False, value) if isinstance(value, int | float | np.number) else (True, str(value))


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
