"""The papers' clustering benchmarks: a patch method on a labelled image data set, beside k-means in the same run.

    python benchmarks/clustering.py METHOD DATASET --json OUT [--runs N] [--budget MINUTES] [--set KEY=VALUE ...]
        [--cpu] [--vote] [--features] [--probe] [--drop CLASS=SHARE ...]

DATASET: mnist, usps, coil20, umist, cifar10, cifar100, stl10, or a path (see datasets.py). Settings, number of runs and
what is reported are the paper's where it has that data set (protocols.py); ``--set`` changes one. Runs differ by their
seed alone. Labels score what is finished; none is read to train, to stop, or to choose a run or a sub-head.

``--budget``: minutes for all runs together; a run that has used its share is ended, and what it has reached is scored.
``--vote``: the three runs of lowest loss, aligned to the best, by majority. ``--features``: k-means on learned
features, on an untrained network's and on an ImageNet VGG16-BN's. ``--probe``: classifiers on the features. ``--drop``:
keep only that share of a class. Prints a Markdown table; OUT holds everything, each run as soon as it is done.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import features
import numpy as np
from numpy.typing import NDArray
from protocols import CPU, Protocol, protocol_of
from reporting import hardware, markdown
from runs import Run, Task, measures, summary, train_once

from rsseg.errors import InputError, RssegError, RssegWarning, UsageError
from rsseg.learn.devices import choose_device
from rsseg.learn.methods import METHODS, settings_of

NO_IMAGENET = "VGG16-BN's ImageNet weights are not in torchvision's cache"


def prepared(wanted: argparse.Namespace, protocol: Protocol, notes: list[str]) -> Task:
    """The images at the network's size, and the checked settings.

    Raises: UsageError for a method that labels pixels, and for settings that it does not have.
    """
    method = wanted.method
    if method in METHODS and METHODS[method][0].dense:
        patch_methods = [name for name, (settings, _) in METHODS.items() if not settings.dense]
        raise UsageError(f"{method} labels pixels, not whole images; choose one of {', '.join(patch_methods)}")
    if "patch" in wanted.set:
        raise UsageError("the patch is the images' size here; choose it with --size")
    # a misspelt setting is said before the images are read
    if not settings_of(method, **wanted.set).plain:
        raise UsageError("networks see images as they are here; leave channels and denoise out of --set")
    images = fitted(wanted, protocol)
    if wanted.drop:
        notes.append(f"Kept of classes: {', '.join(f'{name} {share:.0%}' for name, share in wanted.drop.items())}.")
    given = {"classes": images.classes, **protocol.settings, **wanted.set, "patch": images.images.shape[2]}
    settings = settings_of(method, **given)
    try:
        settings.check()
    except InputError:
        if "weights" in wanted.set:
            raise
        notes.append(f"From random weights: {NO_IMAGENET}, from which the paper starts.")
        settings = settings_of(method, **{**given, "weights": "random"})
    return Task.of(method, settings, images, choose_device(wanted.device))


def fitted(wanted: argparse.Namespace, protocol: Protocol) -> datasets.ImageSet:
    """The images, square: by the protocol's steps, or as ``--size`` and ``--fit`` say."""
    images = datasets.read(wanted.dataset, wanted.root, wanted.size).thinned(wanted.drop, wanted.seed)
    height, width = images.images.shape[2:]
    if wanted.size or height != width:
        return images.fitted(wanted.size or min(height, width), wanted.fit)
    for how, size in protocol.steps:
        images = images.fitted(size, how)
    return images


