"""The stage ``zonal``: what a label map holds within each polygon of a file, as a table."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.errors import GridError, UsageError
from rsseg.files import check_outputs, replacing
from rsseg.label.maps import LabelMap
from rsseg.label.zonal import ZoneCounts, Zones, on_map, read_zones, zone_counts
from rsseg.progress import SILENT, Reporter
from rsseg.publish.tables import records_csv
from rsseg.publish.vector import write_zones
from rsseg.scene.polygons import box_text
from rsseg.scene.raster import CACHE_BYTES

SUFFIXES = (".csv", ".gpkg", ".parquet")


@dataclass(frozen=True)
class ZonalResult:
    """What was written: ``outside`` names the zones of which no part lies on the map, ``classes`` the names by value.

    ``records`` is the table, a record a zone.
    """

    table: str
    outside: list[str]
    classes: dict[int, str]
    records: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def zonal(
    labels: Path,
    zones: Path,
    output: Path,
    *,
    field: str | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> ZonalResult:
    """Write pixels, area and share of every class within each polygon of ``zones``.

    A pixel belongs to the zones that hold its centre; zones that overlap count in full. The table is a .csv, or a
    .gpkg or .parquet with the polygons.

    Raises: UsageError for another suffix or a field that is missing; InputError, GridError for polygons that cannot be
    laid on the map.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{output} has no suffix of a table; end it in one of {', '.join(SUFFIXES)}")
    check_outputs([output], [labels, zones], overwrite)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20), LabelMap(labels) as source:
        read = read_zones(zones, source.grid, field)
        part_on_map = on_map(read, source.grid)
        if not np.any(part_on_map):
            where = box_text(source.grid.bounds)
            raise GridError(f"no polygon of {zones} lies on {labels} in {where}; check the polygons' CRS")
        counts = zone_counts(source, read, reporter)
        classes = _classes(source, counts)
        records = _records(read, counts, part_on_map, classes)
    outside = [name for name, share in zip(read.names, part_on_map, strict=True) if share == 0]
    if outside:
        shown = ", ".join(outside[:5]) + (", ..." if len(outside) > 5 else "")
        reporter.say(f"{len(outside)} of {len(read)} zones lie off the map and hold nothing: {shown}")
    with replacing(output, overwrite) as part:
        if output.suffix.lower() == ".csv":
            part.write_text(records_csv(records), encoding="utf-8", newline="\n")
        else:
            write_zones(part, records, read.frame.geometry, classes)
    return ZonalResult(str(output), outside, classes, records)


def _classes(source: LabelMap, counts: ZoneCounts) -> dict[int, str]:
    """The classes that the map names, and those that a zone holds."""
    held = np.flatnonzero(counts.pixels.any(axis=0)).tolist()
    values = sorted({*source.names, *held} - {0})
    return {value: source.names.get(value) or f"cluster {value}" for value in values}


def _records(
    zones: Zones, counts: ZoneCounts, part_on_map: np.ndarray, classes: dict[int, str]
) -> list[dict[str, Any]]:
    """A record a zone; fields of classes are called by value, since names may be of any text.

    ``majority`` is 0 where a zone has no labelled pixel.
    """
    records = []
    for zone, (name, majority) in enumerate(zip(zones.names, counts.majority.tolist(), strict=True)):
        pixels = counts.pixels[zone]
        total, valid = int(pixels.sum()), int(pixels[1:].sum())
        record: dict[str, Any] = {"zone": name, "pixels": total, "valid_pixels": valid}
        record |= {"valid_share": _share(valid, total), "on_map": float(part_on_map[zone])}
        record |= {"majority": majority, "majority_name": classes.get(majority)}
        record["majority_share"] = _share(int(pixels[majority]), valid) if majority else None
        for value in classes:
            record[f"pixels_{value}"] = int(pixels[value])
            if counts.areas is not None:
                record[f"area_m2_{value}"] = float(counts.areas[zone, value])
            record[f"share_{value}"] = _share(int(pixels[value]), valid)
        records.append(record)
    return records


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
