"""The files of a product, in a folder or in an archive that is read in place."""

import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from rsseg.errors import InputError
from rsseg.scene.sensors.archive import BROKEN, list_archive
from rsseg.scene.sensors.texts import decoded
from rsseg.scene.shown import shown
from rsseg.scene.trust import WAY_OUT, is_inside, kind_of

ARCHIVES = {".zip": "/vsizip", ".tar": "/vsitar"}
"""Archive suffix -> GDAL's prefix; compressed tar files are left out, since every seek would unpack them again."""

LARGEST_TEXT = 1 << 20
"""Bytes of a metadata file; real ones have some 50 KiB at most."""

MOST_FILES = 100_000
"""Files below a product's folder: a product has some twenty, an archive of products should be named one by one."""


@dataclass(frozen=True)
class Container:
    """A folder or archive with the names of all files below it, relative and with forward slashes.

    ``faults`` are the files that are there but cannot be trusted or read, with the reason in words. ``stored`` are
    names as the archive spells them, where that differs.
    """

    path: Path
    names: tuple[str, ...]
    faults: Mapping[str, str] = field(default_factory=dict)
    stored: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, beginning: str = "") -> "Container":
        """List a folder, a .zip or a .tar; with ``beginning`` only a folder's own files with such names.

        Raises: InputError if an archive is damaged or hostile, or holds far more than a product.
        """
        if path.is_dir():
            found, stored = dict(_files_beginning(path, beginning) if beginning else _folder_files(path)), {}
        else:
            members = list_archive(path)
            found = {member.path: member.fault for member in members}
            stored = {member.path: member.name for member in members if member.path != member.name}
        found = {name: fault for name, fault in found.items() if not _is_clutter(name)}
        faults = {name: fault for name, fault in found.items() if fault is not None}
        return cls(path, tuple(sorted(name for name in found if name not in faults)), faults, stored)

    def matching(self, pattern: re.Pattern[str]) -> list[str]:
        """Names whose last part matches ``pattern``.

        Raises: InputError if the only ones are files that cannot be read.
        """
        names = [name for name in self.names if pattern.search(PurePosixPath(name).name)]
        faulty = [name for name in self.faults if pattern.search(PurePosixPath(name).name)]
        if faulty and not names:
            raise self._faulty(faulty[0])
        return names

    def beside(self, name: str, file_name: str) -> str | None:
        """The file called ``file_name`` (in any case) in the folder of ``name``, or None.

        Raises: InputError if it is there but cannot be read, or there in two spellings.
        """
        wanted = str(PurePosixPath(name).parent / file_name)
        if wanted in self.names:
            return wanted
        found = [other for other in (*self.names, *self.faults) if other.casefold() == wanted.casefold()]
        if len(found) > 1:
            raise InputError(
                f"{shown(self.path, 500)} holds {' and '.join(shown(other) for other in found)}; remove the wrong one"
            )
        if found and found[0] in self.faults:
            raise self._faulty(found[0])
        return found[0] if found else None

    def _faulty(self, name: str) -> InputError:
        where, fault = f"{shown(name)} in {shown(self.path, 500)}", self.faults[name]
        if self.path.is_dir():
            return InputError(f"{where} is {fault}, which is not read; {WAY_OUT}")
        return InputError(f"{where} is {fault}, which is not read in place; unpack it and name the folder")

    def gdal_name(self, name: str) -> str:
        """What GDAL opens to read ``name``."""
        prefix = ARCHIVES.get(self.path.suffix.lower())
        if prefix is None or self.path.is_dir():
            return str(self.path / name)
        # braces end the archive's own path, whatever it is called
        return f"{prefix}/{{{self.path.absolute()}}}/{name}"

    def read_text(self, name: str) -> str:
        """A metadata file of at most ``LARGEST_TEXT`` bytes.

        Raises: InputError if it cannot be read, is larger, or is no text.
        """
        where = f"{shown(name)} in {shown(self.path, 500)}"
        if name in self.faults:  # named by the user, who has not seen the list
            raise self._faulty(name)
        try:
            raw = self._read_bytes(name)
        except (KeyError, *BROKEN) as problem:
            raise InputError(f"cannot read {where}: {shown(problem, 200)}; the file is damaged or locked") from problem
        if len(raw) > LARGEST_TEXT:
            raise InputError(f"{where} has more than {LARGEST_TEXT >> 20} MiB, which no metadata has; get it again")
        return decoded(raw, where)

    def _read_bytes(self, name: str) -> bytes:
        """The file, cut one byte behind the largest size."""
        stored = self.stored.get(name, name)
        if self.path.is_dir():
            with (self.path / name).open("rb") as file:
                return file.read(LARGEST_TEXT + 1)
        if self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive, archive.open(stored) as packed:
                return packed.read(LARGEST_TEXT + 1)
        with tarfile.open(self.path, "r:") as tar:
            member = tar.extractfile(stored)
            return member.read(LARGEST_TEXT + 1) if member else b""


def _folder_files(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each file with what is wrong with it; links to folders are not followed."""
    count = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        count += len(files)
        if count > MOST_FILES:
            raise InputError(f"{shown(path, 500)} holds more than {MOST_FILES} files; name one product in it")
        for name in files:
            item = Path(folder) / name
            yield item.relative_to(path).as_posix(), _file_fault(item, path)


def _files_beginning(path: Path, beginning: str) -> Iterator[tuple[str, str | None]]:
    """The files of one product among many in a folder, which is not searched further."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(beginning) and not entry.is_dir()]
    yield from ((name, _file_fault(path / name, path)) for name in names)


def _file_fault(item: Path, root: Path) -> str | None:
    kind = kind_of(item)
    if kind is None and item.is_symlink() and not is_inside(item, (root,)):
        return "a link that leads out of the product's folder"
    return kind


def _is_clutter(name: str) -> bool:
    """Copies of file attributes that macOS adds to archives: they carry the names of real files."""
    parts = PurePosixPath(name).parts
    return not parts or "__MACOSX" in parts or parts[-1].startswith("._")
