"""Rasters that point elsewhere or lie about their size: refused in one sentence, without network or memory."""

import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from products import UTM50, some_numbers, write_band

from rsseg.errors import InputError
from rsseg.scene import opening
from rsseg.scene.sensors import open_scene

SHAPE = (30, 40)


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert message.isprintable() and path.name in message
    return message


def read(path: Path, shape: tuple[int, int] = (10, 10)) -> np.ndarray:
    with open_scene(path).open() as reader:
        return reader.read(reader.scene.grid.window, shape)[0]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write_band(tmp_path / "scene.tif", some_numbers(SHAPE, 1, fill=False)[0])
    return tmp_path / "scene.tif"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The address of a listening server, and the first lines of what it was asked."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(200).decode("latin-1"))
                    connection.sendall(b"HTTP/1.1 404 none\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)


def service(address: str) -> str:
    return (
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>http://{address}/${{z}}</ServerUrl></Service><DataWindow>"
        "<UpperLeftX>0</UpperLeftX><UpperLeftY>15</UpperLeftY><LowerRightX>20</LowerRightX><LowerRightY>0</LowerRightY>"
        "<SizeX>20</SizeX><SizeY>15</SizeY></DataWindow><BandsCount>1</BandsCount><DataType>UInt16</DataType></GDAL_WMS>"
    )


def source(name: object, relative: int = 1, inside: str = "") -> str:
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename>{inside}'
        "<SourceBand>1</SourceBand></SimpleSource>"
    )


def vrt(path: Path, content: str, *, band: str = "", root: str = "", more: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}" {root}>{more}'
        f'<VRTRasterBand dataType="UInt16" band="1" {band}>{content}</VRTRasterBand></VRTDataset>'
    )
    return path


# -- virtual rasters


