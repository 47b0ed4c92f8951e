"""The files of a product, in a folder or in an archive that is read in place."""

import os
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from rsseg.errors import InputError

ARCHIVES = {".zip": "/vsizip", ".tar": "/vsitar"}
"""Archive suffix -> GDAL's prefix; compressed tar files are left out, since every seek would unpack them again."""


@dataclass(frozen=True)
class Container:
    """A folder or archive with the names of all files below it, relative and with forward slashes."""

    path: Path
    names: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> "Container":
        """List a folder, a .zip or a .tar.

        Raises: InputError if an archive is damaged.
        """
        names = _folder_names(path) if path.is_dir() else _archive_names(path)
        return cls(path, tuple(sorted(name for name in names if not _is_clutter(name))))

    def matching(self, pattern: re.Pattern[str]) -> list[str]:
        """Names whose last part matches ``pattern``."""
        return [name for name in self.names if pattern.search(PurePosixPath(name).name)]

    def beside(self, name: str, file_name: str) -> str | None:
        """The file called ``file_name`` (in any case) in the folder of ``name``, or None."""
        wanted = str(PurePosixPath(name).parent / file_name).casefold()
        return next((other for other in self.names if other.casefold() == wanted), None)

    def gdal_name(self, name: str) -> str:
        """What GDAL opens to read ``name``."""
        prefix = ARCHIVES.get(self.path.suffix.lower())
        if prefix is None or self.path.is_dir():
            return str(self.path / name)
        # braces end the archive's own path, whatever it is called
        return f"{prefix}/{{{self.path.absolute()}}}/{name}"

    def read_text(self, name: str) -> str:
        """A small text file; bytes that are no UTF-8 are replaced, since only ASCII keys matter.

        Raises: InputError if it cannot be read.
        """
        try:
            return self._read_bytes(name).decode("utf-8-sig", errors="replace")
        except (OSError, KeyError, zipfile.BadZipFile, tarfile.TarError, RuntimeError, NotImplementedError) as problem:
            raise InputError(
                f"cannot read {name} in {self.path}: {problem}; the file is damaged or locked"
            ) from problem

    def _read_bytes(self, name: str) -> bytes:
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        if self.path.suffix.lower() == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(name)
        with tarfile.open(self.path) as archive:
            member = archive.extractfile(name)
            return member.read() if member else b""


def _folder_names(path: Path) -> list[str]:
    names = []
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [(Path(folder) / name).relative_to(path).as_posix() for name in files]
    return names


def _archive_names(path: Path) -> list[str]:
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return [item.filename for item in archive.infolist() if not item.is_dir()]
        with tarfile.open(path) as archive:
            return [item.name for item in archive if item.isfile()]
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as problem:
        raise InputError(
            f"cannot read {path}: {problem}; the archive is damaged or incomplete, get it again"
        ) from problem


def _is_clutter(name: str) -> bool:
    """Copies of file attributes that macOS adds to archives: they carry the names of real files."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith("._")
