"""``rsseg vectorize`` to a GeoPackage, against writing the finished polygons, and against rasterio and geopandas.

ours        regions below 9 pixels go to a neighbour; polygons with class, area and style.
simplified  the same with borders simplified to a pixel, shared edges kept.
limit       the map read in strips, and the very polygons of ``ours``, made before and lying in memory, written to a
            GeoPackage by GDAL (pyogrio, Arrow).
instead     what a user would write: the whole map, rasterio's ``sieve`` and ``shapes``, geopandas to a GeoPackage.
            It has neither areas nor a style.

The map is smooth noise of six classes, mirrored until it has the wanted size; with ``--full`` it is no larger than what
the plain way and the polygons in memory allow.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Line, Row

MINIMUM, PIECE, SMOOTH = 9, 2048, 4
LINES = (
    Line(
        "vectorize",
        "label map to polygons (GeoPackage)",
        __name__,
        {
            "ours": "rsseg vectorize",
            "simplified": "rsseg vectorize --simplify-pixels 1",
            "limit": "reading the map and writing the finished polygons",
            "instead": "rasterio sieve and shapes, geopandas to_file",
        },
        settings={"size": [2048, 2048]},
        full={"size": [8192, 8192]},
    ),
)


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The map, every other piece of it mirrored, so that no region ends where it is repeated."""
    import numpy as np
    from rasterio.crs import CRS
    from scipy.ndimage import gaussian_filter

    from rsseg.publish.labels import LabelMapWriter, default_classes
    from rsseg.scene.grid import Grid
    from rsseg.scene.raster import label_windows

    height, width = settings["size"]
    noise = np.random.default_rng(0).normal(size=(6, PIECE, PIECE)).astype(np.float32)
    piece = np.argmax([gaussian_filter(layer, SMOOTH) for layer in noise], axis=0).astype(np.uint8) + 1
    both = np.pad(piece, ((0, PIECE), (0, PIECE)), mode="symmetric")
    grid = Grid(height, width, (5.0, 0.0, 600000.0, 0.0, -5.0, 2500000.0), CRS.from_epsg(32645).to_wkt())
    with LabelMapWriter(folder / "map.tif", grid, default_classes(6), tags={}, overwrite=True) as writer:
        for window in label_windows(grid):
            rows = np.arange(window.row, window.row + window.height) % len(both)
            writer.write(both[np.ix_(rows, np.arange(width) % len(both))], window)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    return _vectorize(folder, "ours")


def simplified(folder: Path, settings: dict[str, Any]) -> Row:
    return _vectorize(folder, "simplified", simplify_pixels=1.0)


def _vectorize(folder: Path, name: str, **settings: Any) -> Row:
    from rsseg.pipeline.stages.vectorize import VectorizeSettings, vectorize

    target = folder / f"{name}.gpkg"
    began = time.perf_counter()
    found = vectorize(folder / "map.tif", target, VectorizeSettings(mmu_pixels=MINIMUM, **settings), overwrite=True)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "polygons": found.count, "file_mib": target.stat().st_size / 2**20}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import pyogrio

    from rsseg.label.maps import LabelMap, strips

    described, table = pyogrio.read_arrow(folder / "ours.gpkg")
    target = folder / "limit.gpkg"
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    with LabelMap(folder / "map.tif") as opened:
        for _ in strips((opened,), opened.grid):
            pass
    pyogrio.write_arrow(
        table,
        target,
        driver="GPKG",
        geometry_name=described["geometry_name"] or "wkb_geometry",
        geometry_type=described["geometry_type"],
        crs=described["crs"],
    )
    return {"seconds": time.perf_counter() - began, "polygons": len(table)}


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    import geopandas
    import rasterio
    from rasterio.features import shapes, sieve

    target = folder / "instead.gpkg"
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    with rasterio.open(folder / "map.tif") as dataset:
        labels, crs, transform = dataset.read(1), dataset.crs, dataset.transform
    labels = sieve(labels, MINIMUM)
    found = shapes(labels, mask=labels > 0, transform=transform)
    features = ({"geometry": geometry, "properties": {"value": int(value)}} for geometry, value in found)
    frame = geopandas.GeoDataFrame.from_features(features, crs=crs)
    frame.to_file(target, driver="GPKG")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "polygons": len(frame), "file_mib": target.stat().st_size / 2**20}
