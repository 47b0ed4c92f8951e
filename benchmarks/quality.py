"""Where each method beats pixel k-means and where it loses to it, on labelled real scenes.

    python benchmarks/quality.py --keep DIR [--parts seeds patch ...] [--scenes nc l7_250] [--seeds 3] [--minutes 30]
                                 [--models kmeans iic]

Parts: seeds (all methods as they come), patch (its size, and the step of labelling), normalisation, clusters (their
number), length (of training), majority (a filter over k-means' map). Runs are made with ``rsseg``'s own pipeline,
without a reference; then the maps are scored. DIR keeps every label map and ``index.json``: its settings, training
score and scores. What it holds is not made again, so that a broken run goes on, and ``--minutes`` ends one early.
Prints the parts' tables as Markdown and writes them to ``tables.md``; ``--seeds`` counts those of the part seeds, the
others have seed 0 alone.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rasterio
import yaml
from quality_jobs import DENSE, PARTS, Job, jobs
from quality_scores import majority_filtered, scored_file
from quality_tables import part_tables
from scenes import DATA, SCENES

from rsseg.errors import RssegError
from rsseg.files import write_text
from rsseg.learn.model import load_model
from rsseg.pipeline.stages.run import run

INDEX = "index.json"


class Kept:
    """The folder of label maps with its index: one row a job."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.index = folder, folder / INDEX
        rows = json.loads(self.index.read_text(encoding="utf-8")) if self.index.is_file() else []
        self.rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row, at once."""
        self.rows[row["key"]] = row
        write_text(self.index, json.dumps(list(self.rows.values()), indent=1) + "\n", overwrite=True)

    def of(self, wanted: Iterable[Job]) -> list[dict[str, Any]]:
        """The rows of jobs that were run, with what the part varies."""
        return [{**self.rows[job.key], "varied": job.varied} for job in wanted if job.key in self.rows]


def make(wanted: Sequence[Job], kept: Kept, data: Path) -> None:
    """Train a model once and label its scene as each of the jobs, which differ in their labelling only, asks."""
    with tempfile.TemporaryDirectory() as folder:
        for job in wanted:
            kept.add({**described(job), **labelled(job, Path(folder), kept.folder, data)})


def described(job: Job) -> dict[str, Any]:
    """What a row says of its job."""
    return {
        "key": job.key,
        "scene": job.scene,
        "model": job.model,
        "method": job.settings["method"],
        "classes": job.settings.get("merge_to", job.settings["classes"]),
        "seed": job.seed,
        "label_stride": job.label_stride,
        "majority": job.majority,
        "settings": job.settings,
    }


def labelled(job: Job, folder: Path, kept: Path, data: Path) -> dict[str, Any]:
    """Run the job's pipeline and score its map; what the run refuses becomes the row's ``error``."""
    content = {
        "models": {job.model: {**job.settings, "seed": job.seed}},
        "segment": {"stride": job.label_stride, "confidence": False},
        "consensus": False,
        "pictures": False,
    }
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump(content), encoding="utf-8")
    scene, (reference, *field), _ = SCENES[job.scene]
    try:
        result = run(str(pipeline), [data / scene], folder / "run")
    except RssegError as problem:
        return {"error": str(problem)}
    target = kept / f"{job.key}.tif"
    keep_map(Path(result.outputs["labels"][-1]), target, job.majority)
    scores = scored_file(target, data / reference, field[-1] if field else None, job.scene in DENSE)
    return {"map": target.name, **trained(folder / "run", job.model), **scores}


def keep_map(labels: Path, target: Path, side: int) -> None:
    """Keep a label map as it is, or filtered by the majority in windows of ``side`` pixels."""
    if side == 1:
        shutil.copyfile(labels, target)
        return
    with rasterio.open(labels) as source:
        profile = {**source.profile, "driver": "GTiff"}
        values = majority_filtered(source.read(1), side)
    with rasterio.open(target, "w", **profile) as file:
        file.write(values, 1)


def trained(run_folder: Path, model: str) -> dict[str, Any]:
    """The model's unsupervised score, the epochs it took and the seconds of training."""
    provenance = load_model(run_folder / "models" / f"{model}.safetensors").provenance
    history = run_folder / "models" / f"{model}.history.jsonl"
    stages = json.loads((run_folder / "run.json").read_text(encoding="utf-8"))["stages"]
    return {
        "score": provenance["score"],
        "shares": provenance["shares"],
        "epochs": len(history.read_text(encoding="utf-8").splitlines()) if history.is_file() else 0,
        "seconds": sum(stage["seconds"] for stage in stages if stage["stage"].startswith("train")),
    }


def measure(wanted: Sequence[Job], kept: Kept, data: Path, until: float) -> None:
    """Run what is missing, training by training, as long as there is time."""
    groups: dict[str, list[Job]] = {}
    for job in wanted:
        if job.key not in kept.rows:
            groups.setdefault(job.training, []).append(job)
    for number, group in enumerate(groups.values(), start=1):
        if time.monotonic() > until:
            print(f"out of time: {len(groups) - number + 1} trainings were left out", file=sys.stderr)
            return
        print(f"[{number}/{len(groups)}] {group[0].key} {group[0].varied}", file=sys.stderr, flush=True)
        make(group, kept, data)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="folder of label maps and their index")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=["l7_250", "nc", "landsat5_clouds"])
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, default=3, help="of the part seeds")
    parser.add_argument("--minutes", type=float, help="begin no training after as long")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts and print their tables."""
    asked = parsed(arguments)
    kept = Kept(asked.keep)
    until = time.monotonic() + 60 * asked.minutes if asked.minutes is not None else float("inf")
    texts = []
    for part in asked.parts:
        wanted = jobs(part, asked.scenes, asked.seeds if part == "seeds" else 1)
        wanted = [job for job in wanted if asked.models is None or job.model in asked.models]
        measure(wanted, kept, DATA, until)
        texts.append(part_tables(part, kept.of(wanted), kept.rows.values()))
        print(texts[-1], flush=True)
    write_text(asked.keep / "tables.md", "\n".join(texts), overwrite=True)


if __name__ == "__main__":
    main()
