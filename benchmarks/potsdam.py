"""The papers' experiment on aerial images: IIC and superpixel WCE on the ISPRS Potsdam tiles, beside pixel k-means.

    python benchmarks/potsdam.py DIR --output OUT [--classes 3|6] [--methods iic-dense wce] [--budget MINUTES]
        [--width N] [--set METHOD.KEY=VALUE ...]

DIR: the benchmark's unpacked folders (see potsdam_tiles.py). OUT gets the prepared tiles (about 1.7 GB; made once) and
report_CLASSES.json. Settings are the papers': IIC as its authors' commands have them, and as many epochs as their best
result took; WCE of its section XII, 10 epochs. They are made for large GPUs: on a CPU say ``--width 8`` and a
``--budget``, which is shared by the methods; a run that has used its share is ended, and scored as it stands.

IIC trains on all images and is scored on all that have ground truth, one cluster a class (Hungarian). WCE trains
without the test images and is scored on those, each cluster with its majority class. Labels are read for that alone.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clustering import setting
from numpy.typing import NDArray
from potsdam_report import METRICS, markdown
from potsdam_tiles import Place, Potsdam, prepared
from reporting import hardware

from rsseg.errors import InputError, RssegError, RssegWarning, UsageError
from rsseg.files import write_text
from rsseg.label.contingency import contingency
from rsseg.label.mapping import Assignment, assign
from rsseg.label.metrics.confusion import confusion
from rsseg.label.segmentation_scores import MappedClusters, mean_scores, score_arrays
from rsseg.learn.devices import choose_device
from rsseg.learn.methods import build, settings_of
from rsseg.learn.methods.base import MethodSettings
from rsseg.learn.normalise import folded
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trainer, TrainingSettings
from rsseg.scene.superpixels import superpixels

BATCH = 16
"""Images labelled at a time."""

KMEANS_PIXELS = 100_000
ASSIGNED: dict[str, Assignment] = {"iic-dense": "one-to-one", "wce": "many-to-one"}

IIC: dict[str, Any] = {"normalise": "range", "photometric": "rgb-jitter", "stride": 1}
"""Of both commands; images are not moved, since the authors cut them beforehand."""

PAPERS: dict[str, dict[int, dict[str, Any]]] = {
    "iic-dense": {
        3: {**IIC, "learning_rate": 1e-5, "batch": 75, "over_classes": 24, "entropy_weight": 1.5, "epochs": 5},
        6: {**IIC, "learning_rate": 1e-6, "batch": 60, "over_classes": 36, "displacement": 5, "epochs": 4},
    },
    "wce": {3: {"classes": 100, "epochs": 10}, 6: {"classes": 100, "epochs": 10}},
}

Labeller = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Pixels (n, 4, h, w) uint8 -> clusters (n, h, w) uint8, from 1."""


