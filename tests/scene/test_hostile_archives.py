"""Archives that lie, lead elsewhere or explode: one sentence each, and nothing is unpacked."""

import io
import re
import struct
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from products import LISS4_META_PLAIN, make_liss4

from rsseg.errors import InputError
from rsseg.scene.sensors import archive as limits
from rsseg.scene.sensors import open_scene

Item = tuple[str | zipfile.ZipInfo, bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    product = make_liss4(tmp_path_factory.mktemp("source") / "p", shape=(20, 24))
    return {path.name: path.read_bytes() for path in sorted(product.iterdir())}


def pack(path: Path, items: Iterable[Item], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in items:
            archive.writestr(name, content)
    return path


def tar(path: Path, files: dict[str, bytes], *extra: tarfile.TarInfo, start: str = "p/") -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(start + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for item in extra:
            archive.addfile(item)
    return path


def under(files: dict[str, bytes], folder: str = "p") -> list[Item]:
    return [(f"{folder}/{name}", content) for name, content in files.items()]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_scene(path)
    message = str(caught.value)
    assert message.isprintable(), "a message must not drive the terminal"
    assert path.name in message
    return message


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../../etc/cron.d/x", "leads out of the archive"),
        ("p/../../x", "leads out of the archive"),
        ("/etc/passwd", "leads out of the archive"),
        ("C:/windows/x", "leads out of the archive"),
        ("p\\BAND2.tif", "backslashes"),
        ("p/\x1b[2Jx", r"\\x1b\[2Jx.*cannot be printed"),
        ("p/a\nb", r"a\\nb.*cannot be printed"),
        ("p/\u202etif.exe", r"\\u202etif.*cannot be printed"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, files: dict[str, bytes], name: str, why: str) -> None:
    assert re.search(why, refusal(pack(tmp_path / "a.zip", [*under(files), (name, b"x")])))
    assert re.search(why, refusal(tar(tmp_path / "a.tar", files | {f"../{name}"[3:]: b"x"}, start="")))


def test_a_name_with_a_zero_byte_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = pack(tmp_path / "a.zip", [*under(files), ("p/BAND5.tif_x", b"x")])
    path.write_bytes(path.read_bytes().replace(b"BAND5.tif_x", b"BAND5.tif\0x"))
    assert "cannot be printed" in refusal(path)


@pytest.mark.parametrize(
    "folder", ["q'\";$(x)&|<b>", "{x}", "a}b", "Größe", "印度", "sp ace", "in.zip", "%s#?!", "n" * 200]
)
def test_odd_names_are_read(tmp_path: Path, files: dict[str, bytes], folder: str) -> None:
    path = pack(tmp_path / f"{folder[:90]}.zip" if "}" not in folder else tmp_path / "a.zip", under(files, folder))
    assert open_scene(path).grid.shape == (20, 24)


def test_names_in_the_old_code_page_are_read(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = pack(tmp_path / "a.zip", under(files, "G_e"))
    path.write_bytes(path.read_bytes().replace(b"G_e/", b"G\x94e/"))
    assert open_scene(path).grid.shape == (20, 24)


def test_an_archive_with_a_lone_brace_in_its_name_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "rename it" in refusal(pack(tmp_path / "a}b.zip", under(files)))
    assert open_scene(pack(tmp_path / "a{b}c.zip", under(files))).grid.shape == (20, 24)


def test_a_tar_made_from_within_its_folder_is_read(tmp_path: Path, files: dict[str, bytes]) -> None:
    with open_scene(tar(tmp_path / "a.tar", files, start="./p/")).open() as reader:
        assert reader.read(reader.scene.grid.window)[0].max() > 0


@pytest.mark.parametrize("name", ["BAND_META.txt", "BAND3.tif"])
@pytest.mark.parametrize(("mode", "kind"), [(0o120777, "a link"), (0o010644, "a device or pipe")])
def test_links_and_devices_in_a_zip_are_not_read(
    tmp_path: Path, files: dict[str, bytes], name: str, mode: int, kind: str
) -> None:
    link = zipfile.ZipInfo(f"p/{name}")
    link.external_attr = mode << 16
    rest = {key: content for key, content in files.items() if key != name}
    message = refusal(pack(tmp_path / "a.zip", [*under(rest), (link, b"/etc/passwd")]))
    assert f"p/{name} in" in message and f"is {kind}, which is not read in place" in message


@pytest.mark.parametrize(
    ("kind", "words"),
    [(tarfile.SYMTYPE, "a link"), (tarfile.LNKTYPE, "a link"), (tarfile.CHRTYPE, "device"), (tarfile.FIFOTYPE, "pipe")],
)
def test_links_and_devices_in_a_tar_are_not_read(
    tmp_path: Path, files: dict[str, bytes], kind: bytes, words: str
) -> None:
    link = tarfile.TarInfo("p/BAND2.tif")
    link.type, link.linkname = kind, "/etc/passwd"
    rest = {key: content for key, content in files.items() if key != "BAND2.tif"}
    message = refusal(tar(tmp_path / "a.tar", rest, link))
    assert "p/BAND2.tif in" in message and words in message


def test_metadata_that_unpacks_to_more_than_a_mebibyte_is_not_read_whole(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    bomb = LISS4_META_PLAIN.encode() + b"x" * (50 << 20)
    path = pack(tmp_path / "a.zip", under(files | {"BAND_META.txt": bomb}))
    del bomb
    tracemalloc.start()
    assert "more than 1 MiB, which no metadata has" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_an_archive_that_says_it_unpacks_to_far_more_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = pack(tmp_path / "a.zip", under(files))
    raw, size = path.read_bytes(), len(files["BAND2.tif"])
    path.write_bytes(raw.replace(struct.pack("<I", size), struct.pack("<I", (3 << 30) + 5)))
    message = refusal(path)
    assert "says that it unpacks to 9.0 GiB" in message and "100 times its size" in message


def test_the_number_of_files_is_limited_and_quick_below(tmp_path: Path, files: dict[str, bytes]) -> None:
    many: list[Item] = [(f"d/{i}", b"") for i in range(limits.MOST_MEMBERS - len(files))]
    path = pack(tmp_path / "a.zip", [*many, *under(files)], zipfile.ZIP_STORED)
    start = time.perf_counter()
    assert open_scene(path).grid.shape == (20, 24)
    assert time.perf_counter() - start < 60
    assert "more than 10000 files" in refusal(pack(tmp_path / "b.zip", [*many, *under(files), ("x", b"")]))
    members = [tarfile.TarInfo(f"d/{i}") for i in range(limits.MOST_MEMBERS)]
    assert "more than 10000 files" in refusal(tar(tmp_path / "a.tar", files, *members))


def test_a_huge_table_of_contents_is_refused_unread(
    tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_LIST", 100)
    assert "table of contents" in refusal(pack(tmp_path / "a.zip", under(files)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "'p/BAND2.tif' twice" in refusal(pack(tmp_path / "a.zip", [*under(files), ("p/BAND2.tif", b"other")]))
    assert "'p/BAND2.tif' twice" in refusal(pack(tmp_path / "b.zip", [*under(files), ("p/./BAND2.tif", b"other")]))


def test_two_spellings_of_a_band_are_refused_unless_one_is_exact(tmp_path: Path, files: dict[str, bytes]) -> None:
    both = [*under(files), ("p/band2.TIF", b"other")]
    assert open_scene(pack(tmp_path / "a.zip", both)).grid.shape == (20, 24)
    rest = {key: content for key, content in files.items() if key != "BAND2.tif"}
    twice = [*under(rest), ("p/band2.TIF", b"other"), ("p/Band2.tif", b"other")]
    assert "remove the wrong one" in refusal(pack(tmp_path / "b.zip", twice))


@pytest.mark.parametrize("name", ["BAND_META.txt", "BAND2.tif"])
def test_locked_files_are_named(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    path = pack(tmp_path / "a.zip", under(files))
    raw = bytearray(path.read_bytes())
    entry = raw.rfind(f"p/{name}".encode()) - 46
    raw[entry + 8] |= 1
    path.write_bytes(raw)
    assert f"p/{name} in" in (message := refusal(path)) and "locked by a password" in message


def test_ways_of_packing_that_cannot_be_read_in_place_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert "packed by method 12" in refusal(pack(tmp_path / "a.zip", under(files), zipfile.ZIP_BZIP2))


def test_damaged_metadata_is_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = pack(tmp_path / "a.zip", under(files), zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"IRS-R2", b"IRS-R9"))
    assert "Bad CRC-32" in refusal(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".zip", ".tar"])
def test_cut_archives_are_told(tmp_path: Path, files: dict[str, bytes], suffix: str, share: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        pack(path, under(files))
    else:
        tar(path, files)
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    try:
        with open_scene(path).open() as reader:  # a tar without its last, empty, block is whole
            reader.read(reader.scene.grid.window)
        assert suffix == ".tar" and share == 0.99
    except InputError as problem:
        assert path.name in str(problem)


def test_a_packed_tar_under_a_plain_name_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("p/BAND_META.txt"))
    assert "no .tar file" in refusal(tmp_path / "a.tar")


def test_archives_in_archives_are_not_looked_into(tmp_path: Path, files: dict[str, bytes]) -> None:
    inner = pack(tmp_path / "inner.zip", under(files)).read_bytes()
    assert "holds neither" in refusal(pack(tmp_path / "a.zip", [("inner.zip", inner)]))


def test_what_lies_beside_a_band_in_an_archive_is_not_opened(tmp_path: Path, files: dict[str, bytes]) -> None:
    beside = {"BAND2.tif.ovr": b"<GDAL_WMS>", "BAND2.tif.aux.xml": b"<PAMDataset>", "BAND2.tif.msk": b"junk"}
    with open_scene(pack(tmp_path / "a.zip", under(files | beside))).open() as reader:
        values, _ = reader.read(reader.scene.grid.window, (5, 6))
    assert values.shape == (3, 5, 6)


def test_bytes_changed_anywhere_end_in_a_scene_or_a_sentence(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Bytes of the metadata's member and of the table of contents, to three values each."""
    path = pack(tmp_path / "a.zip", sorted(under(files), key=lambda item: not str(item[0]).endswith("META.txt")))
    raw = path.read_bytes()
    read = 0
    for at in (*range(0, 700, 30), *range(len(raw) - 300, len(raw), 20)):
        for value in (0, 127, 255):
            path.write_bytes(raw[:at] + bytes([value]) + raw[at + 1 :])
            try:
                read += open_scene(path).grid.height
            except InputError as problem:
                assert str(problem).isprintable()
    assert read > 0
