"""``rsseg toa`` against copying the digital numbers by GDAL, and against whole bands by rasterio and numpy.

ours     the product's three bands to uint16 reflectance: GeoTIFF (``toa``), or COG with overviews (``toa-cog``).
limit    GDAL copies the digital numbers themselves from a VRT of the three files, without calibration, by the same
         creation options (DEFLATE, level, predictor, tiles, all cores, overviews) and with the same block cache.
instead  a script: each band read whole, calibrated and encoded by numpy, written with the same options; for a COG,
         copied to one by GDAL afterwards, as ours is. One tile of it is compared with ours, outside the clock.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row
from suite.scenes import product, timed

PARTS = {
    "ours": "rsseg toa",
    "limit": "GDAL copies the digital numbers from a VRT of the bands, compressed alike",
    "instead": "rasterio reads each whole band, numpy calibrates it, rasterio writes it with the same options",
}
DEFAULT, FULL = {"size": [3000, 3200]}, {"size": [16600, 18000]}
LINES = (
    Line(
        "toa",
        "ToA, GeoTIFF",
        __name__,
        PARTS,
        settings={**DEFAULT, "cog": False},
        full=FULL,
        aims=[Aim("ours / limit", 1.0)],
    ),
    Line("toa-cog", "ToA, COG", __name__, PARTS, settings={**DEFAULT, "cog": True}, full=FULL),
)

VRT_BAND = """<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{path}</SourceFilename>
<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>
<DstRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/></SimpleSource></VRTRasterBand>"""


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The product, and a VRT of its bands."""
    source, (height, width) = product(folder, settings["size"]), settings["size"]
    bands = [
        VRT_BAND.format(band=i + 1, path=(source / f"BAND{i + 2}.tif").resolve(), width=width, height=height)
        for i in range(3)
    ]
    text = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{"".join(bands)}</VRTDataset>'
    (folder / "bands.vrt").write_text(text)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    from rsseg.pipeline.stages.toa import toa

    target = folder / "ours.tif"
    source = product(folder, settings["size"])
    seconds = timed(toa, source, target, cog=settings["cog"], overwrite=True)
    return {"seconds": seconds, "file_mib": target.stat().st_size / 2**20}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import rasterio
    from rasterio.shutil import copy

    from rsseg.scene.raster import CACHE_BYTES, creation_options

    target = folder / "limit.tif"
    target.unlink(missing_ok=True)
    began = time.perf_counter()
    if settings["cog"]:
        _to_cog(folder / "bands.vrt", target)
    else:
        with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20):
            copy(folder / "bands.vrt", target, driver="GTiff", **creation_options("deflate", 2, None, 512))
    return {"seconds": time.perf_counter() - began, "file_mib": target.stat().st_size / 2**20}


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    import numpy as np
    import rasterio

    from rsseg.scene.raster import creation_options
    from rsseg.scene.sensors import open_scene

    source = product(folder, settings["size"])
    lines = [(band.scale, band.offset) for band in open_scene(source).bands]  # as the metadata gives them
    target, plain = folder / "instead.tif", folder / "instead_plain.tif"
    began = time.perf_counter()
    with rasterio.open(source / "BAND2.tif") as first:
        profile = {"driver": "GTiff", "height": first.height, "width": first.width, "crs": first.crs}
        profile |= {"transform": first.transform, "count": 3, "dtype": "uint16", "nodata": 65535}
    options = creation_options("deflate", 2, 1 if settings["cog"] else None, 512)
    fill = np.ones((profile["height"], profile["width"]), dtype=bool)
    with rasterio.open(plain if settings["cog"] else target, "w", **profile, **options) as written:
        for number, (scale, offset) in enumerate(lines):
            with rasterio.open(source / f"BAND{number + 2}.tif") as band:
                counts = band.read(1)
            fill = counts == 0
            reflectance = counts.astype(np.float32) * np.float32(scale) + np.float32(offset)
            stored = np.clip(np.rint((reflectance + 0.1) * 1e4), 0, 65534).astype(np.uint16)
            stored[fill] = 65535
            written.write(stored, number + 1)
    if settings["cog"]:
        _to_cog(plain, target)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "file_mib": target.stat().st_size / 2**20, "apart": _apart(folder / "ours.tif", target)}


def _to_cog(source: Path, target: Path) -> None:
    from rsseg.scene.raster import write_cog

    write_cog(source, target, overview_resampling="AVERAGE", predictor=True)


def _apart(first: Path, second: Path) -> float:
    """The largest difference, in counts, of valid pixels of a tile in the middle."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    with rasterio.open(first) as a, rasterio.open(second) as b:
        window = Window(max(0, a.width // 2 - 256), max(0, a.height // 2 - 256), 512, 512)
        x, y = a.read(window=window).astype(np.int64), b.read(window=window).astype(np.int64)
    valid = (x != 65535) & (y != 65535)
    return float(np.abs(x - y)[valid].max(initial=0))