def test_virtual_rasters_of_files_below_them_are_read(scene: Path, tmp_path: Path) -> None:
    expected = read(scene)
    first = vrt(tmp_path / "a.vrt", source("scene.tif"))
    second = vrt(tmp_path / "b.vrt", source(scene, relative=0))
    third = vrt(tmp_path / "c.vrt", source("a.vrt"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.vrt").symlink_to(first)
    for path in (first, second, third, tmp_path / "elsewhere" / "link.vrt"):
        np.testing.assert_array_equal(read(path), expected)


def test_a_warp_of_a_local_file_is_read(scene: Path, tmp_path: Path) -> None:
    with rasterio.open(scene) as dataset, rasterio.vrt.WarpedVRT(dataset, crs="EPSG:4326") as warped:
        rasterio.shutil.copy(warped, tmp_path / "w.vrt", driver="VRT")
    assert "<SourceDataset" in (tmp_path / "w.vrt").read_text()
    assert read(tmp_path / "w.vrt").max() > 0
    hostile = (tmp_path / "w.vrt").read_text().replace("scene.tif<", "/../../../../../../etc/passwd<")
    (tmp_path / "x.vrt").write_text(hostile)
    assert "outside its own folder" in refusal(tmp_path / "x.vrt")


@pytest.mark.parametrize(
    ("name", "relative", "why"),
    [
        ("/etc/passwd", 0, "outside its own folder; copy it there, or set RSSEG_ALLOW_OUTSIDE=1"),
        ("../../../../../../../../etc/passwd", 1, "outside its own folder"),
        ("sub/../../scene.tif", 1, "outside its own folder"),
        ("out.tif", 1, "outside its own folder"),
        ("/vsicurl/http://ADDRESS/a.tif", 0, "no local file"),
        ("/vsicurl/http://ADDRESS/a.tif", 1, "no local file"),
        ("/vsizip//vsicurl/http://ADDRESS/a.zip/a.tif", 0, "no local file"),
        ("/vsis3/bucket/a.tif", 0, "no local file"),
        ("http://ADDRESS/a.tif", 0, "no local file"),
        ("WMS:http://ADDRESS/?LAYERS=a", 0, "no local file"),
        ("GTIFF_DIR:1:scene.tif", 1, "no local file"),
        ("vrt://scene.tif", 1, "no local file"),
        ("&lt;GDAL_WMS/&gt;", 0, "not a plain file name"),
        ("inside.tif<!-- -->x", 1, "not a plain file name"),
        (" inside.tif", 1, "not a plain file name"),
        ("", 1, "is a folder"),
        ("none.tif", 1, "does not exist"),
        ("service.xml", 1, "no raster of a format that is read"),
        ("pipe.tif", 1, "is a pipe"),
    ],
)
def test_sources_elsewhere_are_refused_by_name_and_never_fetched(
    scene: Path, tmp_path: Path, server: tuple[str, list[str]], name: str, relative: int, why: str
) -> None:
    folder = tmp_path / "v"
    (folder / "sub").mkdir(parents=True)
    write_band(folder / "inside.tif", some_numbers(SHAPE, 1)[0])
    (folder / "out.tif").symlink_to(scene)
    (folder / "service.xml").write_text(service(server[0]))
    os.mkfifo(folder / "pipe.tif")
    path = vrt(folder / "a.vrt", source(name.replace("ADDRESS", server[0]), relative))
    with pytest.raises(InputError) as caught:
        read(path)
    assert why in str(caught.value) and str(caught.value).isprintable()
    raw = "<ImageOffset>0</ImageOffset><PixelOffset>2</PixelOffset><LineOffset>80</LineOffset>"
    raw += f'<SourceFilename relativeToVRT="{relative}">{name.replace("ADDRESS", server[0])}</SourceFilename>'
    with pytest.raises(InputError):
        read(vrt(folder / "raw.vrt", raw, band='subClass="VRTRawRasterBand"'))
    assert server[1] == []


def test_allowing_the_outside_opens_local_files_and_no_network(
    scene: Path, tmp_path: Path, server: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RSSEG_ALLOW_OUTSIDE", "1")
    np.testing.assert_array_equal(read(vrt(tmp_path / "v" / "a.vrt", source("../scene.tif"))), read(scene))
    remote = vrt(tmp_path / "v" / "b.vrt", source(f"/vsicurl/http://{server[0]}/a.tif", 0))
    assert "no local file" in refusal(remote)
    assert server[1] == []


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (
            {"content": "<PixelFunctionType>mul</PixelFunctionType>", "band": 'subClass="VRTDerivedRasterBand"'},
            "VRTDerivedRasterBand",
        ),
        ({"content": "<pixelfunctionlanguage>Python</pixelfunctionlanguage>"}, "computes pixels with a function"),
        ({"content": "<PixelFunctionCode>import os</PixelFunctionCode>"}, "computes pixels with a function"),
        ({"content": "", "band": 'subClass="VRTDerivedRasterBand"'}, "is of kind VRTDerivedRasterBand"),
        ({"content": "", "root": 'subClass="VRTPansharpenedDataset"'}, "is of kind VRTPansharpenedDataset"),
        ({"content": "", "root": 'subClass="VRTProcessedDataset"'}, "of kind VRTProcessedDataset"),
        (
            {"content": "", "more": '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW&#95;FILE">x</MDI></Metadata>'},
            "overviews",
        ),
        ({"content": "", "more": '<Group name="/"/>'}, "many dimensions"),
        ({"content": '<SimpleSource SourceFilename="/etc/passwd"/>'}, "elements as attributes"),
        ({"content": '<a xmlns="b"><SourceFilename>/etc/passwd</SourceFilename></a>'}, "outside its own folder"),
        ({"content": '<SourceFilename relativeToVRT="01">scene.tif</SourceFilename>'}, "is relative in"),
        (
            {"content": '<SourceFilename relativeToVRT="0" RelativeToVRT="1">scene.tif</SourceFilename>'},
            "is relative in",
        ),
        ({"content": "<subClass>VRTDerivedRasterBand</subClass>"}, "elements as attributes"),
        ({"content": "", "band": 'subClass="" SUBCLASS="VRTDerivedRasterBand"'}, "is of kind"),
        ({"content": "", "band": 'PixelFunctionType="mul"'}, "computes pixels with a function"),
        ({"content": "", "more": "<GeoLocTransformer/>"}, "placed by other rasters"),
        ({"content": "<OpenOptions><OOI key='DEM'>/etc/passwd</OOI></OpenOptions>"}, "with the option DEM"),
    ],
)
def test_virtual_rasters_that_compute_or_hide_are_refused(
    scene: Path, tmp_path: Path, options: dict[str, str], why: str
) -> None:
    options = {**options, "content": source("scene.tif", inside="") + options["content"]}
    assert why in refusal(vrt(tmp_path / "a.vrt", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE a [<!ENTITY b 'c'>]><VRTDataset/>",
        "<VRTDataset rasterXSize='4' rasterYSize='4'>",
        "<VRTDataset rasterXSize='4' rasterYSize='4'/>",
        "<GDAL_WMS><!-- <VRTDataset --></GDAL_WMS>",
        "<VRTDataset>" + "<a>" * 50_000,
        "<VRTDataset>" + "<a>" * 50_000 + "</a>" * 50_000 + "</VRTDataset>",
        "<VRTDataset>\udcff</VRTDataset>",
        "<VRTDataset><a><![CDATA[b]]></a></VRTDataset>",
    ],
)
def test_texts_that_are_no_virtual_raster_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tif").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "virtual raster" in refusal(tmp_path / "a.tif")


def test_virtual_rasters_of_each_other_end(tmp_path: Path) -> None:
    vrt(tmp_path / "a.vrt", source("b.vrt"))
    vrt(tmp_path / "b.vrt", source("a.vrt"))
    with pytest.raises(InputError, match="4 virtual rasters deep"):
        read(tmp_path / "a.vrt")


# -- what lies beside a raster


@pytest.mark.parametrize("suffix", [".ovr", ".msk"])
@pytest.mark.parametrize("what", ["service", "vrt", "junk"])
def test_overviews_and_masks_beside_a_raster_may_only_be_pixels(
    scene: Path, server: tuple[str, list[str]], suffix: str, what: str
) -> None:
    other = scene.with_name(scene.name + suffix)
    other.write_text(service(server[0]) if what == "service" else "junk")
    if what == "vrt":
        vrt(other, source("scene.tif"))
    assert f"scene.tif{suffix}" in refusal(scene)
    assert server[1] == []


def test_overviews_beside_a_raster_are_used(scene: Path) -> None:
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2], rasterio.enums.Resampling.average)
    assert scene.with_name("scene.tif.ovr").exists()
    assert read(scene).shape == (1, 10, 10)


