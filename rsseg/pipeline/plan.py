"""From a pipeline and its scenes to what a run consists of: scenes, models, places."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import InputError, UsageError
from rsseg.label.maps import Resample
from rsseg.label.reference import is_vector
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.configuration import ModelConfig, PipelineConfig
from rsseg.pipeline.fitting import check_patches
from rsseg.pipeline.inputs import open_scenes
from rsseg.progress import SILENT, Reporter
from rsseg.scene.source import Scene

VOTE = "vote"
"""What the vote of several models' maps is called where it is evaluated beside them."""


@dataclass(frozen=True)
class Machine:
    """What the machine may choose: it changes how long a run takes, never what it gives."""

    device: str = "auto"
    threads: int | None = None
    batch: int | None = None
    memory: int = 4 << 30


@dataclass(frozen=True)
class RunScene:
    """A scene of a run: its name in the folder, where it lies, and its reference with its field, if it has one."""

    name: str
    source: Scene
    reference: Path | None = None
    field: str | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A model that the run trains: its file name, its entry in the pipeline, the scenes it learns from and labels.

    ``file`` is set where it was trained before, elsewhere, and is only applied.
    """

    name: str
    entry: str
    config: ModelConfig
    trained_on: tuple[RunScene, ...]
    applied_to: tuple[RunScene, ...]
    file: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A run: its scenes, the models it trains and applies, where everything lies, and on what machine."""

    config: PipelineConfig
    scenes: list[RunScene]
    models: list[TrainedModel]
    folder: Path
    machine: Machine
    reporter: Reporter = SILENT
    aoi: Path | None = None

    @property
    def area(self) -> list[Path]:
        """The files of the area of interest, on which every stage depends that reads a scene."""
        return aoi_files(self.aoi)

    @property
    def resample(self) -> Resample | None:
        """How a reference raster of whole scenes comes to the maps of their parts, whose pixels are the same."""
        return "nearest" if self.aoi else None

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands by name, for a converted product no longer has those that were left out."""
        return self.scenes[0].source.band_names

    def sources(self, scene: RunScene) -> list[Path]:
        """What a scene was given as, and its bands' files where that is one of several products in a folder."""
        path = scene.source.path
        beside = [Path(band.path) for band in scene.source.all_bands or scene.source.bands]
        return list(dict.fromkeys([path, *(other for other in beside if path.is_file() and other.is_file())]))

    def input(self, scene: RunScene) -> Path:
        """What later stages read: the reflectance made from a product, or the raster itself."""
        made = self.folder / scene.name / "toa.tif"
        return made if scene.source.origin == "level-1" else scene.source.path

    def model(self, model: TrainedModel) -> Path:
        """Where a model lies."""
        return model.file or self.folder / "models" / f"{model.name}.safetensors"

    def labelled(self, scene: RunScene, model: TrainedModel) -> Path:
        """Where the map lies as the model labelled it: that of its clusters, unless that is made by refining."""
        if self.config.segment.refine is None:
            return self.clusters(scene, model)
        return self.folder / scene.name / "unrefined" / f"{model.name}.tif"

    def clusters(self, scene: RunScene, model: TrainedModel) -> Path:
        """Where the map of a model's own clusters lies: the label map, unless that is made of merged or named ones."""
        if model.config.merge_to is None:
            return self.merged(scene, model)
        return self.folder / scene.name / "clusters" / f"{model.name}.tif"

    def merged(self, scene: RunScene, model: TrainedModel) -> Path:
        """Where the map lies that is named: of merged clusters where they are merged; the label map without names."""
        if self.config.names == "none":
            return self.labels(scene, model)
        folder = "clusters" if model.config.merge_to is None else "merged"
        return self.folder / scene.name / folder / f"{model.name}.tif"

    def labels(self, scene: RunScene, model: TrainedModel) -> Path:
        """Where a label map lies."""
        return self.folder / scene.name / "labels" / f"{model.name}.tif"

    def own_model(self, scene: RunScene, model: TrainedModel) -> TrainedModel | None:
        """The model of a model's entry in the pipeline that was trained on this scene alone, if there is one."""
        alike = (other for other in self.models if other.entry == model.entry and scene in other.applied_to)
        return next((other for other in alike if other.trained_on == (scene,)), None)


