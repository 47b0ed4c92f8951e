"""One map of a scene in the classes of the common legend: written whole, and known again by its stamp."""

import json
from dataclasses import dataclass
from pathlib import Path

from rsseg.errors import RssegError
from rsseg.files import stamp_of, write_text
from rsseg.label.legend_file import legend_path
from rsseg.pipeline.cache import FOLDER
from rsseg.pipeline.stages.relabel import relabel
from rsseg.publish.labels import sidecars
from rsseg.publish.quicklook import picture_labels
from rsseg.publish.run_files import read_json

VERSION = 1
"""Of what is written for a map."""


@dataclass(frozen=True)
class MapJob:
    """One map to write in common classes; plain values, since it may travel to a worker.

    ``labels`` is the clusters' map in the output, ``legend`` what becomes of them as YAML, ``key`` a hash of both.
    """

    output: Path
    name: str
    model: str
    labels: str
    legend: str
    key: str

    @property
    def target(self) -> Path:
        """The map to be."""
        return common_path(self.output, self.name, self.model)


def common_path(output: Path, name: str, model: str) -> Path:
    """Where a map in common classes lies."""
    return output / "scenes" / name / name / "common" / f"{model}.tif"


def map_in_common(job: MapJob) -> str:
    """Write one map, its sidecars, legend and picture, and then its stamp; returns what went wrong, or nothing."""
    try:
        labels, legend = job.output / job.labels, legend_path(job.target)
        before = stamp_of(labels)
        write_text(legend, job.legend, overwrite=True)
        relabel(labels, legend, job.target, overwrite=True)
        if _picture(job).is_file():
            picture_labels(job.target, job.target.with_suffix(".png"), overwrite=True)
    except (RssegError, OSError) as problem:
        return str(problem)
    outputs = {path.name: stamp_of(path) for path in map_files(job.target) if path.exists()}
    content = {"key": job.key, "labels": before, "outputs": outputs}
    write_text(_stamp_path(job), json.dumps(content, sort_keys=True) + "\n", overwrite=True)
    return ""


def is_finished(job: MapJob) -> bool:
    """Whether the map is there, of the present clusters and legend, and whole."""
    known = read_json(_stamp_path(job))
    outputs = known.get("outputs")
    if known.get("key") != job.key or known.get("labels") != stamp_of(job.output / job.labels):
        return False
    if not isinstance(outputs, dict) or job.target.name not in outputs:
        return False
    return all(stamp_of(job.target.with_name(name)) == stamp for name, stamp in outputs.items())


def map_files(target: Path) -> list[Path]:
    """What is written for a map."""
    return [legend_path(target), *sidecars(target), target.with_suffix(".png"), target]


def _picture(job: MapJob) -> Path:
    """The picture of the clusters' map: where the pipeline makes none, there is none of the classes either."""
    return job.target.parents[1] / "pictures" / f"{job.model}.png"


def _stamp_path(job: MapJob) -> Path:
    return job.output / FOLDER / "common" / job.name / f"{job.model}.json"
