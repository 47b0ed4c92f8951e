"""Part of the stage ``legend``: the classes of another map, of the same place or of another one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rsseg.label.legend import Legend
from rsseg.label.legend_like import (
    by_map,
    by_other_spectra,
    check_comparable,
    check_on_grid,
    classes_of,
    shared_pixels,
)
from rsseg.label.maps import LabelMap, Resample
from rsseg.label.spectra import cluster_spectra, spectra_of_unmet
from rsseg.progress import SILENT, Reporter
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


def like_map(
    source: LabelMap,
    like: Path,
    made: Mapping[str, str],
    *,
    scene: Scene | None = None,
    resample: Resample | None = None,
    reporter: Reporter = SILENT,
) -> Legend:
    """The legend by another map of the same place: each cluster gets the class that most of its pixels lie on.

    A cluster that lies nowhere on it gets the class of the nearest mean spectrum if there is a ``scene``. Maps are read
    in strips of 512 rows.

    Raises: GridError if the maps lie on different grids and ``resample`` is None, or have no labelled pixel in common.
    """
    if resample is None:
        with LabelMap(like) as other:
            check_on_grid(source, other)
    with LabelMap(like, like=source.grid, resample=resample) as other:
        table = shared_pixels(source, other, reporter)
        classes = classes_of(other, table.sum(axis=0))
    spectra = spectra_of_unmet(source, scene, table, reporter)
    return by_map(table, classes, {**made, "like": like.name}, spectra)


def like_elsewhere(
    source: LabelMap,
    scene: Scene,
    like: Path,
    like_scene: Path,
    made: Mapping[str, str],
    *,
    scale: Sequence[float] | None = None,
    reporter: Reporter = SILENT,
) -> Legend:
    """The legend by another map of any place: each cluster gets the class with the nearest mean spectrum.

    The bands that both scenes have by name are compared. Maps and scenes are read once, in strips of 512 rows.

    Args:
        source, scene: the map of clusters and what it was made of.
        like, like_scene: the named map and what it was made of.
        made: what the legend says of its making.
        scale: for ``like_scene`` if nothing else says what its numbers are.
        reporter: hears of the progress.

    Raises: UsageError if the scenes' units differ or no band has the same name; GridError if a scene does not lie on
    its map's grid; InputError if no class has valid pixels.
    """
    other_scene = open_scene(like_scene)
    if scale is not None and other_scene.units == "uncalibrated":
        other_scene = open_scene(like_scene, scale=scale)
    shared = check_comparable(scene, other_scene)
    if scene.units == "uncalibrated":
        reporter.say(
            f"{scene.path} and {other_scene.path} are uncalibrated: their spectra are comparable only if both came "
            "from the same sensor in the same light"
        )
    mine = scene.select(shared)
    with LabelMap(like) as other:
        found = cluster_spectra(other, other_scene.select(shared), reporter)
        classes = classes_of(other, found.pixels)
    notes = {**made, "like": like.name, "like_scene": other_scene.name, "bands": ", ".join(mine.band_names)}
    return by_other_spectra(cluster_spectra(source, mine, reporter), found, classes, notes)
