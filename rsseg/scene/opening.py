"""Opening rasters of others: formats of an allow-list, local files, and headers that say plausible things."""

import html
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from rasterio._path import _UnparsedPath
from rasterio.io import DatasetReader

from rsseg.errors import InputError
from rsseg.scene.gdal import gdal_errors, losses_told, quiet
from rsseg.scene.shown import shown
from rsseg.scene.trust import WAY_OUT, check_file, is_inside, kind_of
from rsseg.scene.vrt import is_vrt, sources_of

PLAIN = ("GTiff", "JP2OpenJPEG", "HFA", "ENVI", "EHdr", "RST", "SAGA", "PNG", "JPEG", "BMP")
"""Formats that hold one image each. Left out: those that fetch from the network, run code, hold many sub-datasets, or
hand their pixels over to a file of any other format (ERS, PCIDSK)."""

DRIVERS = (*PLAIN, "VRT")

ARCHIVED = ("GTiff", "JP2OpenJPEG", "PNG", "JPEG", "BMP")
"""Formats read in archives: those of one file."""

LONGEST_SIDE = 1 << 20
MOST_BANDS = 1000
LARGEST_BLOCK = 1 << 30
"""Bytes of one tile or strip, which is held in memory whole."""

SMALL = 1 << 30
"""Bytes of pixels up to which a raster may be as empty as it likes."""

SPARSEST = 100_000
"""Bytes of pixels that a byte of a larger file may stand for: uniform tiles reach about 30 000."""

NESTED = 4
"""Virtual rasters of virtual rasters."""

Listing = dict[Path, dict[str, list[str]]]
"""Names of files by folder and by what stands before their first dot, as far as folders were listed."""


def open_raster(path: Path | str) -> DatasetReader:
    """Open a raster of a known format for reading; ``path`` may be GDAL's name of a file in an archive.

    Raises: InputError if it is missing, empty, no raster of a format in ``DRIVERS``, of implausible size, or made of
    files outside its folder.
    """
    name = str(path)
    if name.startswith(("/vsizip/{/", "/vsitar/{/")) and not name[8:].startswith("{/vsi"):
        return _plausible(_open(name, ARCHIVED, siblings=False), name, _archive_size(name))
    return _open_file(Path(name), DRIVERS, {}, NESTED)[0]


def _archive_size(name: str) -> int:
    """Bytes of the archive in GDAL's name of one of its members; braces can stand in both."""
    ends = [match.start() for match in re.finditer("}/", name)]
    return max((path.stat().st_size for end in ends if (path := Path(name[9:end])).is_file()), default=0)


def _open_file(path: Path, drivers: Sequence[str], listing: Listing, nested: int) -> tuple[DatasetReader, int]:
    """The open raster, and the bytes of the files that it is made of."""
    check_file(path)
    _check_companions(path, listing, nested)
    name, size = str(path), path.stat().st_size
    if "VRT" not in drivers or not _is_vrt(path):
        dataset = _open(name, [driver for driver in drivers if driver != "VRT"], siblings=True)
        return _plausible(dataset, name, size), size
    if nested == 0:
        raise InputError(f"{shown(name, 500)} lies {NESTED} virtual rasters deep; make a GeoTIFF with gdal_translate")
    for source in sources_of(path):
        dataset, its_size = _open_file(source, drivers, listing, nested - 1)
        dataset.close()
        size += its_size
    return _plausible(_open(name, ["VRT"], siblings=True), name, size), size


def _is_vrt(path: Path) -> bool:
    try:
        return is_vrt(path)
    except OSError as problem:
        raise InputError(f"cannot read {shown(path, 500)}: {problem.strerror}") from problem


def _open(name: str, drivers: Sequence[str], *, siblings: bool) -> DatasetReader:
    """Open with these drivers alone; without ``siblings`` nothing beside the file is looked at."""
    environment = rasterio.Env() if siblings else rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")
    # an absolute path cannot be taken for one of the many other things that GDAL and rasterio read a name as
    given = name if name.startswith("/vsi") else str(Path(name).absolute())
    with (
        quiet(),
        losses_told(shown(name, 500)),
        environment,
        gdal_errors(f"read {shown(name, 500)}: it is no raster of a format that is read, or it is damaged"),
    ):
        return DatasetReader(_UnparsedPath(given), driver=list(drivers))


# -- what lies beside a raster and is opened with it


def _check_companions(path: Path, listing: Listing, nested: int) -> None:
    """Check overviews, masks, headers and georeferences in files of the same name.

    Raises: InputError for a pipe or device, a link that leads out, or a file that hands over to another one.
    """
    places = (path.parent, Path(os.path.realpath(path)).parent)
    for other in _companions(path, listing):
        kind = kind_of(other)
        if kind not in (None, "a folder", "missing"):
            raise InputError(f"{shown(other, 500)} beside {shown(path.name)} is {kind}; remove it")
        if kind is not None or not _is_read_along(other.name.casefold()):
            continue
        if other.is_symlink() and not is_inside(other, places):
            raise InputError(f"{shown(other, 500)} is a link that leads out of its folder; {WAY_OUT}")
        _check_companion(other, listing, nested)


