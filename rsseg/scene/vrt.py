"""GDAL's virtual rasters: which files one is made of, found without GDAL, which would open them.

A virtual raster can name any file, a web service, or a program. Read are mosaics, stacks, crops and warps of local
files below its own folder; the rest is refused.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from rsseg.errors import InputError
from rsseg.scene.shown import shown
from rsseg.scene.trust import WAY_OUT, check_file, is_inside

MARK = b"<VRTDataset"
"""What GDAL looks for in the first bytes of a file."""

LARGEST = 16 << 20
"""Bytes of a virtual raster; one source takes about 1 KiB."""

MOST_SOURCES = 10_000

REMEDY = "make it a GeoTIFF with gdal_translate where you trust it"

SOURCES = ("sourcefilename", "sourcedataset")

ATTRIBUTES = ("subclass", "relativetovrt")

KINDS = ("vrtwarpeddataset", "vrtwarpedrasterband", "vrtrawrasterband", "vrtsourcedrasterband")
"""Kinds of rasters and bands, besides the plain one, that are read."""

REFUSED = {
    "pixelfunction": "computes pixels with a function",
    "rpc": "is placed by rational polynomials",
    "geoloc": "is placed by other rasters",
    "array": "holds arrays of many dimensions",
    "group": "holds arrays of many dimensions",
}
"""Start of an element's name, in lower case, and what it means."""


def is_vrt(path: Path) -> bool:
    """Whether GDAL would take a file for a virtual raster."""
    with path.open("rb") as file:
        return MARK in file.read(4096)


def sources_of(path: Path) -> list[Path]:
    """The local files that a virtual raster is made of, each once, all of them below its folder.

    Raises: InputError, naming the source, if one lies elsewhere or the file is of a kind that is not read.
    """
    # relative names start where the file lies, not where a link to it does
    folder = Path(os.path.realpath(path)).parent
    found = {_source(path, item, folder): None for item in _checked(path) if _name(item) in SOURCES}
    if not found:
        raise InputError(f"{shown(path, 500)} is a virtual raster without sources; name a raster with pixels")
    if len(found) > MOST_SOURCES:
        raise InputError(
            f"{shown(path, 500)} has {len(found)} sources, above the {MOST_SOURCES} that are read; {REMEDY}"
        )
    return list(found)


def _checked(path: Path) -> Iterator[ElementTree.Element]:
    """All elements, each checked to be of a kind that is read."""
    for item in _parse(path).iter():
        if not isinstance(item.tag, str):  # a comment
            continue
        why = _why_not(item)
        if why is not None:
            raise InputError(f"{shown(path, 500)} {why}, which is not read; {REMEDY}")
        yield item


def _why_not(item: ElementTree.Element) -> str | None:
    """What keeps an element from being read, in words."""
    names = [_name(item), *(_local(key) for key in item.attrib)]
    bare = [name.removeprefix("src").removeprefix("dst") for name in names]
    found = [meaning for start, meaning in REFUSED.items() if any(name.startswith(start) for name in bare)]
    found += [f"is of kind {shown(kind)}" for kind in _attributes(item, "subclass") if kind.casefold() not in KINDS]
    keys = _attributes(item, "key")
    if any(key.casefold() == "overview_file" for key in keys):
        found.append("keeps its overviews in another file")
    if names[0] == "ooi" and [key.casefold() for key in keys] != ["overview_level"]:
        found.append(f"opens a source with the option {shown(', '.join(keys))}")
    # GDAL takes attributes and elements for each other
    if (
        any(name in SOURCES for name in names[1:])
        or names[0] in ATTRIBUTES
        or (names[0] in ("mdi", "ooi") and len(item))
    ):
        found.append("writes elements as attributes or attributes as elements")
    return found[0] if found else None


def _parse(path: Path) -> ElementTree.Element:
    if path.stat().st_size > LARGEST:
        raise InputError(f"{shown(path, 500)} is a virtual raster of more than {LARGEST >> 20} MiB; {REMEDY}")
    raw = path.read_bytes()
    # GDAL's own parser is laxer: what the two read differently must not come in
    if any(word in raw for word in (b"<!DOCTYPE", b"<!ENTITY", b"<![CDATA[", b"\0")):
        raise InputError(f"{shown(path, 500)} is a virtual raster with a document type or raw text; {REMEDY}")
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True, insert_pis=True))
    try:
        root = ElementTree.fromstring(raw.decode("utf-8").strip(), parser)
    except (ElementTree.ParseError, UnicodeDecodeError, RecursionError, ValueError) as problem:
        raise InputError(f"{shown(path, 500)} is no well-formed virtual raster ({problem}); get it again") from problem
    if _name(root) != "vrtdataset":
        raise InputError(f"{shown(path, 500)} is no virtual raster, though it calls itself one; get it again")
    return root


def _name(item: ElementTree.Element) -> str:
    return _local(item.tag) if isinstance(item.tag, str) else ""


def _local(name: str) -> str:
    """A name as GDAL compares it: in any case, without regard to namespaces."""
    return name.rpartition("}")[2].casefold()


def _attributes(item: ElementTree.Element, name: str) -> list[str]:
    """The values of an attribute, which can stand in several cases."""
    return [value for key, value in item.attrib.items() if _local(key) == name]


def _source(path: Path, item: ElementTree.Element, folder: Path) -> Path:
    """The file that an element names."""
    text = item.text or ""
    said = f"{shown(path, 500)} takes pixels from {shown(text)!r}"
    if len(item) or text != text.strip() or not text.isprintable() or text.startswith("<"):
        raise InputError(f"{said}, which is not a plain file name; {REMEDY}")
    if re.match(r"[\w.+-]+:", text) or "://" in text or text.startswith("/vsi"):
        raise InputError(f"{said}, which is no local file; download it and name the file itself")
    relative = _attributes(item, "relativetovrt")
    if relative not in ([], ["0"], ["1"]):
        raise InputError(f"{said} and says that its name is relative in {shown(relative)} ways; {REMEDY}")
    source = (folder if relative == ["1"] else Path.cwd()) / text
    if not is_inside(source, (folder,)):
        raise InputError(f"{said}, which lies outside its own folder; {WAY_OUT}")
    try:
        check_file(source)
    except InputError as problem:
        raise InputError(f"{said}: {problem}") from problem
    return source
