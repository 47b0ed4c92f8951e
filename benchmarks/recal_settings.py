"""What RECAL's paper leaves open, measured: learning rate from a random start, batch, accumulation, lambda, epochs.

    python benchmarks/recal_settings.py --json OUT [--scenes aber nc] [--usps] [--only NAME]

One setting is changed at a time from the base. On scenes: K = classes and K = 15 would answer different questions; here
K is fixed, and accuracy is many-to-one and one-to-one against the reference, only to report; choices are made by
the unsupervised score and by whether the clustering collapses.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from rsseg.errors import RssegWarning
from rsseg.label.metrics.clustering import normalised_mutual_information
from rsseg.learn.images import ImageSamples
from rsseg.learn.methods import build, settings_of
from rsseg.learn.training import Trainer, TrainingSettings
from rsseg.pipeline.stages.evaluate import evaluate
from rsseg.pipeline.stages.segment import segment
from rsseg.pipeline.stages.train import train

DATA = Path(os.environ.get("RSSEG_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SCENES = {
    "aber": ("aber/aber_GRN.tif", "aber/aber_reference.gpkg", "class"),
    "nc": ("nc/nc_GRN.tif", "nc/nc_landclass96.tif", None),
    "l7_250": ("l7_250/l7_250_GRN.tif", "l7_250/l7_250_reference.gpkg", "class"),
}
BASE = {"classes": 10, "patch": 8, "stride": 8, "epochs": 10, "learning_rate": 1e-2, "batch": 256}
CHANGES = {
    "base": {},
    "lr 1e-4 (paper)": {"learning_rate": 1e-4},
    "lr 1e-3": {"learning_rate": 1e-3},
    "lr 3e-2": {"learning_rate": 3e-2},
    "lr 1e-1": {"learning_rate": 1e-1},
    "batch 64": {"batch": 64},
    "batch 1024": {"batch": 1024},
    "256 x 4, last": {"accumulate": 4, "accumulation": "last"},
    "256 x 4, exact": {"accumulate": 4, "accumulation": "exact"},
    "lambda 0.25": {"entropy_weight": 0.25},
    "lambda 0.5": {"entropy_weight": 0.5},
    "30 epochs": {"epochs": 30},
    "stride 4": {"stride": 4},
    "k-means on features": {"labels_from": "kmeans"},
}


def on_scene(name: str, change: dict, seed: int) -> dict:
    scene, reference, field = SCENES[name]
    settings = settings_of("recal", **{**BASE, **change})
    training = TrainingSettings(seed=seed, patience=0)
    with tempfile.TemporaryDirectory() as folder:
        model, labels = Path(folder) / "m.safetensors", Path(folder) / "labels.tif"
        began = time.perf_counter()
        trained = train([DATA / scene], model, settings, training=training)
        seconds = time.perf_counter() - began
        segment(DATA / scene, model, labels, stride=4)
        scores = evaluate(labels, DATA / reference, field=field)
    return {
        "score": trained.score,
        "seconds": round(seconds, 1),
        **trained.shares,
        "one_to_one": scores.confusions["one-to-one"].overall_accuracy,
        "many_to_one": scores.confusions["many-to-one"].overall_accuracy,
        "mean_iou": scores.confusions["many-to-one"].mean_iou,
        "nmi": scores.nmi,
    }


def on_usps(change: dict, seed: int) -> dict:
    stored = np.load(DATA / "usps" / "usps.npz")
    images = np.concatenate([stored["train_images"], stored["test_images"]]).reshape(-1, 1, 16, 16)
    truth = np.concatenate([stored["train_labels"], stored["test_labels"]]).ravel().astype(int)
    samples = ImageSamples(images, torch.device("cpu"))
    settings = settings_of("recal", **{**BASE, "cut": "input", **change, "patch": 16})
    trainer = Trainer(
        lambda: build("recal", settings, 1), samples, TrainingSettings(seed=seed, patience=0), torch.device("cpu")
    )
    began = time.perf_counter()
    trained = trainer.train()
    seconds = time.perf_counter() - began
    network = trained.method.network.eval()
    with torch.no_grad():
        order = torch.arange(len(samples)).split(1024)
        labels = torch.cat([network.predict(samples.gather(part))[0].argmax(1) for part in order]).numpy()
    table = np.zeros((settings.classes, truth.max() + 1), np.int64)
    np.add.at(table, (labels, truth), 1)
    return {
        "score": trained.score,
        "seconds": round(seconds, 1),
        **trained.shares,
        "nmi": normalised_mutual_information(table),
        "many_to_one": float(table.max(axis=1).sum() / table.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--scenes", nargs="*", default=[])
    parser.add_argument("--usps", action="store_true")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", RssegWarning)
    rows = []
    for title, change in CHANGES.items():
        if arguments.only and title not in arguments.only:
            continue
        for seed in range(arguments.seeds):
            for name in [*arguments.scenes, *(["usps"] if arguments.usps else [])]:
                if name == "usps" and "stride" in change:
                    continue
                found = on_usps(change, seed) if name == "usps" else on_scene(name, change, seed)
                rows.append({"data": name, "setting": title, "seed": seed, **found})
                print(json.dumps(rows[-1]), flush=True)
                arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
