"""Digital numbers of a product to a raster of top-of-atmosphere reflectance or radiance."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio

from rsseg import __version__
from rsseg.errors import CalibrationWarning, InputError, UsageError
from rsseg.files import check_outputs, replacing
from rsseg.pipeline.aoi import aoi_files
from rsseg.prefetch import prefetch
from rsseg.progress import SILENT, Reporter
from rsseg.scene.encoding import ENCODINGS, Converter, Encoding
from rsseg.scene.formats import Compression, StoredType
from rsseg.scene.grid import Window
from rsseg.scene.place import Place
from rsseg.scene.radiometry import Calibration
from rsseg.scene.raster import CACHE_BYTES, RasterWriter, label_windows, write_cog
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


def toa(
    source: Path,
    target: Path,
    *,
    bands: Sequence[str] | None = None,
    calibration: Calibration | None = None,
    fill: Literal["all", "any"] | None = None,
    dtype: StoredType = "uint16",
    clip: bool = False,
    bounds: tuple[float, float, float, float] | None = None,
    aoi: Path | None = None,
    cog: bool = False,
    compress: Compression = "deflate",
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Convert the product ``source`` to the GeoTIFF ``target`` and say what was written.

    The product is streamed in strips; memory is a few strips of 512 rows and GDAL's block cache. ``bounds`` is
    (left, bottom, right, top) in the scene's CRS, ``aoi`` a file of polygons, outside of which there is no data; a part
    says in its tags where it lies in the product, so that it is labelled as that would be. ``clip`` holds reflectance
    within [0, 1].

    Raises: UsageError if the scene is no product of digital numbers; InputError if it is damaged or has no valid pixel.
    """
    calibration = calibration or Calibration()
    check_outputs([target], [source, *aoi_files(aoi)], overwrite)
    if clip and calibration.quantity != "reflectance":
        raise UsageError("--clip holds reflectance within 0 and 1 and does not apply to radiance; leave it out")
    scene = open_scene(source, bands=bands, calibration=calibration, fill=fill, aoi=aoi)
    _refuse_converted(scene)
    window = scene.grid.window if bounds is None else scene.grid.window_of(bounds)
    encoding = ENCODINGS[calibration.quantity, dtype]
    _warn_of_saturation(scene, encoding)
    with replacing(target, overwrite) as part, rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20):
        plain = part.with_name(f"plain-{part.name}") if cog else part
        valid = _convert(
            scene, window, _writer(scene, window, plain, encoding, compress, cog), encoding, clip, reporter
        )
        if valid == 0:
            where = "within these bounds" if bounds else "in these polygons" if aoi else "in it"
            raise InputError(f"{source} has no valid pixel {where}: every pixel is fill")
        if cog:
            write_cog(plain, part, overview_resampling="AVERAGE", compress=compress, predictor=True)
    return _summary(scene, target, window, encoding, valid)


def _refuse_converted(scene: Scene) -> None:
    """Only digital numbers with their calibration are converted; everything else is named for what it is."""
    if scene.origin == "level-1":
        return
    if scene.origin == "level-2":
        reason = "holds surface reflectance (Level 2) already; use it as it is"
    elif scene.units == "uncalibrated":
        reason = (
            "is a plain raster without calibration metadata; give the product's folder or archive, with its "
            "BAND_META.txt or *_MTL.txt, or use the raster as it is: rsseg train, segment and run take it "
            "(with --scale if it is scaled reflectance)"
        )
    else:
        reason = f"holds {scene.units} already; use it as it is"
    raise UsageError(f"{scene.path} {reason}")


def _warn_of_saturation(scene: Scene, encoding: Encoding) -> None:
    """Values that the integer encoding cannot hold, with a sun close to the horizon."""
    dn_max = float(scene.tags.get("dn_max", 0))
    for band in scene.bands:
        top = dn_max * band.scale + band.offset
        if top > encoding.limits[1]:
            warnings.warn(
                f"{band.name} can reach {top:.1f}, more than {encoding.limits[1]:.2f}, the largest value that uint16 "
                "holds here; use --dtype float32 to keep such values",
                CalibrationWarning,
                stacklevel=3,
            )


def _convert(
    scene: Scene, window: Window, writer: RasterWriter, encoding: Encoding, clip: bool, reporter: Reporter
) -> int:
    """Write the window and close the writer; returns the number of valid pixels."""
    valid_pixels = 0
    strips = list(label_windows(scene.grid.crop(window)))
    convert = Converter(scene.bands, np.dtype(scene.dtype), encoding, clip)
    with writer, reporter.task(scene.units, len(strips)) as task:
        for strip, values, valid in prefetch(_strips(scene, window, strips)):
            writer.write(convert(values, valid), strip)
            valid_pixels += int(np.count_nonzero(valid))
            task.advance()
    return valid_pixels


def _strips(scene: Scene, window: Window, strips: Sequence[Window]) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    """Strips of the output with the scene's values and valid pixels there."""
    with scene.open() as reader:
        for strip in strips:
            place = Window(window.row + strip.row, window.col + strip.col, strip.height, strip.width)
            yield strip, *reader.read(place)


def _writer(
    scene: Scene, window: Window, path: Path, encoding: Encoding, compress: Compression, temporary: bool
) -> RasterWriter:
    count, place = len(scene.bands), (scene.place or Place.whole(scene.grid)).part(window)
    return RasterWriter(
        path,
        scene.grid.crop(window),
        count=count,
        dtype=encoding.dtype,
        nodata=encoding.nodata,
        band_names=scene.band_names,
        tags={**scene.full_tags, **_said(scene), **place.tags},
        scales=[encoding.scale] * count,
        offsets=[encoding.offset] * count,
        compress=compress,
        # what is copied to a COG and then deleted need not be small
        level=1 if temporary else None,
    )


def _said(scene: Scene) -> dict[str, str]:
    """What the file says of itself; the atmosphere is still in it, so that it is no surface reflectance."""
    quantity = "top-of-atmosphere reflectance" if scene.units == "reflectance" else "radiance in W m-2 sr-1 um-1"
    return {"units": scene.units, "quantity": quantity, "scene": scene.name, "software": f"rsseg {__version__}"}


def _summary(scene: Scene, target: Path, window: Window, encoding: Encoding, valid: int) -> dict[str, Any]:
    return {
        "output": str(target),
        "scene": scene.name,
        "bands": list(scene.band_names),
        "height": window.height,
        "width": window.width,
        "units": scene.units,
        "dtype": encoding.dtype,
        "scale": encoding.scale,
        "offset": encoding.offset,
        "valid_share": valid / (window.height * window.width),
        "tags": scene.full_tags,
    }
