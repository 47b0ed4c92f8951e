"""Processor, memory, open files and texts of the machine, as this process may use them (Linux; elsewhere less)."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from rsseg.pipeline.stages.doctor_checks import Check, size

ROOT = Path("/")

LEAST_MEMORY = 2 << 30
"""Bytes within which a full LISS-IV scene is mapped."""

LEAST_FILES = 1024
"""Open files that a scheduler with a few workers, or a product of many bands, may need."""

UNLIMITED = 1 << 60
"""Control groups of version 1 write a limit as large as this for none."""


def python() -> Iterator[Check]:
    """The interpreter and the system."""
    place = f"{platform.python_implementation()}, {sys.executable}"
    yield Check("python", f"{platform.python_version()} ({place}), {platform.platform(terse=True)}")


def cores(root: Path = ROOT) -> Iterator[Check]:
    """Cores that this process may run on, and how much of them its control group grants."""
    total, allowed = os.cpu_count() or 1, allowed_cores()
    granted = quota(root)
    found = f"{allowed} of {total} usable"
    if granted is not None and granted < allowed:
        threads = max(1, int(granted))
        problem = f"a container grants {granted:g} cores, but programs start a thread for each of {allowed}: slower"
        yield Check("cores", f"{found}, {granted:g} granted", "warning", problem, f"use --threads {threads}")
    else:
        yield Check("cores", found)


def allowed_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(root: Path = ROOT) -> float | None:
    """Cores granted by the control groups of this process, the fewest of them; None without limit."""
    found = []
    for folder in _groups(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (folder / "cpu.max").is_file():
                most, period = (folder / "cpu.max").read_text().split()
            else:
                most = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if int(most) > 0:
                found.append(int(most) / int(period))
    return min(found, default=None)


def memory(root: Path = ROOT) -> Iterator[Check]:
    """Memory of the machine, of the control group, and what is free of it."""
    physical, available = _meminfo(root)
    limit = memory_limit(root)
    found = [f"{size(physical)} in all"] if physical else []
    found += [f"{size(limit)} granted by a container"] if limit else []
    found += [f"{size(available)} available"] if available else []
    least = min(value for value in (physical, limit, available, UNLIMITED) if value)
    if least < LEAST_MEMORY:
        problem = f"a full scene takes about {size(LEAST_MEMORY)}; the system may end rsseg"
        remedy = "close other programs, or use smaller scenes (--aoi) and --memory 1G"
        yield Check("memory", ", ".join(found), "warning", problem, remedy)
    else:
        yield Check("memory", ", ".join(found) or "unknown")


def memory_limit(root: Path = ROOT) -> int | None:
    """Bytes granted by the control groups of this process, the fewest of them; None without limit."""
    found = []
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                found.append(int((folder / name).read_text()))
    return min((value for value in found if 0 < value < UNLIMITED), default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, inner ones first, of both versions."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, names, place = line.split(":", 2)
            if names and controller not in names.split(","):
                continue
            base = root / "sys/fs/cgroup" / (names and controller)
            inner = base / place.strip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(base))


def _meminfo(root: Path) -> tuple[int, int]:
    """Bytes of memory, and of those available; 0 where unknown."""
    rows: dict[str, int] = {}
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            key, value = line.split(":", 1)
            rows[key] = int(value.split()[0]) << 10
    return rows.get("MemTotal", 0), rows.get("MemAvailable", 0)


def open_files() -> Iterator[Check]:
    """The limit of open files."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
    if 0 <= soft < LEAST_FILES:
        problem = "rsseg batch with several workers may run out of open files"
        yield Check("open files", f"{found} (at most {hard})", "warning", problem, f"ulimit -n {LEAST_FILES}")
    else:
        yield Check("open files", found)


def texts() -> Iterator[Check]:
    """How names are written on the terminal and in the file system."""
    shown, files = getattr(sys.stderr, "encoding", None) or "unknown", sys.getfilesystemencoding()
    found = f"{shown} on stderr, {files} in names of files"
    plain = {name.lower().replace("-", "").replace("_", "") for name in (shown, files)}
    if plain != {"utf8"}:
        problem = "names of scenes and classes in other scripts cannot be shown or found"
        yield Check("texts", found, "warning", problem, "set LC_ALL=C.UTF-8 or PYTHONUTF8=1")
    else:
        yield Check("texts", found)