def samples_of(data: Potsdam, left_out: Sequence[Place], used: MethodSettings, device: torch.device) -> SceneSamples:
    """The images to train on, without those that are left out."""
    patches, moments = find_patches([mosaic.scene() for mosaic in data.mosaics], data.size, data.size)
    for number, found in enumerate(patches):
        across = found.grid.cols.count
        tests = [p.row // data.size * across + p.col // data.size for p in left_out if p.mosaic == number]
        patches[number] = replace(found, numbers=np.setdiff1d(found.numbers, tests))
    options = used.superpixel_options()
    return SceneSamples(
        patches,
        moments,
        device=device,
        memory=sum(mosaic.pixels.nbytes for mosaic in data.mosaics),
        seed=data.seed,
        kind=used.normalise,
        regions=(lambda pixels, valid, scene, window: superpixels(pixels, valid, **options)) if options else None,
    )


def trained(
    method: str, used: MethodSettings, data: Potsdam, seconds: float | None, device: torch.device
) -> tuple[Labeller, dict[str, Any]]:
    """What a method's trained network gives, and how its training went."""
    samples = samples_of(data, data.tests if ASSIGNED[method] == "many-to-one" else (), used, device)
    training = TrainingSettings(seed=data.seed, patience=0, seconds=seconds)
    began = time.monotonic()
    found = Trainer(lambda: build(method, used, 4), samples, training, device).train()
    taken = time.monotonic() - began
    network, (gain, bias) = found.network.eval(), folded(samples.normalisation, (1 / 255,) * 4, (0.0,) * 4)
    slope, shift = (torch.tensor(line, dtype=torch.float32, device=device).view(-1, 1, 1) for line in (gain, bias))

    @torch.no_grad()
    def label(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x = torch.from_numpy(pixels).to(device).float() * slope + shift
        return (network.predict(x).argmax(dim=1) + 1).to(torch.uint8).cpu().numpy()

    told = {
        "method": method,
        "epochs": used.epochs,
        "epochs_begun": len(found.history),
        "seconds": taken,
        "ended_by": "budget" if seconds is not None and taken >= seconds else "epochs",
        "images": len(samples),
        "score": found.score,
        "shares": dict(found.shares),
        "settings": used.model_dump(),
    }
    return label, told


def pixel_kmeans(data: Potsdam, clusters: int) -> Labeller:
    """K-means on the four bands, standardised, fitted on pixels of images drawn by the seed."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(data.seed)
    drawn = rng.permutation(len(data.places))[:500]
    each = max(1, KMEANS_PIXELS // len(drawn))
    rows = [rng.permutation(data.pixels(data.places[i]).reshape(4, -1).T)[:each] for i in drawn]
    pixels = np.concatenate(rows).astype(np.float32)
    mean, deviation = pixels.mean(axis=0), np.maximum(pixels.std(axis=0), 1e-6)
    fitted = KMeans(clusters, n_init=3 if clusters < 50 else 1, random_state=data.seed).fit((pixels - mean) / deviation)

    def label(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
        flat = (np.moveaxis(tiles, 1, -1).reshape(-1, 4).astype(np.float32) - mean) / deviation
        shape = (len(tiles), *tiles.shape[2:])
        return (fitted.predict(flat) + 1).astype(np.uint8).reshape(shape)

    return label


def scored(label: Labeller, data: Potsdam, places: Sequence[Place], assignment: Assignment) -> dict[str, Any]:
    """The nine metrics on some images: clusters get classes by all of them, regions are compared image by image."""
    chunks = [places[first : first + BATCH] for first in range(0, len(places), BATCH)]
    labels = np.concatenate([label(np.stack([data.pixels(place) for place in chunk])) for chunk in chunks])
    truths = [data.truth(place) for place in places]
    table = np.zeros((256, len(data.names) + 1), np.int64)
    for one, truth in zip(labels, truths, strict=True):
        table += contingency(one, truth, 255, len(data.names))
    clusters = np.flatnonzero(table[:, 1:].any(axis=1))
    counts = table[clusters, 1:]
    found = confusion(counts, assign(assignment, counts, (), data.names), data.names)
    mapped = MappedClusters(tuple(int(cluster) for cluster in clusters), found.assigned, data.names)
    each = [score_arrays(one, truth, mapped, "classes") for one, truth in zip(labels, truths, strict=True)]
    regions = mean_scores([scores for scores in each if scores])
    values = [
        *(100 * share for share in (found.overall_accuracy, found.mean_iou, found.weighted_iou, found.mean_f1)),
        regions.variation_of_information,
        regions.probabilistic_rand_index,
        regions.global_consistency_error,
        regions.boundary_displacement_error,
        regions.segmentation_covering,
    ]
    return {
        "assignment": assignment,
        "images": len(places),
        "clusters": len(clusters),
        "scores": dict(zip(METRICS, values, strict=True)),
        "confusion": found.as_dict(),
    }


def settings_for(method: str, wanted: argparse.Namespace) -> tuple[MethodSettings, dict[str, Any]]:
    """The paper's settings with what was asked for, and what of that is not the paper's."""
    changed = {key.split(".", 1)[1]: value for key, value in wanted.set.items() if key.split(".")[0] == method}
    for name in ("width", "epochs"):
        if getattr(wanted, name) is not None:
            changed[name] = getattr(wanted, name)
    if wanted.size != 200:
        changed["patch"] = wanted.size
    paper = {"classes": wanted.classes, "patch": 200, **PAPERS[method][wanted.classes]}
    used = settings_of(method, **{**paper, **changed})
    if not used.plain:
        raise UsageError("networks see images as they are here; leave channels and denoise out of --set")
    used.check()
    return used, changed


def benchmark(wanted: argparse.Namespace) -> dict[str, Any]:
    """Train and score every method, and k-means with as many clusters; the report grows with each."""
    for key in wanted.set:
        if key.split(".")[0] not in PAPERS:
            raise UsageError(f"--set {key} names no method; say {' or '.join(f'{name}.KEY=VALUE' for name in PAPERS)}")
    chosen = {method: settings_for(method, wanted) for method in wanted.methods}
    device = choose_device(wanted.device)
    tiles = prepared(wanted.folder, wanted.output / "tiles", lambda text: print(text, file=sys.stderr, flush=True))
    data = Potsdam(tiles, wanted.classes, wanted.size, wanted.seed)
    if not data.labelled:
        raise InputError(f"{wanted.folder} has no ground truth: files such as top_potsdam_2_10_label.tif are missing")
    report: dict[str, Any] = {
        "classes": wanted.classes,
        "size": wanted.size,
        "images": len(data.places),
        "labelled": len(data.labelled),
        "tests": len(data.tests),
        "date": time.strftime("%Y-%m-%d"),
        **hardware(device),
        "runs": [],
        "rows": [],
    }
    seconds = wanted.budget * 60 / len(chosen) if wanted.budget else None
    for method, (used, changed) in chosen.items():
        assignment = ASSIGNED[method]
        places = data.labelled if assignment == "one-to-one" else data.tests
        plain = {"name": "pixel k-means", **scored(pixel_kmeans(data, used.classes), data, places, assignment)}
        label, told = trained(method, used, data, seconds, device)
        report["runs"].append({**told, "changed": changed})
        report["rows"] += [plain, {"name": method, **scored(label, data, places, assignment)}]
        text = json.dumps(report, indent=1, default=str)
        write_text(wanted.output / f"report_{wanted.classes}.json", text, overwrite=True)
    return report


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT")
    parser.add_argument("--classes", type=int, choices=[3, 6], default=3)
    parser.add_argument("--methods", nargs="+", choices=list(PAPERS), default=list(PAPERS))
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="of training, for all methods together")
    parser.add_argument("--width", type=int, help="channels; by default the papers'")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--size", type=int, default=200, help="side of an image in pixels")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="METHOD.KEY=VALUE", action="extend")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    wanted = parser.parse_args(arguments)
    wanted.set = dict(wanted.set)
    return wanted


def main(arguments: list[str] | None = None) -> None:
    wanted = parsed(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RssegWarning)
            report = benchmark(wanted)
    except RssegError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
    print(markdown(report))


if __name__ == "__main__":
    main()
