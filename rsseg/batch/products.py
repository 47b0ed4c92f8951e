"""Finding the scenes of an archive: products and rasters below a folder, or those that a list names.

Nothing is opened here but lists and folders, so that ten thousand scenes are found in seconds; what is broken is found
out when its turn comes, and told as that scene's failure.
"""

import os
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rsseg.batch.lists import of_csv, of_stac
from rsseg.errors import InputError
from rsseg.pipeline.cache import FOLDER
from rsseg.scene.sensors import is_metadata
from rsseg.scene.sensors.container import ARCHIVES
from rsseg.scene.sensors.landsat import META as MTL

RASTERS = (".tif", ".tiff", ".img", ".jp2", ".vrt", ".dat", ".bil", ".bsq")
"""Suffixes of rasters that are scenes of their own where no product holds them."""


@dataclass(frozen=True)
class Product:
    """A scene of an archive: what ``open_scene`` takes, and where in the archive it lies (its name for people)."""

    path: Path
    place: str


def find_products(archive: Path, say: Callable[[str], None] = lambda message: None) -> list[Product]:
    """The scenes of an archive, sorted by their place.

    ``archive``: a folder, searched with all its folders (links to folders are followed, each folder once); one product
    or raster; a CSV with a column ``path``; or a STAC catalogue, collection or item in JSON, whose local assets are
    taken. Folders that cannot be read are told to ``say``. A folder with metadata is one product, and an output of
    rsseg is none.

    Raises: InputError if it is missing, cannot be read, or holds no scene.
    """
    if not archive.exists():
        raise InputError(f"the archive {archive} does not exist")
    if archive.is_dir():
        archive = archive.absolute()  # workers may run elsewhere
        found = [Product(path, path.relative_to(archive).as_posix()) for path in _below(archive, say)]
        found = [Product(archive, archive.resolve().name) if item.place == "." else item for item in found]
    elif archive.suffix.lower() == ".csv":
        found = _listed(archive, of_csv(archive))
    elif archive.suffix.lower() in (".json", ".geojson") and not is_metadata(archive.name):
        found = _listed(archive, list(of_stac(archive, (*RASTERS, *ARCHIVES), say)))
    else:
        found = [Product(archive.absolute(), archive.name)]
    if not found:
        raise InputError(f"{archive} holds no product and no raster; name the folder that they lie in")
    return sorted(found, key=lambda item: item.place)


def product_files(path: Path) -> list[Path]:
    """The files that a product is made of, sorted; none if it is gone.

    Of a metadata file that shares its folder with other products, the files whose names begin alike.
    """
    if path.is_dir():
        return sorted(Path(place) / name for place, _, names in os.walk(path) for name in names)
    if is_metadata(path.name):
        stem = MTL.sub("", path.name)
        beside = _beside(path.parent, path.parent.stat().st_mtime_ns) if path.parent.is_dir() else []
        if stem == path.name:
            return [path.parent / name for name in beside]
        # sorted names with one beginning lie together
        own = beside[bisect_left(beside, stem) : bisect_right(beside, stem + chr(sys.maxunicode))]
        return [path.parent / name for name in own]
    return [path] if path.exists() else []


@lru_cache(maxsize=8)
def _beside(folder: Path, changed: int) -> list[str]:
    """The files in a folder, sorted, listed once for all its products; ``changed`` is the folder's time."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_file())


def _below(archive: Path, say: Callable[[str], None]) -> Iterator[Path]:
    """Products and rasters below a folder; a folder with metadata is not searched further."""

    def unread(problem: OSError) -> None:
        say(f"cannot look into {problem.filename} ({problem.strerror}); scenes in it are left out")

    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(archive, onerror=unread, followlinks=True):
        here, status = Path(folder), Path(folder).stat()
        again = (status.st_dev, status.st_ino) in seen
        seen.add((status.st_dev, status.st_ino))
        if again or FOLDER in folders:  # a link to where we were, or an output of rsseg
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        metas = sorted(name for name in names if is_metadata(name))
        if metas:
            folders.clear()
            yield from _products(here, metas)
            continue
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in (*RASTERS, *ARCHIVES):
                yield here / name


def _products(folder: Path, metas: list[str]) -> Iterator[Path]:
    """The one product of a folder, or each of several by its metadata file, text before JSON."""
    by_stem: dict[str, str] = {}
    for name in sorted(metas, key=lambda name: not name.lower().endswith(".txt")):
        by_stem.setdefault(Path(name).stem.casefold(), name)
    yield from [folder] if len(by_stem) == 1 else [folder / name for name in by_stem.values()]


def _listed(archive: Path, names: list[str]) -> list[Product]:
    return [Product((archive.parent / name).absolute(), name) for name in dict.fromkeys(names)]
