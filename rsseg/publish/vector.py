"""Polygons written to GeoPackage, FlatGeobuf, Shapefile, GeoJSON and GeoParquet, batch by batch, with their style.

The format is that of the file's suffix. Memory is one batch (FlatGeobuf: and 40 bytes a polygon for its index).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsseg.errors import GridError, UsageError
from rsseg.publish import ogr
from rsseg.publish.palette import LabelClass
from rsseg.publish.vector_styles import layer_style
from rsseg.scene.grid import Grid

LAYER = "polygons"
GEOMETRY = "geom"

METADATA = "rsseg"
"""The key of what a file says of its making."""


@dataclass(frozen=True)
class VectorFormat:
    """A file format: its GDAL driver (None: written without GDAL) and the other files that belong to it."""

    name: str
    driver: str | None
    others: tuple[str, ...] = ()
    layer_options: Mapping[str, str] | None = None


FORMATS = {
    ".gpkg": VectorFormat("GeoPackage", "GPKG", (), {"GEOMETRY_NAME": GEOMETRY}),
    ".parquet": VectorFormat("GeoParquet", None),
    ".fgb": VectorFormat("FlatGeobuf", "FlatGeobuf"),
    ".shp": VectorFormat(
        "Shapefile",
        "ESRI Shapefile",
        (".shx", ".dbf", ".prj", ".cpg"),
        {"ENCODING": "UTF-8", "DBF_DATE_LAST_UPDATE": ogr.DATE},
    ),
    ".geojson": VectorFormat("GeoJSON", "GeoJSON", (), {"RFC7946": "YES", "WRITE_NAME": "NO"}),
}


def vector_format(path: Path, crs: str | None) -> VectorFormat:
    """The format of a file by its suffix.

    Raises: UsageError for another suffix; GridError for a GeoJSON of a map without CRS.
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path} has no suffix of a vector format; end it in one of {', '.join(FORMATS)}")
    if found.name == "GeoJSON" and crs is None:
        raise GridError(f"{path}: GeoJSON is in longitude and latitude, but the map has no CRS; write a .gpkg")
    return found


def outputs(path: Path, crs: str | None) -> list[Path]:
    """The files that are written: the others first, ``path`` last."""
    kind = vector_format(path, crs)
    suffixes = [suffix for suffix in kind.others if suffix != ".prj" or crs is not None]
    beside = [] if kind.driver == "GPKG" else [path.with_suffix(".qml"), path.with_suffix(".classes.csv")]
    return [*(path.with_suffix(suffix) for suffix in suffixes), *beside, path]


