"""Vector files of others: looked at before GDAL opens them, since some kinds fetch files or hand over to others."""

import re
import zipfile
from pathlib import Path

from rsseg.errors import InputError
from rsseg.scene.sensors.archive import BROKEN, list_archive
from rsseg.scene.shown import shown
from rsseg.scene.trust import check_file

HEAD = 4096
"""Bytes by which GDAL and we tell kinds of files."""

_NAMES_OTHERS = re.compile(rb"<(OGR|GDAL|VRT)", re.IGNORECASE)
"""How files begin that name a source to be opened: GDAL finds the mark anywhere in the head."""

_HARMLESS_XML = (b"<kml", b"<gpx")

REMEDY = "save the polygons as a GeoPackage, GeoJSON or Shapefile"


def check_vector(path: Path) -> None:
    """Check that a vector file is one that holds its features itself; folders (of a geodatabase) pass.

    Raises: InputError for a missing or empty file, a pipe, a virtual data source, GML and other XML that names files.
    """
    if path.is_dir():
        return
    check_file(path, "a vector file")
    for name, head in _heads(path):
        if _NAMES_OTHERS.search(head) or _is_foreign_xml(head):
            raise InputError(f"{shown(name, 500)} is a kind of file that can name others, which is not read; {REMEDY}")


def _is_foreign_xml(head: bytes) -> bool:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    return (start.startswith(b"<") or (wide and b"<" in head)) and not any(root in head for root in _HARMLESS_XML)


def _heads(path: Path) -> list[tuple[str, bytes]]:
    """The first bytes of the file, or of each file in a .zip, which GDAL looks into."""
    try:
        if path.suffix.lower() == ".zip":
            names = [member.name for member in list_archive(path) if not member.fault]
            with zipfile.ZipFile(path) as archive:
                return [(f"{name} in {path}", _head(archive, name)) for name in names if not name.endswith(".shp.xml")]
        with path.open("rb") as file:
            return [(str(path), file.read(HEAD))]
    except BROKEN as problem:
        raise InputError(f"cannot read {shown(path, 500)}: {shown(problem, 200)}; {REMEDY}") from problem


def _head(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(HEAD)