def make_plan(
    config: PipelineConfig,
    scenes: Sequence[Path],
    folder: Path,
    *,
    references: Sequence[Path] = (),
    reference_field: str | None = None,
    aoi: Path | None = None,
    names: Sequence[str] | None = None,
    models: Mapping[str, Path] | None = None,
    machine: Machine | None = None,
    reporter: Reporter = SILENT,
) -> Plan:
    """What a run consists of; nothing is computed, but all scenes are opened and checked.

    ``references``: none, one for all scenes, or one a scene in their order. ``aoi``: polygons; what lies outside of
    them is neither learned from nor labelled, in any scene. ``names`` are those of the scenes in the run, by default
    those of their files. ``models``: entries of the pipeline that are not trained, since these files are their models.
    """
    if len(references) not in (0, 1, len(scenes)):
        raise UsageError(f"{len(references)} references for {len(scenes)} scenes; give one, or one a scene in order")
    for path in references:
        if not path.exists():
            raise InputError(f"the reference {path} does not exist")
    opened = open_scenes(scenes, config.bands, config.scale, aoi)
    named = _named(opened, names or [title_of(path) for path in scenes], references, reference_field)
    given = models or {}
    every = [
        model for name, chosen in config.models.items() for model in _models_of(name, chosen, named, given.get(name))
    ]
    _check_names(every, config.consensus)
    for model in every:
        for scene in model.applied_to:
            check_patches(model.name, model.config, scene.source, config)
    return Plan(config, named, every, folder, machine or Machine(), reporter, aoi)


def _named(
    scenes: Sequence[Scene], titles: Sequence[str], references: Sequence[Path], field: str | None
) -> list[RunScene]:
    """Scenes under names that are unique in the run; where some references are rasters, the field is of the others."""
    polygons = [path for path in references if is_vector(path)]
    named: list[RunScene] = []
    for index, (scene, title) in enumerate(zip(scenes, titles, strict=True)):
        taken = {other.name for other in named}
        name = next(n for i in range(1, len(scenes) + 1) if (n := title + (f"-{i}" if i > 1 else "")) not in taken)
        reference = references[index if len(references) > 1 else 0] if references else None
        named.append(RunScene(name, scene, reference, field if reference in polygons or not polygons else None))
    return named


def _check_names(models: Sequence[TrainedModel], compared: bool) -> None:
    names = [model.name for model in models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UsageError(f"two models of this pipeline would be called {twice}; rename one of them")
    if VOTE in names and compared and len(names) > 2:
        raise UsageError(f"the vote of all maps is called {VOTE}; rename the model of that name")


def title_of(path: Path) -> str:
    """What the user calls a scene: its folder or file, without the ending; of a metadata file, its folder."""
    place = path.resolve()
    if place.suffix.lower() in (".txt", ".json", ".xml"):
        place = place.parent
    return place.name if place.is_dir() else place.stem


def _models_of(name: str, config: ModelConfig, scenes: Sequence[RunScene], file: Path | None) -> list[TrainedModel]:
    """The models that one entry of the pipeline stands for: one where its ``file`` is given."""
    if file is not None:
        return [TrainedModel(name, name, config, (), tuple(scenes), file)]
    groups: dict[str, tuple[RunScene, ...]]
    if config.train_on == "together" or (config.train_on == "each" and len(scenes) == 1):
        groups = {name: tuple(scenes)}
    elif config.train_on == "each":
        groups = {f"{name}_on_{scene.name}": (scene,) for scene in scenes}
    else:
        groups = {name: tuple(_scene_called(word, scenes) for word in config.train_on)}
    own = config.apply_to == "own"
    return [
        TrainedModel(title, name, config, group, group if own else tuple(scenes)) for title, group in groups.items()
    ]


def _scene_called(name: str, scenes: Sequence[RunScene]) -> RunScene:
    for scene in scenes:
        if scene.name == name:
            return scene
    raise UsageError(f"train_on names the scene {name!r}; this run has {', '.join(s.name for s in scenes)}")
