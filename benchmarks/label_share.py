"""How few labels a scene needs: IIC's figure 6 (semi-supervised over-clustering) on labelled scenes.

    python benchmarks/label_share.py aber nc --json OUT [--method iic] [--over 60] [--set epochs=20 width=64 ...]
                                     [--label-stride 2] [--seeds 3] [--threads 2]

A model is trained without labels. Half of the reference, drawn by whole polygons where there are polygons and by
squares where it is a raster, is the test set of all answers; of the other half each class keeps a share. Three answers:
the model's over-clusters, each given its majority class among the training labels; a linear head on the model's trunk;
the same head on that network untrained. Prints a Markdown table: mean and spread (largest less smallest) over seeds.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clustering import setting
from numpy.typing import NDArray
from scenes import DATA, SCENES

from rsseg.label.labelled_scene import LabelledScene, answer_table, labelled_scene, score, split
from rsseg.label.matching import assign_many_to_one
from rsseg.label.metrics.confusion import Confusion, confusion
from rsseg.label.reference import open_reference
from rsseg.label.training_labels import drawn
from rsseg.learn.devices import choose_device
from rsseg.learn.methods import settings_of
from rsseg.learn.methods.supervised import SupervisedSettings
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.build import build_network
from rsseg.learn.networks.patch import settle
from rsseg.learn.training import TrainingSettings
from rsseg.pipeline.inputs import reading
from rsseg.pipeline.stages.finetune import train_head
from rsseg.pipeline.stages.train import train
from rsseg.scene.sensors import open_scene

SHARES = (1.0, 0.5, 0.25, 0.1)
ANSWERS = {
    "over-clusters": "over-clusters, mapped",
    "head": "linear head",
    "untrained": "linear head, untrained network",
}
MEMORY = 4 << 30


def over_clusters(model: Model, found: LabelledScene, chosen: NDArray, held: NDArray) -> Confusion:
    """Each cluster gets its majority class among the chosen labels; clusters without any are errors."""
    assigned = assign_many_to_one(answer_table(model.network, found, chosen))
    return confusion(answer_table(model.network, found, held), assigned, found.classes)


def untrained(model: Model, found: LabelledScene, seed: int) -> Any:
    """The model's network with random weights, its batch-norm statistics taken from the labelled patches."""
    own = model.inference
    torch.manual_seed(seed)
    network = build_network(own.network, own.inputs, own.patch, own.classes).to(found.samples.device)
    order = torch.randperm(len(found.samples), generator=torch.Generator().manual_seed(seed))[:8192]
    settle(network, (found.samples.gather(chunk) for chunk in order.split(256) if len(chunk) > 1))
    return network


def answers(model: Model, found: LabelledScene, seed: int, share: float) -> dict[str, Any]:
    """Accuracy and mean IoU of each answer on the half that is held out, and how many labels there were."""
    pool, held = split(found, 0.5, seed)
    labels = found.labels
    chosen = drawn(np.where(pool, labels.codes, 0).astype(np.uint8), labels.units, share, seed)
    own = model.inference
    settings = SupervisedSettings(patch=own.patch, stride=own.stride, classes=len(found.classes))
    training, device = TrainingSettings(seed=seed), found.samples.device
    scored = {"over-clusters": over_clusters(model, found, chosen, held)}
    for name, network in (("head", model.network), ("untrained", untrained(model, found, seed))):
        trained = train_head(model, network, found, chosen, settings, training, device)
        scored[name] = score(trained.network, found, held)
    measured = {name: {"accuracy": s.overall_accuracy, "mean_iou": s.mean_iou} for name, s in scored.items()}
    return {"labels": int(chosen.sum()), "units": len(np.unique(labels.units[chosen])), "test": int(held.sum())} | {
        "scores": measured
    }


def measured(name: str, seed: int, wanted: argparse.Namespace) -> list[dict[str, Any]]:
    """One model of a scene, and all shares of its labels."""
    scene_file, (reference, *field), _ = SCENES[name]
    device = choose_device(wanted.device, wanted.threads)
    options: dict[str, Any] = {"classes": wanted.over, **dict(wanted.set)}
    if wanted.method == "iic":
        options |= {"labels_from": "over", "over_classes": wanted.over, "classes": SCENES[name][2]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        settings, training = settings_of(wanted.method, **options), TrainingSettings(seed=seed, patience=0)
        places = {"device": wanted.device, "threads": wanted.threads}
        train([DATA / scene_file], path, settings, training=training, **places)
        model = load_model(path)
    model.network.to(device)
    scene = open_scene(DATA / scene_file)
    with (
        reading([scene]) as (source,),
        open_reference(DATA / reference, scene.grid, scene.path, field[1] if field else None) as truth,
    ):
        found = labelled_scene(model, source, truth, wanted.label_stride or model.inference.stride, device, MEMORY)
        where = {"scene": name, "method": wanted.method, "settings": settings.model_dump(mode="json"), "seed": seed}
        return [{**where, "share": share, **answers(model, found, seed, share)} for share in SHARES]


def table(rows: list[dict[str, Any]]) -> str:
    """Accuracy of the three answers, a line for each scene and share."""
    lines = [f"| scene | share | labels | {' | '.join(ANSWERS.values())} |", "|" + "---|" * (3 + len(ANSWERS))]
    for scene, share in dict.fromkeys((row["scene"], row["share"]) for row in rows):
        group = [row for row in rows if (row["scene"], row["share"]) == (scene, share)]
        cells = [f"{statistics.mean(row['labels'] for row in group):.0f}"]
        for name in ANSWERS:
            values = [row["scores"][name]["accuracy"] for row in group]
            cells.append(f"{statistics.mean(values):.3f} ± {max(values) - min(values):.3f}")
        lines.append(f"| {scene} | {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="+", choices=SCENES, metavar="SCENE")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--method", choices=["iic", "kmeans", "recal", "ddc"], default="iic")
    parser.add_argument("--over", type=int, default=60, help="clusters, several for each class")
    parser.add_argument("--set", type=setting, nargs="*", default=[], help="settings of the method, NAME=VALUE")
    parser.add_argument("--label-stride", type=int, help="step between labelled patches (default: the model's)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    wanted = parsed(arguments)
    rows: list[dict[str, Any]] = []
    for name in wanted.scenes:
        for seed in range(wanted.seeds):
            rows += measured(name, seed, wanted)
            wanted.json.write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
