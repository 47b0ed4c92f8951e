"""What a label map holds within polygons: pixels and area of every class, zone by zone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError
from rasterio.warp import transform_bounds

from rsseg.errors import InputError, UsageError
from rsseg.label.maps import LabelMap, strips
from rsseg.label.reference_layers import POLYGONS, is_vector, on_crs
from rsseg.progress import SILENT, Reporter
from rsseg.scene.area import known_pixel_areas
from rsseg.scene.grid import Grid, Window
from rsseg.scene.polygons import PIECES, burnt, layer_of


@dataclass(frozen=True)
class Zones:
    """Polygons with a field each by which they are called, in the map's CRS; ``frame`` is as the file has it."""

    path: Path
    names: tuple[str, ...]
    shapes: Any
    frame: Any

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class ZoneCounts:
    """By zone and label (0 is no data): ``pixels`` (zones, 256) int64 and ``areas`` (zones, 256) float64.

    Areas are in square metres; None where nothing says how large pixels are.
    """

    pixels: NDArray[np.int64]
    areas: NDArray[np.float64] | None

    @property
    def majority(self) -> NDArray[np.int64]:
        """The label with most pixels, the smaller of equal ones: (zones,), 0 where a zone has no labelled pixel."""
        best = np.argmax(self.pixels[:, 1:], axis=1) + 1
        return np.where(self.pixels[:, 1:].any(axis=1), best, 0)


def read_zones(path: Path, grid: Grid, field: str | None = None) -> Zones:
    """Read the polygons of a file, in any CRS.

    Args:
        path: a file of polygons that GDAL reads, in one layer, or a GeoParquet.
        grid: the grid of the map.
        field: the field that names zones; by default they are numbered from 1, in the order of the file.

    Raises: InputError if there is no polygon in it; UsageError for a field that it lacks; GridError without a CRS.
    """
    frame = _read(path)
    frame = frame[frame.geometry.geom_type.isin(POLYGONS) & ~frame.geometry.is_empty].reset_index(drop=True)
    if frame.empty:
        raise InputError(f"{path} holds no polygon; zones are polygons")
    fields = [str(name) for name in frame.columns if name != frame.geometry.name]
    if field is not None and field not in fields:
        raise UsageError(f"{path} has no field {field!r}; its fields are {', '.join(fields) or 'none'}")
    names = range(1, len(frame) + 1) if field is None else frame[field]
    texts = tuple("" if value is None or value != value else str(value) for value in names)
    return Zones(path, texts, on_crs(_bendable(frame, grid), grid, path).geometry, frame)


def zone_counts(source: LabelMap, zones: Zones, reporter: Reporter = SILENT) -> ZoneCounts:
    """Count the labels of the pixels whose centre lies in a zone; zones may overlap, each counts in full.

    The map is read once, in strips of 512 rows; memory is that of a strip, of the polygons, and 4 KB a zone.
    """
    pixels = np.zeros((len(zones), 256), np.int64)
    sizes = known_pixel_areas(source.grid)
    areas = None if sizes is None else np.zeros((len(zones), 256))
    boxes = _boxes(zones.shapes.bounds.to_numpy(), source.grid)
    shapes = list(zones.shapes)
    with reporter.task("zones", source.grid.height) as task:
        for window, (labels,) in strips([source], source.grid):
            for zone in np.flatnonzero((boxes[:, 0] < window.end[0]) & (boxes[:, 2] > window.row)):
                part = _common(boxes[zone], window)
                inside = burnt([(shapes[zone], 1)], source.grid.crop(part)).astype(bool)
                found = labels[part.row - window.row : part.end[0] - window.row, part.col : part.end[1]]
                pixels[zone] += np.bincount(found[inside], minlength=256)
                if areas is not None and sizes is not None:
                    rows = np.broadcast_to(sizes[part.row : part.end[0], None], found.shape)
                    areas[zone] += np.bincount(found[inside], rows[inside], 256)
            task.advance(window.height)
    return ZoneCounts(pixels, areas)


def on_map(zones: Zones, grid: Grid) -> NDArray[np.float64]:
    """The part of each zone's area that lies within the map's frame: (zones,), 0 to 1."""
    corners = [grid.xy(row, col) for row, col in ((0, 0), (0, grid.width), grid.shape, (grid.height, 0))]
    shapes = shapely.make_valid(zones.shapes.to_numpy())
    whole = shapely.area(shapes)
    inside = shapely.area(shapely.intersection(shapes, shapely.Polygon(corners)))
    share: NDArray[np.float64] = np.zeros(len(zones))
    np.divide(inside, whole, out=share, where=np.isfinite(whole) & (whole > 0))
    return share


def _read(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.suffix.lower() == ".parquet":
        try:
            return geopandas.read_parquet(path)
        except (ValueError, OSError) as problem:
            raise InputError(f"{path} is no GeoParquet: {' '.join(str(problem).split())}") from problem
    if not is_vector(path):
        raise InputError(f"{path} is no file of polygons that can be read; give a .gpkg, .shp, .geojson or the like")
    return geopandas.read_file(path, layer=layer_of(path))


def _bendable(frame: Any, grid: Grid) -> Any:
    """Polygons whose edges are cut to pieces: what is straight in their CRS is bent in the map's."""
    if frame.crs is None or grid.crs is None or frame.crs == grid.crs:
        return frame
    try:
        left, bottom, right, top = transform_bounds(grid.crs, frame.crs, *grid.bounds, densify_pts=21)
    except (CRSError, CPLE_BaseError):
        return frame
    length = float(np.hypot(right - left, top - bottom)) / PIECES
    return frame.set_geometry(shapely.segmentize(frame.geometry.to_numpy(), length)) if 0 < length < np.inf else frame


def _boxes(bounds: NDArray[np.float64], grid: Grid) -> NDArray[np.int64]:
    """The pixels that zones may hold: (zones, 4) first row and column, end row and column; empty off the map."""
    # what cannot be brought into the map's CRS lies nowhere
    known: NDArray[np.bool_] = np.all(np.isfinite(bounds), axis=1)
    left, bottom, right, top = np.where(known[:, None], bounds, 0.0).T
    corners = [grid.rowcol(x, y) for x in (left, right) for y in (bottom, top)]
    rows, cols = (np.stack([corner[axis] for corner in corners]) for axis in (0, 1))
    low = [np.floor(np.clip(part.min(axis=0), 0, size)) for part, size in ((rows, grid.height), (cols, grid.width))]
    high = [np.ceil(np.clip(part.max(axis=0), 0, size)) for part, size in ((rows, grid.height), (cols, grid.width))]
    boxes: NDArray[np.int64] = np.stack([*low, *high], axis=1).astype(np.int64)
    boxes[(boxes[:, 1] >= boxes[:, 3]) | ~known] = 0
    return boxes


def _common(box: NDArray[np.int64], window: Window) -> Window:
    row, end = max(int(box[0]), window.row), min(int(box[2]), window.end[0])
    return Window(row, int(box[1]), end - row, int(box[3] - box[1]))
