"""A batch's scenes one by one in this process, for tests of what a worker does with one."""

from pathlib import Path
from typing import Any

from batch.archives import write_pipeline

from rsseg.batch.names import write_names
from rsseg.batch.prepared import CONFIGURATION, Prepared, prepare
from rsseg.batch.request import Request
from rsseg.batch.worker import run_scene
from rsseg.pipeline.stages.run import write_configuration

ROOM = 64 << 30
"""Bytes that a scene may take here: the limit would end the tests' own process."""


def prepared(folder: Path, model: Path, **settings: object) -> Prepared:
    """A batch of ``folder/archive`` to ``folder/out``, ready for its workers; ``settings`` of the pipeline's model."""
    pipeline = write_pipeline(folder / "pipeline.yaml", **settings)
    request = Request(
        str(pipeline), folder / "archive", folder / "out", models=(str(model),), device="cpu", threads=1, memory=ROOM
    )
    found = prepare(request)
    write_names(found.work.output / ".rsseg" / "names.json", found.names)
    write_configuration(found.config, found.work.output / CONFIGURATION)
    write_configuration(found.scene_config, found.work.pipeline)
    return found


def worked(batch: Prepared) -> dict[str, dict[str, Any]]:
    """Do the scenes that are not settled, and return their outcomes by name."""
    before = batch.settled(again=False)
    return {job.name: run_scene(job, batch.work) for job in batch.jobs if job.name not in before}
