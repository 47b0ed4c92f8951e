"""From scenes on disk to what training and labelling read."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rsseg.errors import ModelError
from rsseg.learn.inputs import SceneInput
from rsseg.learn.model import Model
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


def open_scenes(
    paths: Sequence[Path], bands: Sequence[str] | None = None, scale: Sequence[float] | None = None
) -> list[Scene]:
    """Open several scenes that are to be used together.

    Raises: ModelError if their bands or their units differ.
    """
    scenes = [open_scene(path, bands=bands, scale=scale) for path in paths]
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
def reading(scenes: Sequence[Scene]) -> Iterator[list[SceneInput]]:
    """Open the scenes' files for as long as the context lasts."""
    with ExitStack() as stack:
        yield [
            SceneInput(
                scene.name,
                stack.enter_context(scene.open()),
                tuple(band.scale for band in scene.bands),
                tuple(band.offset for band in scene.bands),
            )
            for scene in scenes
        ]
