"""From many clusters to the classes of another map: by the pixels that both have, or by mean spectra elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rsseg.errors import GridError, InputError, UsageError
from rsseg.label.counting import meetings
from rsseg.label.legend import Legend
from rsseg.label.maps import LabelMap, describe
from rsseg.label.merging import distances, doubts
from rsseg.label.reduction import by_reference, by_spectrum, legend_of
from rsseg.label.spectra import ClusterSpectra
from rsseg.progress import SILENT, Reporter
from rsseg.scene.raster import same_grid
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class MapClasses:
    """The classes of a label map: their values by rising value, names, and colours where the file has them."""

    values: tuple[int, ...]
    names: tuple[str, ...]
    colours: tuple[str | None, ...]


def classes_of(source: LabelMap, pixels: np.ndarray) -> MapClasses:
    """The classes that a map names and those that occur in it.

    Args:
        source: the map.
        pixels: (256,) its pixels of each value, or as many of them as were looked at.
    """
    values = sorted({*source.names, *(int(value) for value in np.flatnonzero(pixels))} - {0})
    names = tuple(source.names.get(value, f"class {value}") for value in values)
    return MapClasses(tuple(values), names, tuple(source.colours.get(value) for value in values))


def shared_pixels(source: LabelMap, other: LabelMap, reporter: Reporter = SILENT) -> np.ndarray:
    """How often each cluster of a map meets each class of another on its grid: (256, 256) int64, no data included.

    Raises: GridError if no pixel is labelled in both.
    """
    table = meetings(source, other, 255, "other map", reporter)
    if not table[1:, 1:].any():
        raise GridError(
            f"{other.path} has data on no labelled pixel of {source.path}, so that nothing says which class a cluster "
            "is; for another place, --scene and --like-scene compare their spectra"
        )
    return table


def by_map(
    table: np.ndarray, classes: MapClasses, made: Mapping[str, str], spectra: ClusterSpectra | None = None
) -> Legend:
    """Each cluster gets the class of another map that most of its pixels lie on, with its value, name and colour.

    Clusters that lie nowhere on it go to the class of the nearest mean spectrum if spectra are given, else each becomes
    a class of its own with a free value, marked unknown.

    Args:
        table: as of ``shared_pixels``.
        classes: of the other map.
        made: what the legend says of its making.
        spectra: of the clusters.
    """
    chosen = table[:, [0, *classes.values]]
    return by_reference(chosen, classes.names, classes.colours, made, spectra, values=classes.values, how="map")


def by_other_spectra(
    mine: ClusterSpectra, others: ClusterSpectra, classes: MapClasses, made: Mapping[str, str]
) -> Legend:
    """Each cluster gets the class of another map, perhaps of another place, with the nearest mean spectrum.

    Spectra are compared in the standard deviations of each band within the two scenes, pooled over their pixels: how
    far the scenes' means lie apart does not count. A cluster without a valid pixel becomes a class of its own that is
    marked unknown.

    Args:
        mine, others: spectra of the clusters and of the other map's classes, of the same bands in the same units.
        classes: of the other map.
        made: what the legend says of its making.

    Raises: InputError if the other map has no class with valid pixels.
    """
    owners = np.array([place for place, value in enumerate(classes.values) if others.counts[value]], np.int64)
    if not owners.size:
        raise InputError("no class of the other map has a valid pixel in its scene; there is nothing to compare with")
    scale = pooled_spread(mine, others)
    used = np.flatnonzero(mine.counts)
    points, centres = mine.means[used] / scale, others.means[[classes.values[place] for place in owners]] / scale
    nearest = owners[distances(points, centres).argmin(axis=1)]
    doubt = doubts(points, nearest, centres, owners)
    found = {
        int(value): (int(owner), by_spectrum(int(mine.counts[value]), float(part)))
        for value, owner, part in zip(used, nearest, doubt, strict=True)
    }
    clusters = [int(value) for value in np.flatnonzero(mine.pixels)]
    return legend_of(zip(classes.names, classes.colours, strict=True), found, clusters, made, classes.values)


def pooled_spread(first: ClusterSpectra, second: ClusterSpectra) -> np.ndarray:
    """The standard deviation of each band within two scenes, over the pixels of both: (bands,), 1 where it is 0."""
    squares, pixels = np.zeros(len(first.bands)), 0
    for spectra in (first, second):
        counts = spectra.counts[:, None]
        centre = (counts * spectra.means).sum(axis=0) / max(1, int(counts.sum()))
        squares += (counts * (spectra.variances + (spectra.means - centre) ** 2)).sum(axis=0)
        pixels += int(counts.sum())
    spread = np.sqrt(squares / max(1, pixels))
    return np.asarray(np.where(spread > 0, spread, 1.0))


def check_comparable(scene: Scene, other: Scene) -> tuple[str, ...]:
    """The bands that two scenes have in common by name, in the first one's order.

    Raises: UsageError if they have none, or if their numbers are not in the same units.
    """
    if scene.units != other.units:
        raise UsageError(
            f"{scene.path} is {scene.units}, {other.path} is {other.units}, so that their spectra cannot be compared; "
            "rsseg toa or --scale makes both reflectance"
        )
    known = {name.casefold() for name in other.band_names}
    shared = tuple(name for name in scene.band_names if name.casefold() in known)
    if not shared:
        raise UsageError(
            f"{scene.path} with the bands {', '.join(scene.band_names)} and {other.path} with "
            f"{', '.join(other.band_names)} have no band of one name; band descriptions give names"
        )
    return shared


def check_on_grid(source: LabelMap, other: LabelMap) -> None:
    """Refuse another map of another grid.

    Raises: GridError, with both grids and the ways out.
    """
    if not same_grid(source.grid, other.own_grid):
        raise GridError(
            f"{other.path} lies on another grid than {source.path}: {describe(other.own_grid)}, but the map has "
            f"{describe(source.grid)}; --resample nearest brings it there, and for another place --scene and "
            "--like-scene compare the spectra of both"
        )
