"""The libraries that rsseg computes with: there, new enough, with drivers and data, not in each other's way."""

import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

from rsseg.pipeline.stages.doctor_checks import Check

NEEDED = (
    *("numpy", "pydantic", "yaml", "rich", "rasterio", "scipy", "sklearn", "skimage", "geopandas", "pandas", "pyogrio"),
    *("pyproj", "shapely", "pyarrow", "matplotlib", "PIL", "safetensors", "torch"),
)
"""What a map of a scene takes, as modules."""

OPTIONAL = {
    "dask": "rsseg batch",
    "distributed": "rsseg batch",
    "cryptography": "rsseg batch",
    "torchvision": "training that starts from ImageNet weights",
}

INSTALL = "pip install --upgrade rsseg, in this Python's environment"

VARIABLES = ("GDAL_DATA", "PROJ_LIB", "PROJ_DATA", "GDAL_DRIVER_PATH")

READ = {"JP2OpenJPEG": "products whose bands are JPEG 2000", "PNG": "PNG rasters", "VRT": "virtual mosaics"}
WRITTEN = ("GTiff", "COG")
VECTORS = {"GPKG": "GeoPackage", "FlatGeobuf": "FlatGeobuf", "ESRI Shapefile": "Shapefiles", "GeoJSON": "GeoJSON"}


def packages() -> Iterator[Check]:
    """Which packages are there, by what this Python would import, and which are too old for rsseg."""
    absent = [name for name in NEEDED if not _there(name)]
    if absent:
        yield Check("packages", f"no {', '.join(absent)}", "missing", "maps cannot be made", INSTALL)
    for name, work in OPTIONAL.items():
        if not _there(name):
            yield Check(name, "not installed", "warning", f"{work} will not work", f"pip install {name}")
    old = list(_too_old())
    if old:
        yield Check("versions", "; ".join(old), "warning", "rsseg was not tested with these and may fail", INSTALL)
    if not absent and not old:
        yield Check("packages", f"all {len(NEEDED)} that maps take")


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _too_old() -> Iterator[str]:
    """Installed packages below the version that rsseg's own metadata asks for."""
    try:
        asked = metadata.requires("rsseg") or []
    except metadata.PackageNotFoundError:  # run from a folder of sources
        return
    for line in asked:
        match = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)\s*$", line)
        if match is None:
            continue
        try:
            found = metadata.version(match[1])
        except metadata.PackageNotFoundError:
            continue
        if _numbers(found) < _numbers(match[2]):
            yield f"{match[1]} {found} is older than {match[2]}"


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def gdal() -> Iterator[Check]:
    """GDAL as rasterio carries it: its formats, compressions and archives."""
    import rasterio

    with rasterio.Env() as environment:
        drivers = set(environment.drivers())
    version = f"rasterio {rasterio.__version__} with GDAL {rasterio.__gdal_version__}"
    lacking = [name for name in WRITTEN if name not in drivers]
    if lacking:
        yield Check("GDAL", f"{version}, without {', '.join(lacking)}", "missing", "maps cannot be written", INSTALL)
    elif _numbers(rasterio.__gdal_version__) < (3, 9):
        problem = "overviews of label maps and their attribute tables need GDAL 3.9"
        yield Check("GDAL", version, "warning", problem, INSTALL)
    else:
        yield Check("GDAL", f"{version}: {', '.join(WRITTEN)}")
    for name, what in READ.items():
        if name not in drivers:
            yield Check(f"GDAL {name}", "no driver", "warning", f"{what} cannot be read", INSTALL)
    yield from _archives()


