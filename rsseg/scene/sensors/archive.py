"""What a .zip or .tar holds, listed with limits: nothing is unpacked, and no name or size in it is trusted."""

import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsseg.errors import InputError
from rsseg.scene.shown import shown

MOST_MEMBERS = 10_000
LONGEST_LIST = 8 << 20
"""Bytes of a .zip's table of contents: 10 000 members with names of 800 characters."""

LARGEST_ARCHIVE = 256 << 30
"""Bytes of all members unpacked: a hundred times a LISS-IV scene."""

LARGE = 4 << 30
MOST_PACKED = 100
"""An archive of more than ``LARGE`` unpacked bytes may pack them this many times; scenes reach about 5."""

BROKEN = (
    *(OSError, EOFError, ValueError, IndexError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, tarfile.TarError, struct.error, zlib.error),
)
"""What Python raises for archives that are damaged or locked."""

PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The ways of packing in a .zip that GDAL and Python read."""


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name there, its bytes unpacked, and what keeps it from being read, in words."""

    name: str
    size: int
    fault: str | None = None

    @property
    def path(self) -> str:
        """The name without ``./`` and doubled slashes, as GDAL knows it."""
        return str(PurePosixPath(self.name))


def list_archive(path: Path) -> list[Member]:
    """The files in an archive.

    Raises: InputError if it is damaged, too large to be a product, or has names that lead elsewhere.
    """
    _check_braces(path)
    try:
        found = _zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path)
        members = list(_limited(found, path))
    except BROKEN as problem:
        raise InputError(
            f"cannot read {shown(path, 500)}: {shown(problem, 200)}; the archive is damaged, incomplete or no "
            f"{path.suffix.lower()} file, get it again"
        ) from problem
    _check_sizes(members, path)
    _check_twice(members, path)
    return members


def _check_braces(path: Path) -> None:
    """GDAL ends an archive's path at the brace that closes the first one."""
    depth = 0
    for character in str(path.absolute()):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            break
    if depth != 0:
        raise InputError(f"{shown(path, 500)} has a brace without its partner in its name; rename it")


def _limited(members: Iterable[Member], path: Path) -> Iterator[Member]:
    for count, member in enumerate(members, 1):
        if count > MOST_MEMBERS:
            raise InputError(
                f"{shown(path, 500)} holds more than {MOST_MEMBERS} files, which no product does; unpack the product "
                "and name its folder"
            )
        _check_name(member.name, path)
        yield member


def _check_name(name: str, path: Path) -> None:
    """A name that is plain, relative and stays inside."""
    parts = name.split("/")
    why = None
    if ".." in parts or name.startswith("/") or re.match(r"[A-Za-z]:", name):
        why = "which leads out of the archive"
    elif "\\" in name:
        why = "with backslashes, which systems read differently"
    elif not name.isprintable():
        why = "with characters that cannot be printed"
    if why is not None:
        raise InputError(
            f"{shown(path, 500)} holds a file named '{shown(name)}', {why}; unpack what you trust of it and name the "
            "folder"
        )


def _check_sizes(members: list[Member], path: Path) -> None:
    total, packed = sum(member.size for member in members), path.stat().st_size
    if total > LARGEST_ARCHIVE or (total > LARGE and total > MOST_PACKED * packed):
        raise InputError(
            f"{shown(path, 500)} has {packed / 2**20:,.1f} MiB and says that it unpacks to {total / 2**30:,.1f} GiB; "
            f"read are {LARGEST_ARCHIVE >> 30} GiB, and above {LARGE >> 30} GiB {MOST_PACKED} times its size; "
            "unpack the product and name its folder"
        )


def _check_twice(members: list[Member], path: Path) -> None:
    seen: set[str] = set()
    for member in members:
        if member.path in seen:
            raise InputError(
                f"{shown(path, 500)} holds '{shown(member.path)}' twice, and readers differ in which one counts; "
                "pack it anew"
            )
        seen.add(member.path)


def _zip_members(path: Path) -> Iterator[Member]:
    _check_contents_table(path)
    with zipfile.ZipFile(path) as archive:
        for item in archive.infolist():
            # what follows a NUL is cut off in the other name
            name = item.orig_filename if "\0" in item.orig_filename else item.filename
            if not item.is_dir():
                yield Member(name, item.file_size, _zip_fault(item))


def _check_contents_table(path: Path) -> None:
    """Python reads a .zip's table of contents whole, however long it is."""
    with path.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[5] > LONGEST_LIST:
        raise InputError(
            f"{shown(path, 500)} has a table of contents of {end[5]} bytes, which no product has; unpack the product "
            "and name its folder"
        )


def _zip_fault(item: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(item.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "a link" if kind == stat.S_IFLNK else "a device or pipe"
    if item.flag_bits & 1:
        return "locked by a password"
    return None if item.compress_type in PACKINGS else f"packed by method {item.compress_type}"


def _tar_members(path: Path) -> Iterator[Member]:
    # "r:" refuses a packed archive under this name, which every seek would unpack again
    with tarfile.open(path, "r:") as archive:
        for item in archive:
            if not item.isdir():
                yield Member(item.name, item.size, _tar_fault(item))


def _tar_fault(item: tarfile.TarInfo) -> str | None:
    if item.issym() or item.islnk():
        return "a link"
    if item.issparse():
        return "stored with holes"
    return None if item.isfile() else "a device or pipe"