def test_overviews_named_in_metadata_are_refused(scene: Path, server: tuple[str, list[str]]) -> None:
    with rasterio.open(scene, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/http://{server[0]}/a.tif")
    assert "names overviews in another file" in refusal(scene)
    write_band(scene, some_numbers(SHAPE, 1)[0])
    aux = scene.with_name("scene.tif.aux.xml")
    for key in ("OVERVIEW_FILE", "OVERVIEW&#95;FILE"):
        aux.write_text(f'<PAMDataset><Metadata domain="OVERVIEWS"><MDI key="{key}">x</MDI></Metadata></PAMDataset>')
        assert "names overviews in another file" in refusal(scene)
    aux.write_text('<PAMDataset><Metadata><MDI key="city">x</MDI></Metadata></PAMDataset>')
    assert read(scene).max() > 0
    assert server[1] == []


def test_formats_that_hand_over_to_any_other_are_refused(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ers").write_text(
        'DatasetHeader Begin\nDataSetType = Translated\nDataFile = "/etc/passwd"\nRasterInfo Begin\n'
        "CellType = Unsigned8BitInteger\nNrOfLines = 2\nNrOfCellsPerLine = 3\nNrOfBands = 1\nRasterInfo End\n"
        "DatasetHeader End\n"
    )
    assert "no raster of a format that is read" in refusal(tmp_path / "a.ers")
    rasterio.shutil.copy(scene, tmp_path / "a.pix", driver="PCIDSK")
    assert "no raster of a format that is read" in refusal(tmp_path / "a.pix")


@pytest.mark.parametrize(
    "name", ["/vsicurl/http://ADDRESS/a.tif", "http://ADDRESS/a.tif", "/vsizip/{/vsicurl/http://ADDRESS/a}/a"]
)
def test_names_of_remote_files_are_refused(server: tuple[str, list[str]], name: str) -> None:
    for start in (opening.open_raster, lambda path: open_scene(Path(path))):
        with pytest.raises(InputError, match=r"not on this machine's disks|does not exist"):
            start(name.replace("ADDRESS", server[0]))
    assert server[1] == []


# -- headers that lie


def tagged(path: Path, tags: dict[int, int]) -> Path:
    """Overwrite numbers in the first directory of a little-endian TIFF."""
    raw = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", raw, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", raw, start)[0], 12):
        tag = struct.unpack_from("<H", raw, entry)[0]
        if tag in tags:
            struct.pack_into("<HHII", raw, entry, tag, 4, 1, tags[tag])
    path.write_bytes(raw)
    return path