def _archives() -> Iterator[Check]:
    """Write small rasters in each compression, and read one inside an archive, as products are."""
    import numpy as np
    import rasterio

    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    form = {"driver": "GTiff", "height": 16, "width": 16, "count": 1, "dtype": "uint8"}
    placed = {"crs": None, "transform": rasterio.Affine(1, 0, 5, 0, -1, 5)}
    with tempfile.TemporaryDirectory(prefix="rsseg-doctor-") as name:
        folder = Path(name)
        for compression in ("deflate", "zstd", "lzw"):
            path = folder / f"{compression}.tif"
            try:
                with rasterio.open(path, "w", **form, **placed, compress=compression) as file:
                    file.write(pixels)
            except Exception:
                problem = f"rasters with {compression} can be neither read nor written"
                yield Check("GDAL", f"no {compression}", "warning", problem, INSTALL)
        with zipfile.ZipFile(folder / "product.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(folder / "deflate.tif", "band.tif")
        with rasterio.open(f"/vsizip/{folder / 'product.zip'}/band.tif") as file:
            if not np.array_equal(file.read(), pixels):
                raise ValueError("a raster in a .zip reads as other values")
    yield Check("archives", ".zip is read in place")


def vectors() -> Iterator[Check]:
    """GDAL as pyogrio carries it, for polygons, and Parquet."""
    import pyogrio

    found = pyogrio.list_drivers()
    lacking = [title for name, title in VECTORS.items() if "w" not in found.get(name, "")]
    version = f"pyogrio {pyogrio.__version__} with GDAL {'.'.join(map(str, pyogrio.__gdal_version__))}"
    if lacking:
        problem = f"{', '.join(lacking)} cannot be written"
        yield Check("vectors", version, "warning", problem, INSTALL)
    else:
        yield Check("vectors", f"{version}: {', '.join(VECTORS.values())}")
    import_module("pyarrow.parquet")
    yield Check("parquet", f"pyarrow {metadata.version('pyarrow')}")


def projections() -> Iterator[Check]:
    """Whether PROJ finds its data, asked of each library that carries one: a point in UTM 43 N."""
    import pyproj
    from rasterio.warp import transform

    remedy = f"unset PROJ_LIB and PROJ_DATA, or {INSTALL}"
    problem = "polygons and maps of other coordinate systems cannot be brought together"
    with_rasterio = transform("EPSG:4326", "EPSG:32643", [77.5], [12.9])
    with_pyproj = pyproj.Transformer.from_crs(4326, 32643, always_xy=True).transform(77.5, 12.9)
    apart = max(abs(with_rasterio[i][0] - with_pyproj[i]) for i in (0, 1))
    if apart > 0.001 or not abs(with_pyproj[0] - 771_000) < 1000:
        found = f"rasterio's and pyproj's coordinates are {apart:g} m apart"
        yield Check("projections", found, "missing", problem, remedy)
    else:
        yield Check("projections", f"PROJ {pyproj.proj_version_str}, a point is where it should be")


def conflicts() -> Iterator[Check]:
    """Variables that point libraries at another one's data, and several GDALs of which not each has its own."""
    for name in VARIABLES:
        value = os.environ.get(name)
        if value and not _own(value):
            problem = "libraries read the data of another installation, and fail or put maps in a wrong place"
            yield Check(name, value, "warning", problem, f"unset {name}")
    loaded = _loaded("libgdal")
    versions = {f"rasterio {version}" for version in [_gdal_of("rasterio")] if version}
    versions |= {f"pyogrio {version}" for version in [_gdal_of("pyogrio")] if version}
    shared = [path for path in loaded if not re.search(r"/(rasterio|pyogrio|fiona)\.(libs|dylibs)/", path)]
    if len(loaded) > 1 and shared:
        problem = "two GDALs in one process, one of them the system's, can disturb each other"
        remedy = "install rasterio and pyogrio from the same place: both by pip, or both by conda"
        yield Check("several GDALs", ", ".join(loaded), "warning", problem, remedy)
    elif versions:
        yield Check("several GDALs", f"{', '.join(sorted(versions))}: not in each other's way")


def _own(value: str) -> bool:
    """Whether a place belongs to this Python's environment."""
    return any(Path(part).is_relative_to(sys.prefix) for part in value.split(os.pathsep))


def _loaded(library: str) -> list[str]:
    """Files of a library that this process has loaded (Linux; elsewhere none are seen)."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return []
    places = {line.split(None, 5)[5] for line in lines if len(line.split(None, 5)) == 6}
    return sorted(place for place in places if Path(place).name.startswith(library))


def _gdal_of(name: str) -> str | None:
    """The version of the GDAL that a module carries, if it is imported."""
    version = getattr(sys.modules.get(name), "__gdal_version__", None)
    return ".".join(map(str, version)) if isinstance(version, tuple) else version
