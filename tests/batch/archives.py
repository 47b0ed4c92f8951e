"""Archives of tiny LISS-IV products, and ways to break one with what a batch has to say of it."""

import os
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from products import LISS4_META_PLAIN, make_liss4, some_numbers, with_keys, write_band, zipped
from rasterio.crs import CRS

PATCH = 4
"""Side of the pipeline's patches: a scene of fewer pixels cannot be mapped."""

SHAPE = (24, 32)
"""Pixels of a product (height, width)."""


def write_pipeline(path: Path, **model: object) -> Path:
    """The quickest pipeline: k-means of three clusters on means of patches, without pictures."""
    settings = {"method": "kmeans", "classes": 3, "patch": PATCH, "stride": PATCH, "features": "mean", "starts": 1}
    content = {"models": {"kmeans": {**settings, **model}}, "consensus": False, "pictures": False}
    path.write_text(yaml.safe_dump(content))
    return path


def make_archive(folder: Path, count: int, *, shape: tuple[int, int] = SHAPE, first: int = 0) -> Path:
    """``count`` whole products named ``scene-000``, ...: every other one zipped."""
    for number in range(first, first + count):
        make_product(folder / f"scene-{number:03}", number, shape)
    return folder


def make_product(folder: Path, seed: int = 0, shape: tuple[int, int] = SHAPE) -> Path:
    """One whole product: a folder for even seeds, a .zip for odd ones."""
    numbers = some_numbers(shape, seed=seed)
    # some scenes are darker than others, so that their maps differ in more than noise
    make_liss4(folder, numbers=(numbers // (1 + seed % 3)).astype(np.uint16))
    return _zip(folder) if seed % 2 else folder


@dataclass(frozen=True)
class Broken:
    """A way to break a product: ``make`` writes it at a path without suffix and returns where it lies.

    ``says``: words of which the cause or the remedy of its failure must hold one.
    """

    name: str
    make: Callable[[Path], Path]
    says: Sequence[str]


def _zip(folder: Path) -> Path:
    target = zipped(folder, folder.with_suffix(".zip"))
    shutil.rmtree(folder)
    return target


def _missing_band(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    (path / "BAND3.tif").unlink()
    return path


def _cut_band(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    band = path / "BAND2.tif"
    band.write_bytes(band.read_bytes()[: band.stat().st_size * 2 // 3])
    return path


def _cut_zip(path: Path) -> Path:
    target = _zip(make_liss4(path, shape=SHAPE))
    target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    return target


def _damaged_zip(path: Path) -> Path:
    """Bytes of a band changed on the way, so that they do not unpack."""
    target = _zip(make_liss4(path, shape=SHAPE))
    with zipfile.ZipFile(target) as archive:
        member = archive.getinfo("BAND3.tif")
    content = bytearray(target.read_bytes())
    begin = member.header_offset + 30 + len(member.filename)
    for place in range(begin + member.compress_size // 4, begin + member.compress_size * 3 // 4):
        content[place] ^= 0xA5
    target.write_bytes(content)
    return target


def _empty_zip(path: Path) -> Path:
    path.with_suffix(".zip").write_bytes(b"")
    return path.with_suffix(".zip")


def _empty_raster(path: Path) -> Path:
    path.with_suffix(".tif").write_bytes(b"")
    return path.with_suffix(".tif")


def _meta(**changes: str | None) -> Callable[[Path], Path]:
    return lambda path: make_liss4(path, shape=SHAPE, meta=with_keys(LISS4_META_PLAIN, **changes))


def _no_meta(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    (path / "BAND_META.txt").unlink()
    return _zip(path)


def _other_size(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    write_band(path / "BAND4.tif", some_numbers((SHAPE[0], SHAPE[1] - 1))[0])
    return path


def _other_crs(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    write_band(path / "BAND4.tif", some_numbers(SHAPE)[0], crs=CRS.from_epsg(32643))
    return path


def _ortho_kit(path: Path) -> Path:
    return make_liss4(path, shape=SHAPE, meta=with_keys(LISS4_META_PLAIN, ProdCode="STUC00GOD"))


def _tiny(path: Path) -> Path:
    return make_liss4(path, numbers=some_numbers((PATCH - 1, PATCH + 9), fill=False))


def _no_data(path: Path) -> Path:
    return make_liss4(path, numbers=np.zeros((3, *SHAPE), np.uint16))


def _texts(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    for number in (2, 3, 4):
        (path / f"BAND{number}.tif").write_text("404 not found\n")
    return path


def _dangling(path: Path) -> Path:
    path.with_suffix(".tif").symlink_to(path.parent / "nowhere.tif")
    return path.with_suffix(".tif")


def _pipe(path: Path) -> Path:
    """A named pipe in place of a band: whoever opens it waits for ever."""
    make_liss4(path, shape=SHAPE)
    (path / "BAND2.tif").unlink()
    os.mkfifo(path / "BAND2.tif")
    return path


def _bomb(path: Path) -> Path:
    """Metadata of 256 MiB that are packed into 256 KiB."""
    _no_meta(path)
    target = path.with_suffix(".zip")
    with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("BAND_META.txt", b"\n" * (256 << 20))
    return target


def _foreign_vrt(path: Path) -> Path:
    """A VRT that hands out a file of the system as pixels."""
    band = (
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        '<SourceFilename relativeToVRT="0">/etc/passwd</SourceFilename><ImageOffset>0</ImageOffset>'
        "<PixelOffset>1</PixelOffset><LineOffset>16</LineOffset></VRTRasterBand>"
    )
    path.with_suffix(".vrt").write_text(f'<VRTDataset rasterXSize="16" rasterYSize="16">{band}</VRTDataset>')
    return path.with_suffix(".vrt")


def _two_in_one(path: Path) -> Path:
    make_liss4(path / "one", shape=SHAPE)
    make_liss4(path / "two", shape=SHAPE, seed=1)
    return _zip(path)


def _locked_zip(path: Path) -> Path:
    """A .zip whose members are said to be encrypted."""
    target = _zip(make_liss4(path, shape=SHAPE))
    content = bytearray(target.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 4)
    target.write_bytes(content)
    return target


def _folder_as_band(path: Path) -> Path:
    make_liss4(path, shape=SHAPE)
    (path / "BAND3.tif").unlink()
    (path / "BAND3.tif").mkdir()
    return path


def _link_to_itself(path: Path) -> Path:
    path.with_suffix(".zip").symlink_to(path.with_suffix(".zip").name)
    return path.with_suffix(".zip")


BROKEN = (
    Broken("missing-band", _missing_band, ["BAND3"]),
    Broken("cut-band", _cut_band, ["BAND2.tif"]),
    Broken("cut-zip", _cut_zip, ["damaged"]),
    Broken("damaged-zip", _damaged_zip, ["BAND3.tif"]),
    Broken("empty-zip", _empty_zip, ["damaged"]),
    Broken("empty-raster", _empty_raster, ["empty-raster.tif"]),
    Broken("no-lmax", _meta(B3_Lmax=None), ["B3_Lmax"]),
    Broken("nan-lmax", _meta(B3_Lmax="nan"), ["B3_Lmax"]),
    Broken("no-meta", _no_meta, ["BAND_META.txt"]),
    Broken("other-size", _other_size, ["different grids"]),
    Broken("other-crs", _other_crs, ["different grids", "CRS"]),
    Broken("ortho-kit", _ortho_kit, ["ortho"]),
    Broken("tiny", _tiny, ["patch"]),
    Broken("no-data", _no_data, ["valid"]),
    Broken("other-sensor", _meta(Sensor="AWIFS"), ["AWIFS"]),
    Broken("texts", _texts, ["BAND2.tif"]),
    Broken("dangling", _dangling, ["dangling.tif"]),
    Broken("pipe", _pipe, ["BAND2.tif"]),
    Broken("bomb", _bomb, ["BAND_META.txt"]),
    Broken("two-in-one", _two_in_one, ["2 products"]),
    Broken("foreign-vrt", _foreign_vrt, ["foreign-vrt.vrt"]),
    Broken("locked-zip", _locked_zip, ["locked", "encrypted", "password"]),
    Broken("folder-as-band", _folder_as_band, ["BAND3"]),
    Broken("link-to-itself", _link_to_itself, ["link-to-itself.zip"]),
)
"""The ways; the first twenty are those of the judged archive."""


def break_products(folder: Path, ways: Sequence[Broken] = BROKEN) -> dict[str, Broken]:
    """One product broken in each way, in the archive ``folder``; place -> way."""
    folder.mkdir(parents=True, exist_ok=True)
    return {way.make(folder / way.name).relative_to(folder).as_posix(): way for way in ways}
