"""Files that appear whole or not at all."""

import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rsseg.errors import UsageError

_SCRATCH = f".rsseg-{platform.node()}-"
_UMASK = os.umask(0)
os.umask(_UMASK)


def check_output(target: Path, overwrite: bool = False) -> None:
    """Refuse a target that exists (without ``overwrite``) or that lies below a file.

    Raises: UsageError, naming the way out.
    """
    for parent in target.parents:
        if parent.exists():
            if not parent.is_dir():
                raise UsageError(f"{parent} is a file where a folder should be; choose another output than {target}")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise UsageError(f"cannot write into {parent}: permission denied; choose another output than {target}")
            break
    if target.is_dir():
        raise UsageError(f"{target} is a folder where a file should be; name a file in it")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; use --overwrite to replace it, or choose another output")


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path], overwrite: bool = False) -> None:
    """``check_output`` for each, and refuse one that is an input, lies in an input's folder, or is named twice."""
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        check_output(path, overwrite)
        place = path.resolve()
        if place in taken or (path.exists() and not taken.isdisjoint(place.parents)):
            raise UsageError(f"{path} is an input too, or is named twice; choose another output")
        taken.add(place)


@contextmanager
def replacing(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to; it becomes ``target`` on success and vanishes on failure.

    The yielded path has the target's suffix, since drivers are chosen by it.
    """
    check_output(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent) as folder:
        part = folder / target.name
        yield part
        part.chmod(0o666 & ~_UMASK)  # some writers make files that only their owner can read
        part.replace(target)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder below ``parent`` (one file system, so that ``os.replace`` is atomic), removed after."""
    folder = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_scratch(path: Path) -> bool:
    """Whether a file or folder is one that a process of rsseg writes to, or left when it was killed."""
    return path.name.startswith(".rsseg-")


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that are no more left half-written anywhere below ``folder``."""
    for left in folder.rglob(f"{_SCRATCH}*"):
        number = left.name.removeprefix(_SCRATCH).split("-")[0]
        if number.isdigit() and not _alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def replacing_folder(target: Path, overwrite: bool = False) -> Iterator[Path]:
    """Like ``replacing`` for a whole folder: filled beside the target, then renamed to it.

    With ``overwrite`` an existing folder is moved aside first and removed after the rename.
    """
    if target.is_file():
        raise UsageError(f"{target} is a file where a folder should be; choose another output")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise UsageError(f"{target} exists; use --overwrite to replace it, or choose another output")
    check_output(target / "inside", overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(target.parent) as scratch:
        part = scratch / target.name
        part.mkdir()
        yield part
        aside = scratch / f"{target.name}.replaced"
        if target.exists():
            target.replace(aside)
        try:
            part.replace(target)
        except OSError:
            if aside.exists():
                aside.replace(target)
            raise


def write_text(target: Path, text: str, overwrite: bool = False) -> None:
    """Write UTF-8 text to ``target``, whole or not at all."""
    with replacing(target, overwrite) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def file_word(text: str) -> str:
    """A text as part of a file's name: marks that a file system or an address minds are hyphens, 80 bytes at most.

    Names of files end at 255 bytes, and letters may have four.
    """
    return re.sub(r"[^\w.-]+", "-", text).encode()[:80].decode(errors="ignore")


def stamp_of(path: Path) -> list[int] | None:
    """A file's size in bytes and time of change in nanoseconds; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
