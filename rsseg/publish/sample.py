"""The points of a sample as files to fill in: a GeoPackage with its strata, or two tables."""

from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyogrio

from rsseg.files import replacing, write_text
from rsseg.label.sample_design import FIELD, STRATUM, TABLE, SampleDesign, strata_path
from rsseg.label.sampling import Drawn
from rsseg.publish import ogr
from rsseg.publish.tables import records_csv
from rsseg.scene.grid import Grid

SUFFIXES = (".gpkg", ".csv")


def sample_files(target: Path) -> list[Path]:
    """What ``write_sample`` writes."""
    return [target, strata_path(target)] if target.suffix.lower() == ".csv" else [target]


def write_sample(target: Path, drawn: Drawn, design: SampleDesign, grid: Grid, overwrite: bool = False) -> None:
    """Write the points with the fields id, row, col, stratum, map_class and an empty ``reference``.

    A GeoPackage (.gpkg) has them at the centres of their pixels in the map's CRS, and the strata in a table beside
    them; a .csv has no geometry, and the strata in ``STEM.strata.csv``.
    """
    columns = _columns(drawn, design)
    if target.suffix.lower() == ".csv":
        records = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
        write_text(strata_path(target), records_csv(design.records()), overwrite)
        write_text(target, records_csv(records), overwrite)
        return
    xs, ys = grid.xy(drawn.rows + 0.5, drawn.cols + 0.5)  # type: ignore[arg-type]
    points = geopandas.GeoDataFrame(columns, geometry=geopandas.points_from_xy(xs, ys), crs=grid.crs)
    with replacing(target, overwrite) as part, ogr.writing(part):
        pyogrio.write_dataframe(points, part, layer="sample", driver="GPKG", geometry_type="Point")
        pyogrio.write_dataframe(pandas.DataFrame(design.records()), part, layer=TABLE, driver="GPKG", append=True)


def _columns(drawn: Drawn, design: SampleDesign) -> dict[str, Any]:
    values = np.array([stratum.stratum for stratum in design.strata], np.int64)[drawn.strata]
    names = [design.strata[number].name for number in drawn.strata.tolist()]
    count = len(values)
    columns = {"id": np.arange(1, count + 1).tolist(), "row": drawn.rows.tolist(), "col": drawn.cols.tolist()}
    return columns | {STRATUM: values.tolist(), "map_class": names, FIELD: [""] * count}