def leftovers(path: Path) -> list[Path]:
    """Indexes and journals that other programs keep beside a file; they tell of the one that is replaced."""
    if path.suffix.lower() == ".gpkg":
        return [path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal")]
    if path.suffix.lower() == ".shp":
        return [path.with_suffix(end) for end in (".qix", ".sbn", ".sbx")]
    return []


def geometries(points: NDArray, rings: NDArray[np.int64], parts: NDArray[np.int64], grid: Grid) -> NDArray:
    """Polygons of corners (n, 2), (column, row), as WKB in the grid's CRS; outer rings run counter-clockwise.

    Ring i has the points from ``rings[i]``, the first of them not repeated, polygon j the rings from ``parts[j]``.
    """
    a, b, c, d, e, f = grid.transform
    ring = np.repeat(np.arange(len(rings) - 1), np.diff(rings))
    if a * e - b * d < 0:  # rows downwards: what is clockwise in the raster is clockwise on the map
        points = points[rings[:-1][ring] + rings[1:][ring] - 1 - np.arange(len(points))]
    xy = np.empty((len(points), 2))
    # element by element, not as a matrix product: neighbours get the same bits at the same corner
    xy[:, 0] = a * points[:, 0] + b * points[:, 1] + c
    xy[:, 1] = d * points[:, 0] + e * points[:, 1] + f
    lines = shapely.linearrings(xy, indices=ring)
    # the largest polygon sets the peak of memory
    del xy, points, ring
    shapes = shapely.polygons(lines, indices=np.repeat(np.arange(len(parts) - 1), np.diff(parts)))
    del lines
    return np.asarray(shapely.to_wkb(shapes))


def short_names(names: Sequence[str], limit: int = 10) -> list[str]:
    """Field names of at most ``limit`` bytes that differ, whatever their case: ends are cut, then numbered."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        short, number = cut(name, limit), 1
        while short.casefold() in taken:
            short, number = f"{cut(name, limit - len(str(number)) - 1)}_{number}", number + 1
        taken.add(short.casefold())
        found.append(short)
    return found


def cut(text: str, limit: int) -> str:
    """The beginning of a text that takes at most ``limit`` bytes of UTF-8."""
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def write_vector(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], grid: Grid, provenance: str | None = None
) -> None:
    """Write batches of polygons with a last column ``geom`` of WKB to ``path`` itself.

    ``provenance``: a text that is kept as the metadata ``rsseg`` of a GeoPackage's layer or a GeoParquet file, and as
    the description of FlatGeobuf and GeoJSON; a Shapefile has no place for it.

    Raises: RssegError if it cannot be written; whatever ``batches`` raises.
    """
    kind = vector_format(path, grid.crs)
    if kind.driver is None:
        _write_parquet(path, schema, batches, grid, {METADATA: provenance} if provenance else {})
        return
    source = _Source(batches)
    try:
        with ogr.writing(path):
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(schema, source),
                path,
                layer=LAYER if kind.driver == "GPKG" else path.stem,
                driver=kind.driver,
                geometry_name=GEOMETRY,
                geometry_type="Polygon",
                crs=grid.crs,
                **_told(kind, provenance),
            )
    finally:
        # through the C interface of Arrow only the text of an exception comes
        if source.problem is not None:
            raise source.problem


def write_style_and_classes(path: Path, classes: Sequence[LabelClass], records: Sequence[Mapping[str, Any]]) -> None:
    """Add the table of classes (a record each) and the default style to a GeoPackage that has its polygons."""
    style = pd.DataFrame([layer_style(LAYER, GEOMETRY, classes)])
    style["update_time"] = pd.to_datetime(style["update_time"])
    with ogr.writing(path):
        pyogrio.write_dataframe(pd.DataFrame(records), path, layer="classes", driver="GPKG")
        pyogrio.write_dataframe(style, path, layer="layer_styles", driver="GPKG", layer_options={"FID": "id"})


def write_zones(path: Path, records: Sequence[Mapping[str, Any]], shapes: Any, classes: Mapping[int, str]) -> None:
    """Write records (one a zone) with their polygons, a GeoSeries, to ``path`` itself: GeoPackage or GeoParquet.

    A GeoPackage has a table ``classes`` of the names by value, too.
    """
    frame = geopandas.GeoDataFrame(pd.DataFrame(records), geometry=shapes.values, crs=shapes.crs)
    if path.suffix.lower() == ".parquet":
        frame.to_parquet(path, index=False, compression="zstd")
        return
    table = pd.DataFrame({"value": list(classes), "name": list(classes.values())})
    with ogr.writing(path):
        pyogrio.write_dataframe(
            frame, path, layer="zones", driver="GPKG", promote_to_multi=True, layer_options={"GEOMETRY_NAME": GEOMETRY}
        )
        pyogrio.write_dataframe(table, path, layer="classes", driver="GPKG")


class _Source:
    """Batches that remember what went wrong with them."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.problem: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches
        except BaseException as problem:
            self.problem = problem
            raise


def _told(kind: VectorFormat, provenance: str | None) -> dict[str, Any]:
    """GDAL's options for a layer, those that keep its provenance included."""
    options = dict(kind.layer_options or {})
    if provenance is None or kind.driver == "ESRI Shapefile":
        return {"layer_options": options}
    if kind.driver == "GPKG":
        return {"layer_options": options, "layer_metadata": {METADATA: provenance}}
    return {"layer_options": {**options, "DESCRIPTION": provenance}}


def _write_parquet(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], grid: Grid, metadata: Mapping[str, str]
) -> None:
    crs = CRS.from_wkt(grid.crs).to_json_dict() if grid.crs else None
    column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs, "orientation": "counterclockwise"}
    geo = {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}
    with pq.ParquetWriter(
        path, schema.with_metadata({"geo": json.dumps(geo), **metadata}), compression="zstd"
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)


def column_types(fields: Mapping[str, Any]) -> pa.Schema:
    """A schema of fields by name, and the column of geometries."""
    return pa.schema([*fields.items(), (GEOMETRY, pa.binary())])
