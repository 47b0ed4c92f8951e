"""A simulated Resourcesat-2 LISS-IV product: digital numbers on a map grid, laid out as the real ones are."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from math import pi, radians, sin
from pathlib import Path
from types import TracebackType
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo
from zlib import crc32

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform

from rsseg.errors import UsageError
from rsseg.scene.grid import Grid, Window
from rsseg.scene.radiometry import earth_sun_distance
from rsseg.scene.raster import gdal_errors, to_rasterio
from rsseg.scene.sensors.resourcesat import LISS4
from rsseg.scene.simulate import sun
from rsseg.scene.simulate.footprint import Footprint
from rsseg.scene.simulate.metadata import META_NAME, meta_text
from rsseg.scene.simulate.noise import Floats
from rsseg.scene.simulate.spectra import Light
from rsseg.scene.simulate.world import World

BAND_NUMBERS = (2, 3, 4)
LMAX = (52.0, 47.0, 31.5)
"""Radiance of the largest digital number in mW cm-2 sr-1 um-1: green, red, near infrared."""
DN_MAX = 1023
NOISE = 0.0007
"""Standard deviation of the sensor's noise in reflectance, a little less than one digital number."""

PIXEL = 5.0
ZONE, EPSG = 44, 32644
_WORLD = 250_000.0, 2_400_000.0
"""Easting and northing of the world's row 0 and column 0: central India."""
_EASTINGS, _NORTHINGS = (170_000.0, 830_000.0), (1_000_000.0, 4_000_000.0)
MIN_SIDE = 32


