"""From scenes on disk to what training and labelling read."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rsseg.errors import ModelError
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.scene.place import FullRaster
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene, SceneReader


def open_scenes(
    paths: Sequence[Path],
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
) -> list[Scene]:
    """Open several scenes, or their parts inside the polygons ``aoi``, that are to be used together.

    Raises: ModelError if their bands or their units differ.
    """
    scenes = [open_scene(path, bands=bands, scale=scale, aoi=aoi) for path in paths]
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.band_names != first.band_names:
            raise ModelError(
                f"{first.name} has the bands {', '.join(first.band_names)}, {scene.name} has "
                f"{', '.join(scene.band_names)}; choose the same ones with --bands"
            )
        if scene.units != first.units:
            raise ModelError(
                f"{first.name} is {first.units}, {scene.name} is {scene.units}; convert with rsseg toa or state --scale"
            )
    return scenes


def bands_of(model: Model, scene: Path, scale: Sequence[float] | None) -> Sequence[str] | None:
    """The model's bands where the scene has them, in the model's order; else the scene's own, to be refused by name."""
    available = open_scene(scene, scale=scale)
    return model.inference.bands if set(model.inference.bands) <= set(available.band_names) else None


@contextmanager
def reading(scenes: Sequence[Scene], *, in_full: bool = False) -> Iterator[list[SceneInput]]:
    """Open the scenes' files for as long as the context lasts.

    ``in_full``: a part of a raster is read in the rows and columns of the full one, on which labelling lays patches.
    """
    with ExitStack() as stack:
        yield [_input(scene, stack.enter_context(scene.open()), in_full) for scene in scenes]


def _input(scene: Scene, reader: SceneReader, in_full: bool) -> SceneInput:
    source = FullRaster(reader, scene.place) if in_full and scene.place else reader
    scale, offset = (tuple(getattr(band, name) for band in scene.bands) for name in ("scale", "offset"))
    return SceneInput(scene.name, source, scale, offset)
