"""What a batch will do, found out without computing anything: its scenes, and which of them are settled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import rsseg
from rsseg.batch.names import NAMES, Job, named, read_names
from rsseg.batch.outcome import Outcome
from rsseg.batch.products import find_products
from rsseg.batch.records import Records, work_key
from rsseg.batch.request import Request, check_output_folder, given_models
from rsseg.batch.sample_legend import unnamed
from rsseg.batch.training import Sample, for_sample, kept_sample, trained_models
from rsseg.batch.where import chosen, conditions
from rsseg.batch.worker import Work
from rsseg.errors import InputError, UsageError
from rsseg.files import check_output, digest
from rsseg.learn.model import load_model
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.cache import FOLDER
from rsseg.pipeline.configuration import PipelineConfig, load_pipeline
from rsseg.pipeline.stage_nodes import VERSIONS
from rsseg.pipeline.stages.run import resolved
from rsseg.progress import SILENT, Reporter

CONFIGURATION = "batch.yaml"

SCENE_CONFIGURATION = "scene.yaml"


@dataclass(frozen=True)
class Prepared:
    """A batch before it begins.

    ``config`` is what was asked for, ``scene_config`` what is run on each scene: without naming where that is done once
    for all. ``jobs`` are in order, ``names`` are to be kept, and ``work`` is without models while they are still to be
    trained on the ``sample``, of which ``kept`` are the scenes if it was chosen before and they are still there: the
    sample is the archive's, whatever ``--where`` says now, so that an archive may grow without all its maps changing.
    """

    config: PipelineConfig
    scene_config: PipelineConfig
    jobs: list[Job]
    names: dict[str, str]
    sample: Sample | None
    kept: list[Job] | None
    work: Work

    @property
    def trained(self) -> bool:
        """Whether no model is to be trained before the scenes."""
        return self.sample is None or bool(self.work.models)

    def with_models(self, models: dict[str, Path]) -> "Prepared":
        """The same with the sample's models, which are part of what is done to a scene."""
        work = replace(self.work, models=models, key=_key(self.scene_config, models, self.work))
        return replace(self, work=work)

    def settled(self, again: bool, write: bool = True) -> dict[str, Outcome]:
        """The scenes that need no work, by name; with ``again``, failures are not among them.

        ``write``: remember the new times of products that were copied.
        """
        if not self.trained:
            return {}
        records = Records(self.work.output, write)
        found = {job.name: records.settled(job, self.work.key, self.work.limits) for job in self.jobs}
        return {name: outcome for name, outcome in found.items() if outcome and (outcome.done or not again)}


def prepare(request: Request, reporter: Reporter = SILENT) -> Prepared:
    """Look at pipeline, archive and output; nothing is written.

    Raises: UsageError, InputError.
    """
    check_output_folder(request)
    check_output(request.output / CONFIGURATION, overwrite=True)
    config = load_pipeline(request.pipeline, request.overrides)
    models = given_models(request.models, config)
    wanted = conditions(request.where)
    if request.new_legend and not request.each:
        raise UsageError("--new-legend is of --train each: models of a sample have one legend anyway")
    sample = None if request.each or models else Sample(request.sample, request.output.absolute() / "training")
    config = config if request.each else for_sample(config, request.pipeline)
    names = read_names(request.output / FOLDER / NAMES)
    products = [item for item in find_products(request.archive, reporter.say) if not _inside(item.path, request.output)]
    every = named(products, names)
    jobs = chosen(every, wanted, reporter)
    if not jobs:
        raise InputError(
            f"no scene of {request.archive} is {' and '.join(request.where)}; see rsseg info SCENE for what they are"
        )
    scene_config = unnamed(config) if sample or _have_legends(models) else config
    kept = kept_sample(sample, every) if sample else None
    prepared = Prepared(config, scene_config, jobs, names, sample, kept, _work(request, scene_config, models))
    found = trained_models(sample, kept, prepared.work, config) if sample and kept else None
    return prepared.with_models(found) if found else prepared


def _work(request: Request, config: PipelineConfig, models: dict[str, Path]) -> Work:
    output = request.output.absolute()
    work = Work(
        output,
        output / FOLDER / SCENE_CONFIGURATION,
        "",
        models,
        request.each,
        request.limits,
        request.device,
        request.threads,
        request.aoi.absolute() if request.aoi else None,
    )
    return replace(work, key=_key(config, models, work))


def _key(config: PipelineConfig, models: dict[str, Path], work: Work) -> str:
    """All that a scene's results depend on besides the scene."""
    files = [*aoi_files(work.aoi), *(path for model in config.models.values() for path in model.settings.named_files())]
    content = {key: value for key, value in resolved(config).items() if key != "description"}
    contents = {name: digest(path) for name, path in sorted(models.items())}
    return work_key(content, contents, [digest(path) for path in files], work.each, VERSIONS, rsseg.__version__)


def _have_legends(models: dict[str, Path]) -> bool:
    """Whether given models say themselves what their clusters are called."""
    return bool(models) and all(load_model(path).legend is not None for path in models.values())


def _inside(path: Path, folder: Path) -> bool:
    # unlike Path.resolve, a link to itself does not end it
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def largest_first(jobs: Sequence[Job], sizes: dict[str, int]) -> list[Job]:
    """The order of work: large scenes first, so that none of them is left alone at the end."""
    return sorted(jobs, key=lambda job: (-sizes.get(job.name, 0), job.place))
