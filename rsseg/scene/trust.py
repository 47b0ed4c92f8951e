"""Which files a scene may be made of: regular ones, below the folder that the user named."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from rsseg.errors import InputError
from rsseg.scene.shown import shown

ALLOW_OUTSIDE = "RSSEG_ALLOW_OUTSIDE"
"""Environment variable; at 1 links and virtual rasters may lead to any local file. The network stays out."""

WAY_OUT = f"copy it there, or set {ALLOW_OUTSIDE}=1 if you trust who made these files"


def outside_allowed() -> bool:
    """Whether the user lets links and virtual rasters lead out of their folder."""
    return os.environ.get(ALLOW_OUTSIDE) == "1"


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a file lies below one of the folders once all links are followed, or may lie anywhere."""
    real = Path(os.path.realpath(path))
    return outside_allowed() or any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)


def kind_of(path: Path) -> str | None:
    """What a path is where it is no regular file, in words, links followed; None for a regular file."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "a link that leads nowhere" if os.path.islink(path) else "missing"  # noqa: PTH114 - never raises
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"


def check_file(path: Path, wanted: str = "a raster") -> None:
    """Check that a path is a regular file with content; nothing of it is read, so that a pipe cannot hold us.

    ``wanted`` is what it should be, for the message.

    Raises: InputError.
    """
    name = shown(path, 500)
    if "://" in str(path) or str(path).startswith("/vsi"):
        raise InputError(f"{name} is not on this machine's disks; rsseg reads local files only, download it first")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"{name} does not exist") from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
        raise InputError(f"{name} cannot be opened: {reason}") from problem
    kind = kind_of(path)
    if kind is not None:
        raise InputError(f"{name} is {kind}, not {wanted}")
    if size == 0:
        raise InputError(f"{name} is empty (0 bytes); copy or download it again")
