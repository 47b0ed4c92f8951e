"""A pipeline on labelled real scenes, from raw file to accuracy in one command each: every method beside pixel k-means.

    python benchmarks/scenes.py --json OUT [--pipeline all-methods ...] [--models kmeans ddc ...] [--scenes aber nc]
                                [--seeds 3] [--classes 15]

K is each scene's number of classes (one-to-one counts then) and ``--classes`` (many-to-one). All models of the
pipelines are scored in the same run. Prints a Markdown table: mean and spread (largest less smallest) over the seeds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

OWN = Path(__file__).resolve().parents[1] / "pipelines"
DATA = Path(os.environ.get("RSSEG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SCENES = {
    "aber": ("aber/aber_GRN.tif", ["aber/aber_reference.gpkg", "--field", "class"], 4),
    "nc": ("nc/nc_GRN.tif", ["nc/nc_landclass96.tif"], 7),
    "l7_250": ("l7_250/l7_250_GRN.tif", ["l7_250/l7_250_reference.gpkg", "--field", "class"], 5),
    "landsat5_clouds": ("landsat5_clouds/ukis_landsat5_GRN_x10000.tif", ["landsat5_clouds/ukis_landsat5_mask.tif"], 4),
}


def run(pipeline: str, name: str, classes: int, seed: int) -> list[dict]:
    scene, (reference, *field), _ = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rsseg", "run", pipeline, DATA / scene, "-o", Path(folder) / "run"]
        command += ["--reference", DATA / reference, *field, "--classes", classes, "--seed", seed, "--json", "-q"]
        output = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout
    answer = json.loads(output)
    seconds = {}
    for stage in answer["stages"]:
        if stage["stage"].startswith(("train", "segment", "refine", "merge")):
            model = stage["stage"].split()[-1]
            seconds[model] = seconds.get(model, 0.0) + stage["seconds"]
    return [
        {
            "scene": name,
            "classes": classes,
            "seed": seed,
            "model": row["model"],
            "one_to_one": row["one-to-one"]["accuracy"],
            "many_to_one": row["many-to-one"]["accuracy"],
            "mean_iou": row["many-to-one"]["mean_iou"],
            "nmi": row["nmi"],
            "seconds": seconds[row["model"]],
        }
        for row in answer["scores"]
    ]


def table(rows: list[dict]) -> str:
    lines = ["| scene | K | model | one-to-one | many-to-one | mIoU (many-to-one) | NMI | s |", "|" + "---|" * 8]
    for key in dict.fromkeys((row["scene"], row["classes"], row["model"]) for row in rows):
        group = [row for row in rows if (row["scene"], row["classes"], row["model"]) == key]
        cells = []
        for score in ("one_to_one", "many_to_one", "mean_iou", "nmi"):
            values = [row[score] for row in group]
            cells.append(f"{statistics.mean(values):.3f} ± {max(values) - min(values):.3f}")
        cells.append(f"{statistics.mean(row['seconds'] for row in group):.0f}")
        lines.append("| " + " | ".join([*map(str, key), *cells]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--scenes", nargs="*", default=["aber", "nc", "l7_250"], choices=SCENES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=15)
    parser.add_argument("--pipeline", nargs="+", default=["all-methods"], help="names or files of pipelines")
    parser.add_argument("--models", nargs="+", help="only these of the pipelines' models")
    arguments = parser.parse_args()
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        pipelines = [chosen(each, arguments.models, Path(folder)) for each in arguments.pipeline]
        measure(pipelines, arguments, rows)
    print(table(rows))


def chosen(pipeline: str, models: list[str] | None, folder: Path) -> str:
    """The pipeline, or a copy with some of its models only."""
    if models is None:
        return pipeline
    source = Path(pipeline) if Path(pipeline).is_file() else OWN / f"{pipeline}.yaml"
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    content["models"] = {name: model for name, model in content["models"].items() if name in models}
    content["consensus"] = len(content["models"]) > 1
    copy = folder / f"{len(list(folder.iterdir()))}.yaml"
    copy.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(copy)


def measure(pipelines: list[str], arguments: argparse.Namespace, rows: list[dict]) -> None:
    for name in arguments.scenes:
        for classes in (SCENES[name][2], arguments.classes):
            for seed in range(arguments.seeds):
                for pipeline in pipelines:
                    rows += run(pipeline, name, classes, seed)
                    arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
