"""GDAL's vector drivers: their errors as one sentence, and the same bytes at any time of day."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyogrio
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError

from rsseg.errors import RssegError

DATE = "1970-01-01"
"""Equal inputs give equal files: formats that keep the day of writing get this one."""

_ERRORS = (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError, pa.ArrowException)
_OPTION = "OGR_CURRENT_DATE"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """For the calls of pyogrio that write a file; ``path`` is for the message.

    Raises: RssegError if GDAL cannot write it.
    """
    before = pyogrio.get_gdal_config_option(_OPTION)
    pyogrio.set_gdal_config_options({_OPTION: f"{DATE}T00:00:00.000Z"})
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")
            yield
    except _ERRORS as problem:
        reason = " ".join(str(problem).split())
        raise RssegError(f"cannot write {path.name} (GDAL: {reason}); is the disk full?") from problem
    finally:
        pyogrio.set_gdal_config_options({_OPTION: before})
