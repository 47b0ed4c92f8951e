"""What every use of GDAL shares: its settings for this process, and its complaints as one sentence."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from rsseg.errors import InputError, RssegError
from rsseg.scene.shown import shown

CACHE_BYTES = 256 << 20
"""GDAL's block cache while rasters are streamed; its own default is 5 % of the machine's memory."""

# Where no one else said so; GDAL looks these up in the environment when it needs them. A file can name others that
# GDAL opens much later than itself, so that settings which hold while a raster is opened would not do.
os.environ.setdefault("GDAL_CACHEMAX", str(CACHE_BYTES >> 20))
# the one remote file that GDAL may fetch has a name that no file has
os.environ.setdefault("CPL_VSIL_CURL_ALLOWED_FILENAME", "rsseg reads local files only")
os.environ.setdefault("GDAL_VRT_ENABLE_PYTHON", "NO")


def _say(unraisable: "sys.UnraisableHookArgs", told: Callable[["sys.UnraisableHookArgs"], object]) -> None:
    """rasterio cannot log a complaint of GDAL's about bytes that are no text; Python would print a traceback."""
    if unraisable.object != "rasterio._env.log_error":
        told(unraisable)


sys.unraisablehook = partial(_say, told=sys.unraisablehook)


@contextmanager
def gdal_errors(action: str, kind: type[RssegError] = InputError) -> Iterator[None]:
    """Turn GDAL's complaints into one sentence: ``cannot ACTION (GDAL: reason)``.

    Raises: ``kind``.
    """
    try:
        yield
    except (RasterioError, CRSError, CPLE_BaseError) as problem:
        # "Read failed. See previous exception for details." hides the reason in its cause
        reason = shown(" ".join(str(problem.__cause__ or problem).split()), 500)
        raise kind(f"cannot {action} (GDAL: {reason})") from problem


class _Losses(logging.Handler):
    """Collects what GDAL, through rasterio's log, says of parts that a file lacks; for one thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message of this thread."""
        message = record.getMessage()
        if record.thread == self._thread and "IO error during reading" in message:
            self.said.append(message)


@contextmanager
def losses_told(name: str) -> Iterator[None]:
    """A header of which a part lies behind the end of the file: GDAL only warns, and reads zeros.

    Raises: InputError.
    """
    log, losses = logging.getLogger("rasterio._env"), _Losses()
    log.addHandler(losses)
    try:
        yield
    finally:
        log.removeHandler(losses)
    if losses.said:
        raise InputError(f"{name} is truncated or damaged, get it again (GDAL: {shown(losses.said[0], 200)})")


@contextmanager
def quiet() -> Iterator[None]:
    """Rasters without georeference are fine here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
