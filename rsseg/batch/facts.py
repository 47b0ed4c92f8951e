"""What a scene says of itself without its pixels: for choosing scenes and for the summary."""

from typing import Any

from rsseg.scene.source import Scene

COPIED = ("sensor", "satellite", "time", "path", "row")


def facts_of(scene: Scene) -> dict[str, Any]:
    """Plain values: sensor, satellite, time, path and row where known; size, CRS, pixel size, units and bands."""
    grid, tags = scene.grid, scene.full_tags
    found: dict[str, Any] = {key: str(tags[key]) for key in COPIED if tags.get(key)}
    return {
        **found,
        "height": grid.height,
        "width": grid.width,
        "pixel_size": list(grid.pixel_size),
        "crs": crs_name(grid.crs),
        "units": scene.units,
        "bands": list(scene.band_names),
    }


def crs_name(wkt: str | None) -> str:
    """A coordinate system's own name; empty without one."""
    return wkt.split('"')[1] if wkt and wkt.count('"') > 1 else ""
