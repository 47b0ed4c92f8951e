"""What a scene and its maps look like: pictures brought to the page's size, colours, names, areas, spectra."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsseg.errors import RssegError
from rsseg.label.maps import LabelMap, strips
from rsseg.label.shares import NO_SHARE
from rsseg.label.spectra import ClusterSpectra, cluster_spectra
from rsseg.progress import SILENT, Reporter
from rsseg.publish.palette import default_colour, rgb
from rsseg.publish.quicklook import decimated, in_colours
from rsseg.publish.run_folder import MapFiles, SceneFolder
from rsseg.scene.area import known_pixel_areas
from rsseg.scene.grid import Grid
from rsseg.scene.raster import gdal_errors, open_raster, same_grid
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class SceneView:
    """A scene in colours: the ``bands`` shown as red, green and blue (or one, as grey), each stretched over ``limits``.

    ``picture`` (h, w, 3) uint8 is the whole scene, white where it has no data.
    """

    shown: Scene
    limits: np.ndarray
    picture: np.ndarray

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that are shown."""
        return self.shown.band_names

    def colours(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Stored values (bands, h, w) as colours (h, w, 3) uint8; white where not ``valid``."""
        return _coloured(values, valid, self.limits)


def view_scene(scene: Scene, size: int) -> SceneView:
    """Read a scene decimated to ``size`` pixels on its longer side; each band from its 2nd to its 98th percentile.

    The bands are those of ``quicklook.in_colours``.
    """
    shown = in_colours(scene)
    with shown.open() as reader:
        values, valid = reader.read(shown.grid.window, decimated(shown.grid, size))
    limits = np.array([_limits(band, valid) for band in values])
    return SceneView(shown, limits, _coloured(values, valid, limits))


def _limits(band: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    if not valid.any():
        return 0.0, 1.0
    low, high = np.percentile(band[valid].astype(np.float64), (2, 98))
    return float(low), float(high if high > low else low + 1)


def _coloured(values: np.ndarray, valid: np.ndarray, limits: np.ndarray) -> np.ndarray:
    picture = np.full((*valid.shape, 3), 255, np.uint8)
    for place in range(3):
        band = min(place, len(values) - 1)
        low, high = limits[band]
        share = np.clip((values[band][valid].astype(np.float64) - low) / (high - low), 0, 1)
        picture[valid, place] = np.rint(254 * share)
    return picture


@dataclass(frozen=True)
class MapView:
    """A label map: decimated (h, w) uint8, with the names and colours of the values that occur in it.

    ``counts`` (256,) are pixels of the whole map; ``areas`` (256,) their hectares, None without a CRS. ``spectra`` is
    None where the scene is missing, or ``problem`` says why. ``confidence`` (h, w) uint8 is as stored.
    """

    files: MapFiles
    grid: Grid
    shown: np.ndarray
    counts: np.ndarray
    areas: np.ndarray | None
    titles: dict[int, str]
    colours: dict[int, str]
    spectra: ClusterSpectra | None
    problem: str = ""
    confidence: np.ndarray | None = None

    @property
    def model(self) -> str:
        """The model that made the map."""
        return self.files.model

    @property
    def values(self) -> list[int]:
        """The values that occur, in order."""
        return list(self.titles)

    @property
    def palette(self) -> np.ndarray:
        """Colours (256, 3) uint8 of all values; 0 is white."""
        table = np.full((256, 3), 255, np.uint8)
        for value, colour in self.colours.items():
            table[value] = rgb(colour)
        return table

    def share(self, value: int) -> float:
        """What part of the labelled pixels has a value."""
        return float(self.counts[value] / max(1, self.counts[1:].sum()))


def view_map(files: MapFiles, scene: Scene | None, size: int, reporter: Reporter = SILENT) -> MapView:
    """Read a map: decimated from its overviews, and once whole in strips to count; with its scene, its spectra too.

    Raises: InputError if the map cannot be read.
    """
    with LabelMap(files.labels) as source:
        shown = source.read(source.grid.window, decimated(source.grid, size))
        counts, areas = _sizes(source, reporter)
        values = [int(value) for value in np.flatnonzero(counts[1:]) + 1]
        titles = {value: source.title(value) for value in values}
        colours = {value: source.colours.get(value, default_colour(value)) for value in values}
    spectra, problem = (None, "") if scene is None else _spectra(files.labels, scene, reporter)
    confidence = _confidence(files.confidence, size)
    return MapView(files, source.grid, shown, counts, areas, titles, colours, spectra, problem, confidence)


def _sizes(source: LabelMap, reporter: Reporter) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of every value, and their hectares."""
    rows = _row_hectares(source.grid)
    counts, areas = np.zeros(256, np.int64), np.zeros(256)
    with reporter.task("count", source.grid.height) as task:
        for window, (labels,) in strips((source,), source.grid):
            found = np.bincount(labels.ravel(), minlength=256)
            counts += found
            if rows is not None:
                areas += _strip_areas(labels, found, rows[window.row : window.end[0]])
            task.advance(window.height)
    return counts, areas if rows is not None else None


def _row_hectares(grid: Grid) -> np.ndarray | None:
    """Hectares of a pixel of each row, (height,); None where nothing says how large pixels are."""
    rows = known_pixel_areas(grid)
    return None if rows is None else rows / 1e4


def _strip_areas(labels: np.ndarray, found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if rows.min() == rows.max():
        return np.asarray(found * rows[0])
    return sum(
        (np.bincount(line, minlength=256) * area for line, area in zip(labels, rows, strict=True)), np.zeros(256)
    )


def _spectra(labels: Path, scene: Scene, reporter: Reporter) -> tuple[ClusterSpectra | None, str]:
    """The clusters' spectra; a map of patches is brought to the scene's pixels."""
    try:
        with matched(labels, scene) as source:
            return cluster_spectra(source, scene, reporter), ""
    except RssegError as problem:
        return None, f"The spectra cannot be given: {problem}."


def matched(labels: Path, scene: Scene) -> LabelMap:
    """A map on its scene's grid."""
    own = LabelMap(labels)
    if same_grid(own.grid, scene.grid):
        return own
    own.__exit__()
    return LabelMap(labels, like=scene.grid, resample="nearest")


def _confidence(path: Path | None, size: int) -> np.ndarray | None:
    """A confidence decimated like its map; None without one, or where it is the same everywhere, as of k-means."""
    if path is None:
        return None
    with open_raster(path) as dataset, gdal_errors(f"read {path}: it is truncated or damaged"):
        shape = decimated(Grid(dataset.height, dataset.width), size)
        values: np.ndarray = dataset.read(1, out_shape=shape)
    known = values[values != NO_SHARE]
    return values if values.dtype == np.uint8 and known.size and known.min() < known.max() else None


def view_all(scene: SceneFolder, size: int, reporter: Reporter = SILENT) -> tuple[SceneView | None, Sequence[MapView]]:
    """A scene and all its maps."""
    seen = view_scene(scene.scene, size) if scene.scene is not None else None
    return seen, [view_map(files, scene.scene, size, reporter) for files in scene.maps]