def baselines(task: Task, network: Any, wanted: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    """K-means on pixels, and on features where that is asked for."""
    found: dict[str, Any] = {}
    sources: dict[str, Callable[[], NDArray]] = {"kmeans_pixels": lambda: features.pixels(task.samples, task.device)}
    if wanted.features and task.method != "kmeans":
        _, bands, size, _ = task.images.images.shape
        sources["kmeans_features"] = lambda: features.learned(network, task.samples, task.device)
        sources["kmeans_untrained"] = lambda: features.untrained(task.make, task.samples, wanted.seed, task.device)
        sources["kmeans_imagenet"] = lambda: features.imagenet(bands, size, task.samples, task.device)
    for name, source in sources.items():
        try:
            vectors = source()
        except InputError:
            notes.append(f"Without k-means on ImageNet features: {NO_IMAGENET}.")
            continue
        labels, count = features.kmeans_labels(vectors, task.settings.classes, wanted.seed)
        scores = measures(labels, task.images.truth, task.settings.classes)
        found[name] = {**scores, "width": vectors.shape[1], "fitted_on": count}
        if count < len(vectors):
            notes.append(f"{name} was fitted on {count} of {len(vectors)} vectors of {vectors.shape[1]} numbers.")
    return found


def probes(task: Task, network: Any, seed: int, notes: list[str]) -> dict[str, Any]:
    """Classifiers on the learned features; on pixels beside them, in a note."""
    truth, train = task.images.truth, task.images.train
    scores = features.probe(features.learned(network, task.samples, task.device), truth, train, seed)
    plain = features.probe(features.pixels(task.samples, task.device), truth, train, seed)
    notes.append(
        f"Probes, split: {scores['split']}. Of pixels: SVM {plain['svm']:.1f} %, network {plain['network']:.1f} %."
    )
    found = {kind: {"accuracy": scores[kind]} for kind in ("svm", "network")}
    return {**found, **{f"{kind}_pixels": {"accuracy": plain[kind]} for kind in ("svm", "network")}}


def opened(task: Task, wanted: argparse.Namespace, protocol: Protocol) -> dict[str, Any]:
    """A report that says what is going to be run."""
    known = task.images.truth[task.images.truth >= 0]
    return {
        "method": task.method,
        "data": task.images.name,
        "images": list(task.images.images.shape),
        "classes": task.images.classes,
        "class_sizes": np.bincount(known, minlength=task.images.classes).tolist(),
        "settings": task.settings.model_dump(),
        "protocol": asdict(protocol),
        "minutes": wanted.budget,
        "date": time.strftime("%Y-%m-%d"),
        **hardware(task.device),
    }


def benchmark(wanted: argparse.Namespace) -> dict[str, Any]:
    """All runs and what they are compared with; ``--json`` grows with each."""
    protocol = protocol_of(wanted.method, wanted.dataset)
    notes = list(protocol.notes)
    task = prepared(wanted, protocol, notes)
    report, runs, count = opened(task, wanted, protocol), list[Run](), wanted.runs or protocol.runs
    share = wanted.budget * 60 / count if wanted.budget else None
    for number in range(count):
        runs.append(train_once(task, wanted.seed + number, share, wanted.curve))
        print(f"run {number + 1} of {count}: {runs[-1].line()}", file=sys.stderr, flush=True)
        best = min(runs, key=lambda run: run.score)
        for run in runs:
            run.network = run.network if run is best else None  # large networks of many runs do not fit in memory
        report["runs"] = [run.record() for run in runs]
        report["summary"] = summary(runs, task.images.truth, best.network.classes, wanted.vote)
        save(wanted.json, report, [*notes, *differences(runs, protocol)])
    report["summary"] |= baselines(task, best.network, wanted, notes)
    if wanted.probe:
        report["summary"] |= probes(task, best.network, wanted.seed, notes)
    save(wanted.json, report, [*notes, *differences(runs, protocol)])
    return report


def differences(runs: list[Run], protocol: Protocol) -> list[str]:
    """Sentences on what keeps these runs from being the protocol's."""
    found = []
    short = sum(run.ended_by == "budget" for run in runs)
    if short:
        least = {phase: min(run.epochs.get(phase, 0) for run in runs) for phase in runs[0].epochs}
        reached = ", ".join(f"{phase} {epochs}" for phase, epochs in least.items())
        found.append(f"{short} of {len(runs)} runs were ended by the budget; epochs at least: {reached}.")
    if protocol.published and len(runs) != protocol.runs:
        found.append(f"Runs: {len(runs)}; the paper's: {protocol.runs}.")
    return found


def save(path: Path, report: dict[str, Any], notes: list[str]) -> None:
    report["notes"] = notes
    path.write_text(json.dumps(report, indent=1))


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value as JSON where it is."""
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def share(text: str) -> tuple[str, float]:
    """CLASS=SHARE, a share from 0 to 1."""
    name, value = setting(text)
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not CLASS=SHARE with a share from 0 to 1")
    return name, float(value)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("dataset")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--runs", type=int, help="by default the paper's number")
    parser.add_argument("--budget", type=float, metavar="MINUTES")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="KEY=VALUE", action="extend")
    parser.add_argument("--drop", type=share, nargs="+", default=[], metavar="CLASS=SHARE", action="extend")
    parser.add_argument("--vote", action="store_true")
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--curve", type=int, default=1, metavar="EPOCHS", help="score every so many epochs; 0: never")
    parser.add_argument("--size", type=int, help="bring images to this size instead of the protocol's")
    parser.add_argument("--fit", choices=["pad", "crop", "resize"], default="resize", help="how, with --size")
    parser.add_argument("--root", type=Path, help="where data sets of known names lie, torchvision's too")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next ones count on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu", action="store_true", help="narrower networks and shorter trainings (protocols.py)")
    wanted = parser.parse_args(arguments)
    cpu = CPU.get(wanted.method, {}) if wanted.cpu else {}
    wanted.set, wanted.drop = {**cpu, **dict(wanted.set)}, dict(wanted.drop)
    return wanted


def main(arguments: list[str] | None = None) -> None:
    wanted = parsed(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RssegWarning)
            report: Mapping[str, Any] = benchmark(wanted)
    except RssegError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
    print(markdown(report))


if __name__ == "__main__":
    main()
