"""The models of an archive: trained once, on a sample of its scenes."""

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg.batch.lock import scene_locked
from rsseg.batch.names import Job
from rsseg.batch.sample_legend import is_named, named_model, naming_nodes, unnamed
from rsseg.batch.worker import TRAINING, Told, Work, busy_path, check_place, gpu_of, hearing
from rsseg.errors import InputError, RssegError, RssegWarning, UsageError
from rsseg.files import sweep, write_text
from rsseg.pipeline.cache import FOLDER, Cache, Node
from rsseg.pipeline.configuration import PipelineConfig, load_pipeline
from rsseg.pipeline.nodes import nodes_of
from rsseg.pipeline.plan import Machine, Plan, make_plan
from rsseg.pipeline.stages.run import check_nodes, run_nodes, write_configuration
from rsseg.scene.raster import label_windows
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class Sample:
    """The scenes that models are trained on: how many are wanted, and where results go."""

    wanted: int
    folder: Path

    @property
    def file(self) -> Path:
        """Where the choice is kept."""
        return self.folder / FOLDER / "sample.json"


def spread(jobs: Sequence[Job], wanted: int) -> list[Job]:
    """All jobs in the order in which they are asked to be in the sample: evenly spread over the archive first."""
    count = min(wanted, len(jobs))
    first = [int((index + 0.5) * len(jobs) / count) for index in range(count)]
    asked = set(first)
    others = [index for index in range(len(jobs)) if index not in asked]
    return [jobs[index] for index in (*first, *others)]


def kept_sample(sample: Sample, jobs: Sequence[Job]) -> list[Job] | None:
    """The scenes of an earlier sample of the same size, if all are still in the archive."""
    try:
        content = json.loads(sample.file.read_text(encoding="utf-8"))
        by_place = {job.place: job for job in jobs}
        return [by_place[place] for place in content["scenes"]] if content["wanted"] == sample.wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trained_models(sample: Sample, chosen: Sequence[Job], work: Work, config: PipelineConfig) -> dict[str, Path] | None:
    """The models, if they were trained on the present files of the sample's scenes; nothing is computed."""
    try:
        plan = _plan(sample, chosen, work, config)
        cache = Cache(sample.folder)
        finished = all(cache.finished(node) for node in _nodes(plan, config))
    except RssegError:
        return None
    return _models(plan, config) if finished else None


def train_sample(
    sample: Sample, kept: Sequence[Job] | None, jobs: Sequence[Job], work: Work, pipeline: Path
) -> dict[str, Path]:
    """Train the pipeline's models on a sample of the archive, and name them; returns name -> file. It runs on a worker.

    The sample is the one that was ``kept``, or else chosen from ``jobs``, of which those that cannot be read are passed
    over, and told. Raises: any RssegError.
    """
    check_place(work)
    reporter, config = Told(TRAINING), load_pipeline(str(pipeline))
    # a worker whose scheduler was lost may still be at it
    with scene_locked(busy_path(work.output), TRAINING), hearing(reporter), gpu_of(work) as device:
        sweep(sample.folder)
        chosen = kept or _choose(sample, jobs, work, config, reporter)
        plan = _plan(sample, chosen, work, config, device, reporter)
        nodes, cache = _nodes(plan, config), Cache(sample.folder)
        check_nodes(cache, nodes)
        write_configuration(config, sample.folder / "run.yaml")
        run_nodes(cache, nodes, reporter)
        cache.keep()
    return _models(plan, config)


def for_sample(config: PipelineConfig, pipeline: str) -> PipelineConfig:
    """A configuration whose models are each trained once, on all scenes of the sample.

    Raises: UsageError where a model names the scenes that it wants.
    """
    for name, model in config.models.items():
        if isinstance(model.train_on, tuple):
            raise UsageError(
                f"{pipeline}: models.{name}: train_on names scenes of one run; leave it out, since a batch trains on a "
                "sample of the archive, or use --train each"
            )
    models = {name: model.model_copy(update={"train_on": "together"}) for name, model in config.models.items()}
    return config.model_copy(update={"models": models})


def _choose(sample: Sample, jobs: Sequence[Job], work: Work, config: PipelineConfig, reporter: Told) -> list[Job]:
    """The first scenes that can be read and go together; of several kinds in an archive, the commoner."""
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job, scene in _readable(spread(jobs, sample.wanted), config, work, reporter):
        group = groups.setdefault((scene.band_names, scene.units), [])
        group.append(job)
        if len(group) == min(sample.wanted, len(jobs)) or sum(map(len, groups.values())) >= 4 * sample.wanted:
            break
    if not groups:
        raise InputError("no scene of the archive can be read, so that nothing can be trained; see the messages above")
    chosen = sorted(max(groups.values(), key=len)[: sample.wanted], key=lambda job: job.place)
    content = {"wanted": sample.wanted, "scenes": [job.place for job in chosen]}
    write_text(sample.file, json.dumps(content, indent=1) + "\n", overwrite=True)
    return chosen


def _readable(jobs: Sequence[Job], config: PipelineConfig, work: Work, reporter: Told) -> Iterator[tuple[Job, Scene]]:
    for job in jobs:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RssegWarning)
                scene = open_scene(job.path, bands=config.bands, scale=config.scale, aoi=work.aoi)
                _plan_of([job], work, config)
                _read(scene)
        except (RssegError, OSError) as problem:
            reporter.say(f"{job.place} is not trained on: {problem}")
            continue
        yield job, scene


def _read(scene: Scene) -> None:
    """Read every pixel once, so that a damaged file, or one of nothing but fill, is found out before training.

    Raises: InputError.
    """
    with scene.open() as reader:
        valid = sum(int(reader.read(window)[1].any()) for window in label_windows(scene.grid))
    if not valid:
        raise InputError(f"{scene.path} has no valid pixel in it; leave it out")


def _plan(
    sample: Sample, jobs: Sequence[Job], work: Work, config: PipelineConfig, device: str = "cpu", reporter: Any = None
) -> Plan:
    """The run of the sample: conversions and trainings, and maps of clusters where these are to be named."""
    segment = config.segment.model_copy(update={"refine": None, "confidence": False})
    plain = {"pictures": False, "consensus": False, "segment": segment}
    return _plan_of(jobs, work, unnamed(config).model_copy(update=plain), sample.folder, device, reporter)


def _plan_of(
    jobs: Sequence[Job],
    work: Work,
    config: PipelineConfig,
    folder: Path = Path(),
    device: str = "cpu",
    reporter: Any = None,
) -> Plan:
    return make_plan(
        config,
        [job.path for job in jobs],
        folder,
        aoi=work.aoi,
        names=[job.name for job in jobs],
        machine=Machine(device, work.threads, None, work.limits.memory),
        **({"reporter": reporter} if reporter else {}),
    )


def _nodes(plan: Plan, config: PipelineConfig) -> list[Node]:
    """The stages of the sample's run."""
    kinds = ("toa", "train", "segment") if is_named(config) else ("toa", "train")
    nodes = [node for node in nodes_of(plan) if node.name.split()[0] in kinds]
    return [*nodes, *(naming_nodes(plan, config) if is_named(config) else ())]


def _models(plan: Plan, config: PipelineConfig) -> dict[str, Path]:
    place = named_model if is_named(config) else Plan.model
    return {model.entry: place(plan, model) for model in plan.models}
