"""Whether files can be made, locked and renamed where the results go, and how much room is there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from rsseg.files import scratch_folder
from rsseg.pipeline.stages.doctor_checks import Check, size

LEAST_FREE = 2 << 30
"""Bytes that the run of one full scene takes, its scratch files included."""

NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "glusterfs",
    "afs",
    "9p",
    "panfs",
}
NETWORK |= {"wekafs", "orangefs", "pvfs2", "virtiofs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.juicefs"}

STORES = ("s3fs", "gcsfuse", "rclone", "goofys", "blobfuse", "mountpoint-s3", "mount-s3")
"""Object stores that look like folders: a rename there copies, and can be seen half done."""


def disk(folder: Path) -> Iterator[Check]:
    """The folder for results: writable, room, locks, renames, kind of file system."""
    place = next((parent for parent in (folder, *folder.absolute().parents) if parent.is_dir()), Path("/"))
    yield _room("disk", place)
    kind = file_system(place)
    try:
        with scratch_folder(place) as scratch:
            yield from _works(scratch, place, kind)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        remedy = "choose another folder: rsseg doctor FOLDER looks at it"
        yield Check("files", f"{place}: {reason}", "missing", "results cannot be written there", remedy)


def temporary() -> Iterator[Check]:
    """The folder for temporary files."""
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError:
        remedy = "set TMPDIR to a folder that can be written to"
        yield Check("temporary", "no folder is writable", "missing", "nothing that needs temporary files works", remedy)
        return
    yield _room("temporary", place)


def _room(name: str, place: Path) -> Check:
    free = shutil.disk_usage(place).free
    nodes = os.statvfs(place).f_favail if hasattr(os, "statvfs") else 1
    total = os.statvfs(place).f_files if hasattr(os, "statvfs") else 0
    found = f"{place.absolute()}: {size(free)} free"
    if total and not nodes:  # file systems without a number of files write 0 of 0
        return Check(name, f"{found}, but no more files", "warning", "new files cannot be made there", "remove files")
    if free < LEAST_FREE:
        problem = f"a full scene takes about {size(LEAST_FREE)} of disk"
        return Check(name, found, "warning", problem, "free space, or name another folder (TMPDIR for temporary files)")
    return Check(name, found)


def _works(scratch: Path, place: Path, kind: str) -> Iterator[Check]:
    found = f"{place.absolute()}: {kind}" + (" (network)" if kind in NETWORK else "")
    renames, locks = _replaces(scratch), _locks(scratch / "lock")
    if not renames or any(word in kind for word in STORES):
        problem = "files may be seen half-written: a rename is not done in one step there"
        yield Check("renames", found, "warning", problem, "write to a local or shared disk, and copy from there")
    else:
        yield Check("renames", f"{found}, in one step")
    if locks:
        yield Check("locks", f"{found}, locks hold")
    else:
        problem = "two commands on the same output would not see each other; rsseg batch needs locks"
        remedy = "write to a local disk, or have the share mounted with locks (NFS: without nolock)"
        yield Check("locks", found, "warning", problem, remedy)


def _replaces(scratch: Path) -> bool:
    """Whether a file takes the place of another, and a folder moves, each in one step."""
    old, new, folder = scratch / "old", scratch / "new", scratch / "folder"
    old.write_bytes(b"old")
    new.write_bytes(b"new")
    (folder / "inside").mkdir(parents=True)
    try:
        new.replace(old)
        folder.replace(scratch / "moved")
    except OSError:
        return False
    return old.read_bytes() == b"new" and (scratch / "moved" / "inside").is_dir() and not new.exists()


def _locks(path: Path) -> bool:
    """Whether a lock of a whole file keeps a second one out, and a part of a file can be locked."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return False
    with closing(path.open("wb")) as first, closing(path.open("wb")) as second:
        try:
            fcntl.lockf(second, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 << 50)
            fcntl.lockf(second, fcntl.LOCK_UN, 1, 1 << 50)  # NFS counts both kinds of locks as one
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def file_system(place: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of file system that a folder lies on, as the kernel calls it; "unknown" where it does not say."""
    found, longest = "unknown", -1
    resolved = place.resolve()
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return found
    for line in lines:
        words = line.split(" ")
        if len(words) < 3:
            continue
        # blanks in places are written as \040
        point = Path(words[1].replace("\\040", " ").replace("\\011", "\t"))
        if resolved.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = words[2], len(point.parts)
    return found
