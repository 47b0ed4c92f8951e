"""The fields of a map's polygons, batch by batch, and the table of its classes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rsseg.label.maps import LabelMap
from rsseg.label.polygons_lots import Polygons
from rsseg.label.polygons_sums import PixelSums
from rsseg.label.polygons_trace import ring_areas
from rsseg.publish.palette import LabelClass, class_of
from rsseg.publish.vector import column_types, cut, geometries, short_names, vector_format
from rsseg.scene.area import known_pixel_areas
from rsseg.scene.grid import Grid


class PolygonTable:
    """The polygons' fields, batch by batch, and what is counted by class on the way.

    Fields: ``id`` from 1, ``value`` and ``name`` of the class, ``pixels``, ``area_m2`` where something says how large
    pixels are, ``mean_BAND`` of each band of a scene in its units, and ``confidence``.

    Args:
        source: the map.
        sums: what was summed over pixels; with ``confidence`` its last scene is the confidence.
        output: the file, by whose suffix names may have to be short.
        confidence: whether there is one.
    """

    def __init__(self, source: LabelMap, sums: PixelSums, output: Path, confidence: bool) -> None:
        self.source, self.sums, self.grid = source, sums, source.grid
        self.heights = _heights(source.grid)
        self.pixel = float(np.diff(self.heights)[source.grid.height // 2]) if self.heights is not None else None
        kind = vector_format(output, source.grid.crs)
        self.shapefile = kind.name == "Shapefile"
        self.schema = self._schema(confidence)
        self.count = 0
        self.polygons, self.pixels, self.areas = np.zeros(256, np.int64), np.zeros(256, np.int64), np.zeros(256)

    def _schema(self, confidence: bool) -> pa.Schema:
        fields: dict[str, Any] = {"id": pa.int64(), "value": pa.int32(), "name": pa.string(), "pixels": pa.int64()}
        if self.heights is not None:
            fields["area_m2"] = pa.float64()
        means = [f"mean_{band.name}" for scene in self.sums.scenes for band in scene.bands]
        if confidence:
            means[-1] = "confidence"
        names = short_names([*fields, *means]) if self.shapefile else _distinct([*fields, *means])
        return column_types(dict(zip(names, [*fields.values(), *([pa.float64()] * len(means))], strict=True)))

    def batches(self, found: Iterator[Polygons]) -> Iterator[pa.RecordBatch]:
        """The rows of polygons, in their order."""
        names = np.array([self.name(value) for value in range(256)], object)
        for lot in found:
            if not len(lot):
                continue
            pixels = lot.totals[:, 0].astype(np.int64)
            columns: list[Any] = [self.count + 1 + np.arange(len(lot)), lot.value, names[lot.value], pixels]
            if self.heights is not None:
                columns.append(_areas(lot, self.heights))
                self.areas += np.bincount(lot.value, columns[-1], 256)
            for means in self.sums.means(lot.totals):
                columns += [pa.array(column, from_pandas=True) for column in means.T]
            columns.append(geometries(lot.points, lot.rings, lot.parts, self.grid))
            self.count += len(lot)
            self.polygons += np.bincount(lot.value, minlength=256)
            self.pixels += np.bincount(lot.value, pixels, 256).astype(np.int64)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, self.schema.types, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    @property
    def cut_names(self) -> list[int]:
        """Values of the classes whose names the format cannot hold whole."""
        whole = self.source.names
        return [item.value for item in self.classes if item.name != whole.get(item.value, item.name)]

    def name(self, value: int) -> str:
        """What a class is called in the file."""
        name = self.source.names.get(value) or f"cluster {value}"
        return cut(name, 254) if self.shapefile else name

    @property
    def classes(self) -> list[LabelClass]:
        """The classes that have polygons."""
        values = [int(value) for value in np.flatnonzero(self.polygons)]
        return [class_of(value, {value: self.name(value)}, self.source.colours) for value in values]

    def records(self) -> list[dict[str, Any]]:
        """The table of classes."""
        total = max(1, int(self.pixels.sum()))
        records = []
        for item in self.classes:
            value = item.value
            record = {"value": value, "name": item.name, "colour": item.colour}
            record |= {"polygons": int(self.polygons[value]), "pixels": int(self.pixels[value])}
            if self.heights is not None:
                record["area_m2"] = float(self.areas[value])
            records.append(record | {"share": int(self.pixels[value]) / total})
        return records


def _distinct(names: Sequence[str]) -> list[str]:
    """Field names that differ, whatever their case."""
    return short_names(names, limit=60)


def _heights(grid: Grid) -> NDArray[np.float64] | None:
    """The area of a column of pixels from the first row to each row of corners: (height + 1,), in square metres.

    None where nothing says how large pixels are.
    """
    rows = known_pixel_areas(grid)
    return None if rows is None else np.concatenate([[0.0], np.cumsum(rows)])


def _areas(lot: Polygons, heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The areas of polygons in square metres.

    Rows are drawn as high as their pixels are large: the plane has the areas of the ellipsoid then.
    """
    rings = ring_areas(lot.points[:, 0].astype(float), heights[lot.points[:, 1]], lot.rings)
    return np.asarray(np.add.reduceat(rings, lot.parts[:-1]))
