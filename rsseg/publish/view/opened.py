"""Files that stay open while they are served: one thread at a time, and opened anew when a run replaces them."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import rasterio

from rsseg.errors import InputError

Reader = TypeVar("Reader", bound=AbstractContextManager)

Stamp = tuple[int, int, int]
"""What tells a file from the one that replaced it: time, size, place on the disk."""


def stamp_of(path: Path) -> Stamp:
    """A file's stamp.

    Raises: InputError if it is not there.
    """
    try:
        found = path.stat()
    except OSError:
        raise InputError(f"{path} is no longer there; reload the page to see what is") from None
    return found.st_mtime_ns, found.st_size, found.st_ino


class Opened(Generic[Reader]):
    """One reader of a file, shared by the server's threads."""

    def __init__(self, path: Path, opener: Callable[[], Reader]) -> None:
        self.path = path
        self._opener = opener
        self._lock = threading.Lock()
        self._reader: Reader | None = None
        self._stamp: Stamp | None = None

    @contextmanager
    def use(self) -> Iterator[Reader]:
        """The reader, for this thread alone; as the file is now."""
        with self._lock:
            stamp = stamp_of(self.path)
            if self._reader is None or stamp != self._stamp:
                self._close()
                with rasterio.Env():  # else the reader holds this thread's, and another thread cannot close it
                    self._reader = self._opener()
                self._stamp = stamp
            yield self._reader

    def close(self) -> None:
        """Close the file; it is opened again when it is used again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.__exit__(None, None, None)
        self._reader = None


class TileCache:
    """The tiles used last, up to so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._tiles: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """A tile by its key, made if it is not there."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = make()
        with self._lock:
            self._size += len(tile) - len(self._tiles.pop(key, b""))
            self._tiles[key] = tile
            while self._size > self._limit:
                self._size -= len(self._tiles.popitem(last=False)[1])
        return tile
