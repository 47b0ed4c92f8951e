"""What an area of interest depends on."""

from pathlib import Path


def aoi_files(polygons: Path | None) -> list[Path]:
    """The files that an area of interest depends on: a Shapefile's coordinate system lies beside it."""
    if polygons is None:
        return []
    beside = polygons.with_suffix(".prj")
    return [polygons, beside] if polygons.suffix.lower() == ".shp" and beside.exists() else [polygons]