WIDTH, HEIGHT, BITS, SAMPLES, STRIP = 256, 257, 258, 277, 278


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({WIDTH: 300_000, HEIGHT: 300_000}, "300000 x 300000 pixels .* but has only"),
        ({WIDTH: 1 << 31, HEIGHT: 1 << 31}, "Too large image size"),
        ({WIDTH: (1 << 31) - 1, HEIGHT: (1 << 31) - 1}, "above the 1048576 a side"),
        ({WIDTH: 1 << 21, HEIGHT: 1}, "above the 1048576 a side"),
        ({WIDTH: 0}, "damaged"),
        ({SAMPLES: 65535}, r"scene\.tif"),
        ({BITS: 77}, "damaged"),
        ({STRIP: 0}, r"scene\.tif"),
    ],
)
def test_headers_that_lie_are_told_quickly_and_cheaply(
    scene: Path, tags: dict[int, int], why: str, rsseg: Callable[..., tuple[int, str, str]]
) -> None:
    tagged(scene, tags)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises(InputError) as caught:
        read(scene)
    assert re.search(why, str(caught.value))
    code, _, error = rsseg("info", scene)
    assert code == 1 and error.startswith("rsseg: ") and error.count("\n") == 1
    assert time.perf_counter() - start < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # KiB


def test_the_number_of_bands_and_the_size_of_tiles_are_limited(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_BANDS", 0)
    assert "1 bands, above the 0" in refusal(scene)
    monkeypatch.setattr(opening, "MOST_BANDS", 1)
    monkeypatch.setattr(opening, "LARGEST_BLOCK", 10)
    assert "TILED=YES" in refusal(scene)


def test_an_empty_raster_may_be_large(tmp_path: Path) -> None:
    """A scene that is mostly fill, tile by tile, takes few bytes and is read."""
    profile = {"driver": "GTiff", "height": 20_000, "width": 20_000, "count": 1, "dtype": "uint16", "crs": UTM50}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "sparse_ok": True}
    with rasterio.open(tmp_path / "a.tif", "w", transform=rasterio.Affine(5, 0, 0, 0, -5, 0), **profile):
        pass
    assert (tmp_path / "a.tif").stat().st_size < 60_000
    assert open_scene(tmp_path / "a.tif").grid.shape == (20_000, 20_000)


def test_directories_that_lead_to_themselves_end(scene: Path) -> None:
    raw = bytearray(scene.read_bytes())
    start = struct.unpack_from("<I", raw, 4)[0]
    count = struct.unpack_from("<H", raw, start)[0]
    struct.pack_into("<I", raw, start + 2 + 12 * count, start)
    scene.write_bytes(raw)
    assert read(scene).shape == (1, 10, 10)


def test_strips_that_lie_outside_the_file_are_told(scene: Path) -> None:
    raw = bytearray(scene.read_bytes())
    (first,) = (at for at in range(len(raw)) if raw[at : at + 8] == struct.pack("<HHI", 273, 4, SHAPE[0]))
    place = struct.unpack_from("<I", raw, first + 8)[0]
    struct.pack_into(f"<{SHAPE[0]}I", raw, place, *[1 << 31] * SHAPE[0])
    scene.write_bytes(raw)
    assert "truncated or damaged" in refusal(scene)


def test_the_wrong_byte_order_is_told(scene: Path) -> None:
    scene.write_bytes(b"MM\0*" + scene.read_bytes()[4:])
    assert "damaged" in refusal(scene)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_a_raster_cut_anywhere_is_told(scene: Path, share: float) -> None:
    raw = scene.read_bytes()
    scene.write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(InputError, match=r"scene\.tif"), open_scene(scene).open() as reader:
        reader.read(reader.scene.grid.window)


def test_bytes_changed_in_a_header_end_in_pixels_or_a_sentence(scene: Path) -> None:
    raw, read_well = scene.read_bytes(), 0
    for at in range(0, 700, 12):
        for value in (0, 127, 255):
            scene.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            try:
                read_well += len(read(scene, (2, 2)))
            except InputError as problem:
                assert str(problem).isprintable()
    assert read_well > 0
