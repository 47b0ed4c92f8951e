"""The patch catalogue: a GeoParquet table with a box and statistics for each patch, written in row groups."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from rsseg.scene.grid import Grid, PatchGrid

ROW_GROUP = 1 << 16
"""Patches in a row group."""


class CatalogueWriter:
    """Writes rows of patches to a GeoParquet file (version 1.1.0); memory is one row group.

    Columns: ``patch`` (its number, row by row), ``row`` and ``col`` (its first pixel), ``valid`` (the share of valid
    pixels), ``mean_BAND`` and ``std_BAND`` over the valid pixels in physical units, and ``geometry`` (its box, WKB).
    """

    def __init__(self, path: Path, grid: Grid, patches: PatchGrid, band_names: Sequence[str]) -> None:
        self.grid, self.patches, self.band_names = grid, patches, tuple(band_names)
        self._writer = pq.ParquetWriter(path, self._schema(), compression="zstd")
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, row: int, valid: NDArray, mean: NDArray, deviation: NDArray) -> None:
        """Add the row ``row`` of patches: valid shares (across,), means and deviations (across, bands)."""
        first = row * self.patches.cols.count
        top = self.patches.rows.start(row)
        lefts = np.array(self.patches.cols.starts)
        columns: list[Any] = [first + np.arange(len(lefts)), np.full(len(lefts), top, np.int32), lefts.astype(np.int32)]
        columns += [valid.astype(np.float32), *mean.T.astype(np.float32), *deviation.T.astype(np.float32)]
        arrays = [pa.array(column) for column in columns] + [pa.array(self._boxes(top, lefts), pa.binary())]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema()))
        self._rows += len(lefts)
        if self._rows >= ROW_GROUP:
            self._flush()

    def _boxes(self, top: int, lefts: NDArray) -> NDArray:
        """Each patch's outline as WKB, in the CRS; the transform may be rotated."""
        a, b, c, d, e, f = self.grid.transform
        rows = top + np.array([0, 0, 1, 1, 0]) * self.patches.patch
        cols = lefts[:, None] + np.array([0, 1, 1, 0, 0]) * self.patches.patch
        ring = np.stack([a * cols + b * rows + c, d * cols + e * rows + f], axis=-1)
        wkb: NDArray = shapely.to_wkb(shapely.polygons(ring))
        return wkb

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=2 * ROW_GROUP)
        self._waiting, self._rows = [], 0

    def _schema(self) -> pa.Schema:
        fields = [("patch", pa.int64()), ("row", pa.int32()), ("col", pa.int32()), ("valid", pa.float32())]
        fields += [(f"{kind}_{name}", pa.float32()) for kind in ("mean", "std") for name in self.band_names]
        return pa.schema([*fields, ("geometry", pa.binary())], metadata={"geo": json.dumps(self._geo())})

    def _geo(self) -> dict[str, Any]:
        crs = CRS.from_wkt(self.grid.crs).to_json_dict() if self.grid.crs else None
        column = {"encoding": "WKB", "geometry_types": ["Polygon"], "crs": crs, "bbox": list(self.grid.bounds)}
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