def _check_companion(path: Path, listing: Listing, nested: int) -> None:
    suffix = path.suffix.casefold()
    if suffix in (".ovr", ".msk") and path.stat().st_size > 0:
        # GDAL would open it with any driver
        _open_file(path, ("GTiff", "HFA"), listing, nested)[0].close()
    elif path.name.casefold().endswith(".aux.xml"):
        with path.open("rb") as file:
            if any(b"OVERVIEW_FILE" in block.upper() for block in _blocks(file.read(64 << 20))):
                raise InputError(f"{shown(path, 500)} names overviews in another file, which is not read; remove it")


def _blocks(text: bytes) -> list[bytes]:
    """The text itself, and with its character references undone as far as they can hide a name."""
    return [text, html.unescape(text.decode("latin-1")).encode("latin-1", "replace")] if b"&#" in text else [text]


def _companions(path: Path, listing: Listing) -> list[Path]:
    """Other files in the folder whose names start like this one's."""
    if path.parent not in listing:
        listing[path.parent] = _by_first_word(path.parent)
    start, word = f"{path.stem}.".casefold(), _first_word(path.name)
    names = [name for name in listing[path.parent].get(word, ()) if name.casefold().startswith(start)]
    return [path.parent / name for name in names if name != path.name]


def _by_first_word(folder: Path) -> dict[str, list[str]]:
    try:
        names = os.listdir(folder)  # noqa: PTH208 - folders can hold tens of thousands
    except OSError:  # a folder that lets its files be read, but not listed
        return {}
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(_first_word(name), []).append(name)
    return found


def _first_word(name: str) -> str:
    return name.partition(".")[0].casefold()


def _is_read_along(name: str) -> bool:
    """Whether GDAL reads a file of this name (in lower case) with the one that it lies beside."""
    endings = (".ovr", ".msk", ".aux", ".aux.xml", ".rrd", ".ige", ".hdr", ".rdc", ".smp", ".sgrd", ".mgrd", ".prj")
    return name.endswith((*endings, ".tab", ".clr", ".stx", "w", ".wld", ".sdat", ".doc", ".ref"))


# -- what an open raster says of itself


def _plausible(dataset: DatasetReader, name: str, size: int) -> DatasetReader:
    """The dataset, closed if it is refused; ``size`` is that of its files in bytes."""
    try:
        with gdal_errors(f"read the header of {shown(name, 500)}: it is damaged"):
            _check_plausible(dataset, shown(name, 500), size)
            _check_pointers(dataset, name)
            # GDAL reads these when they are first asked for, which is too late to tell damage from another fault
            _ = dataset.crs, dataset.colorinterp, dataset.mask_flag_enums, dataset.tags()
    except BaseException:
        dataset.close()
        raise
    return dataset


def _check_plausible(dataset: DatasetReader, name: str, size: int) -> None:
    if dataset.count == 0:
        raise InputError(
            f"{name} is only sub-datasets, which are not read as a scene; convert it to a GeoTIFF (gdal_translate)"
        )
    if dataset.count > MOST_BANDS:
        raise InputError(
            f"{name} says that it has {dataset.count} bands, above the {MOST_BANDS} that are read; choose "
            "some of them with gdal_translate -b"
        )
    sides = f"{dataset.height} x {dataset.width} pixels (rows x columns)"
    if max(dataset.shape) > LONGEST_SIDE:
        raise InputError(
            f"{name} says that it is {sides}, above the {LONGEST_SIDE} a side that are read; is it damaged? "
            "else cut it with gdal_translate -srcwin"
        )
    if not abs(dataset.transform.determinant) > 0 or not np.isfinite(tuple(dataset.transform)).all():
        raise InputError(
            f"{name} has a geotransform whose pixels have no area ({_numbers(dataset)}); correct it with gdal_edit "
            "-a_ullr, or take it away with gdal_edit -unsetgt"
        )
    pixel = [_bytes(dtype) for dtype in dataset.dtypes]
    pixels = dataset.height * dataset.width * sum(pixel)
    if pixels > SMALL and pixels > SPARSEST * size:
        raise InputError(
            f"{name} says that it is {sides} a band, but has only {size} bytes; it is damaged, get it again"
        )
    block = max(h * w * each for (h, w), each in zip(dataset.block_shapes, pixel, strict=True))
    if block > LARGEST_BLOCK:
        raise InputError(
            f"{name} is cut into tiles of {block >> 20} MiB, above the {LARGEST_BLOCK >> 20} MiB that are "
            "read; cut it anew with gdal_translate -co TILED=YES"
        )


def _numbers(dataset: DatasetReader) -> str:
    return ", ".join(f"{number:g}" for number in tuple(dataset.transform)[:6])


def _bytes(dtype: str) -> int:
    return 4 if dtype.startswith("complex_int") else np.dtype(dtype).itemsize


def _check_pointers(dataset: DatasetReader, name: str) -> None:
    """Check that the raster itself names no file outside its folder."""
    tags: list[Mapping[str, str]] = [dataset.tags(ns="OVERVIEWS"), dataset.tags(1, ns="OVERVIEWS")]
    if any(key.upper() == "OVERVIEW_FILE" for items in tags for key in items):
        raise InputError(
            f"{shown(name, 500)} names overviews in another file, which is not read; copy it anew with gdal_translate"
        )
    if dataset.driver in ARCHIVED or dataset.driver == "VRT":
        return
    path = Path(name)
    places = (path.parent, Path(os.path.realpath(path)).parent)
    for other in dataset.files:
        if other.startswith("/vsi") or not is_inside(Path(other), places):
            raise InputError(
                f"{shown(name, 500)} takes pixels from {shown(other)}, which lies outside its folder; {WAY_OUT}"
            )