@dataclass(frozen=True)
class Product:
    """What a product shows: the world ``seed`` on ``day``, ``size`` (height, width) from ``origin`` (row, column).

    Raises: UsageError if it is smaller than 32 pixels or leaves the part of the world that the map zone covers.
    """

    size: tuple[int, int]
    seed: int = 0
    day: date = date(2020, 1, 24)
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if min(self.size) < MIN_SIDE:
            size = f"{self.size[0]} x {self.size[1]}"
            raise UsageError(f"a product of {size} pixels is too small; give --size {MIN_SIDE}x{MIN_SIDE} or more")
        left, bottom, right, top = self.grid.bounds
        inside = _EASTINGS[0] <= left and right <= _EASTINGS[1] and _NORTHINGS[0] <= bottom and top <= _NORTHINGS[1]
        if not inside:
            raise UsageError(f"--shift {self.origin[0]},{self.origin[1]} leaves UTM zone {ZONE}; choose a smaller one")

    @cached_property
    def grid(self) -> Grid:
        """The map grid: UTM, 5 m."""
        x, y = _WORLD[0] + PIXEL * self.origin[1], _WORLD[1] - PIXEL * self.origin[0]
        return Grid(*self.size, (PIXEL, 0.0, x, 0.0, -PIXEL, y), CRS.from_epsg(EPSG).to_wkt())

    @property
    def footprint(self) -> Footprint:
        """The pixels that are not fill."""
        return Footprint(*self.size)

    def lonlat(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Longitude and latitude in degrees of fractional (row, column) positions."""
        xs, ys = zip(*(self.grid.xy(row, col) for row, col in points), strict=True)
        lons, lats = transform(CRS.from_epsg(EPSG), CRS.from_epsg(4326), list(xs), list(ys))
        return list(zip(lons, lats, strict=True))

    @property
    def centre(self) -> tuple[float, float]:
        """Longitude and latitude of the raster's middle."""
        return self.lonlat([(self.size[0] / 2, self.size[1] / 2)])[0]

    @property
    def time(self) -> datetime:
        """When the middle was seen, in UTC: 10:30 local solar time, as the orbit has it (about 05:15 in India)."""
        midnight = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
        return midnight + timedelta(hours=10.5 - self.centre[0] / 15)

    @cached_property
    def light(self) -> Light:
        """The sun at the middle, to the digits that the metadata gives."""
        lon, lat = self.centre
        elevation, azimuth = sun.position(self.time, lat, lon)
        return Light(round(elevation, 6), round(azimuth, 6))

    @property
    def number(self) -> str:
        """The product id: nine digits, another for every other content."""
        return f"9{crc32(repr((self.size, self.seed, self.day, self.origin)).encode()) % 10**8:08d}"

    @cached_property
    def world(self) -> World:
        """The land, on this day."""
        return World(self.seed, self.day, self.light)

    @cached_property
    def dn_per_reflectance(self) -> Floats:
        """Digital number = this x reflectance, a band: the inverse of the calibration."""
        factor = sin(radians(self.light.elevation)) / (pi * earth_sun_distance(self.time) ** 2)
        esun = LISS4.esun["thuillier"]
        factors = [esun[n] * factor * DN_MAX / top for n, top in zip(BAND_NUMBERS, LMAX, strict=True)]
        return np.array(factors, np.float32)

    def absolute(self, window: Window) -> Window:
        """A window of the product as a window of the world."""
        return Window(window.row + self.origin[0], window.col + self.origin[1], window.height, window.width)

    def reflectance(self, window: Window) -> tuple[Floats, NDArray[np.uint8]]:
        """What the sensor measures, noise included, fill ignored: (3, h, w) float32, and the classes (h, w) 1 to 6."""
        place = self.absolute(window)
        classes, bands = self.world.render(place)
        noise = self.world.noise(place)
        noise *= np.float32(NOISE)
        bands += noise
        return bands, classes

    def render(self, window: Window) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Digital numbers (3, h, w) and classes (h, w) of a window; both are 0 outside the footprint alone."""
        numbers = np.zeros((3, window.height, window.width), np.uint16)
        truth = np.zeros((window.height, window.width), np.uint8)
        first, last = self.footprint.columns(window)
        if first < last:
            seen = Window(window.row, first, window.height, last - first)
            bands, classes = self.reflectance(seen)
            inside = self.footprint.mask(seen)
            part = slice(first - window.col, last - window.col)
            numbers[:, :, part] = self._quantised(bands) * inside
            truth[:, part] = classes * inside
        return numbers, truth

    def _quantised(self, bands: Floats) -> NDArray[np.uint16]:
        bands = bands * self.dn_per_reflectance[:, None, None]
        # never 0 in all bands: that means fill
        return np.clip(np.rint(bands), 1, DN_MAX).astype(np.uint16)


class ProductWriter:
    """Writes the files of a product into a folder; a context manager, windows in any order."""

    def __init__(self, folder: Path, product: Product) -> None:
        self.folder, self.product = folder, product

    def __enter__(self) -> "ProductWriter":
        grid = self.product.grid
        profile = {
            "driver": "GTiff",
            "height": grid.height,
            "width": grid.width,
            "count": 1,
            "dtype": "uint16",
            "crs": CRS.from_epsg(EPSG),
            "transform": rasterio.Affine(*grid.transform),
            "tiled": False,
            "blockysize": 1,
            "bigtiff": "IF_SAFER",
        }
        with ExitStack() as stack:
            # GDAL's default cache is a share of the machine's memory
            stack.enter_context(rasterio.Env(GDAL_CACHEMAX=64))
            paths = [self.folder / f"BAND{number}.tif" for number in BAND_NUMBERS]
            with gdal_errors(f"write {self.folder}"):
                self._bands = [stack.enter_context(rasterio.open(path, "w", **profile)) for path in paths]
            self._stack = stack.pop_all()
        return self

    def write(self, numbers: NDArray[np.uint16], window: Window) -> None:
        """Write digital numbers (3, h, w) at a window."""
        with gdal_errors(f"write {self.folder}"):
            for band, values in zip(self._bands, numbers, strict=True):
                band.write(values, 1, window=to_rasterio(window))

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with gdal_errors(f"write {self.folder}"):
            self._stack.close()
        if kind is None:
            text = meta_text(self.product)
            (self.folder / META_NAME).write_text(text, encoding="ascii", newline="\n")


def pack(folder: Path, archive: Path, product: Product) -> None:
    """Put the files of ``folder`` into a zip as the portals do, in a folder named by the product id.

    The same product gives the same archive: the files carry the product's time.
    """
    stamp = product.time.timetuple()[:6]
    with ZipFile(archive, "w", ZIP_DEFLATED) as zipped:
        for path in sorted(folder.iterdir()):
            info = ZipInfo(f"BH_{product.number}/{path.name}", date_time=stamp)
            info.compress_type, info.file_size = ZIP_DEFLATED, path.stat().st_size
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, zipped.open(info, "w") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
