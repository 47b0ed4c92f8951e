"""``rsseg train --init MODEL --labels REFERENCE``: a head that learns classes from labels, on a trained network."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

import rsseg
from rsseg.errors import TrainingError, UsageError
from rsseg.files import write_text
from rsseg.label.labelled_scene import LabelledScene, labelled_scene, make_subset, score, split
from rsseg.label.maps import Resample
from rsseg.label.metrics.confusion import Confusion
from rsseg.label.reference import Reference, open_reference
from rsseg.learn.channels.stack import channel_settings
from rsseg.learn.devices import choose_device
from rsseg.learn.methods import describe
from rsseg.learn.methods.supervised import Supervised, SupervisedSettings
from rsseg.learn.model import Model, load_model
from rsseg.learn.networks.build import is_dense
from rsseg.learn.networks.dense import DenseNetwork
from rsseg.learn.networks.patch import PatchNetwork
from rsseg.learn.networks.vote import VoteNetwork
from rsseg.learn.training import Trained, Trainer, TrainingSettings
from rsseg.pipeline.inputs import bands_of, reading
from rsseg.pipeline.stages.train import check_model_output, checkpoint_path, history_path
from rsseg.progress import SILENT, Reporter
from rsseg.scene.raster import CACHE_BYTES
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class FinetuneResult:
    """What training on labels gave; ``unit`` is what is counted, "patches" or "pixels".

    ``training`` counts the labels of each class that were trained on, ``held_out`` all others that were scored, and
    ``accuracy`` tells how those were met; None without any.
    """

    model: str
    identity: str
    method: str
    unit: str
    training: dict[str, int]
    held_out: int
    score: float
    run: int
    accuracy: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def finetune(
    scene: Path,
    output: Path,
    init: Path,
    reference: Path,
    *,
    method: str | None = None,
    field: str | None = None,
    share: float = 1.0,
    options: Mapping[str, Any] | None = None,
    training: TrainingSettings | None = None,
    bands: tuple[str, ...] | None = None,
    scale: tuple[float, ...] | None = None,
    aoi: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    memory: int = 4 << 30,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> FinetuneResult:
    """Train a linear head on the network of ``init`` with the labels of a reference, and write it as a model.

    The model's clusters are the reference's classes in its order. Labels are drawn by polygons, or by squares of a
    raster; those that are not drawn are held out and tell the accuracy, and nothing else.

    Args:
        scene: the scene that the reference lies on; half of ``memory`` must hold its pixels.
        method: the name that ``init`` is expected to have been trained by.
        field: the class field of polygons.
        share: the part of each class's labels to train on, above 0 and at most 1.
        aoi: polygons, outside of which nothing is learned or scored.
        options: settings of ``SupervisedSettings`` that are not its defaults, and ``stride``.

    Raises: any RssegError.
    """
    check_model_output(output, overwrite)
    training = training or TrainingSettings()
    _check_options(share, training)
    used, model = choose_device(device, threads), load_model(init)
    network = _check_model(model, init, method)
    opened = open_scene(scene, bands=bands or bands_of(model, scene, scale), scale=scale, aoi=aoi)
    model.check_scene(opened.name, opened.band_names, opened.units)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        (source,) = stack.enter_context(reading([opened]))
        # a raster of the whole scene has the part's own pixels
        resample: Resample | None = "nearest" if aoi else None
        truth = stack.enter_context(open_reference(reference, opened.grid, scene, field, resample))
        settings = _settings(model, truth, options or {})
        found = labelled_scene(model, source, truth, settings.stride, used, memory, reporter)
        chosen, held = split(found, share, training.seed)
        _check_labels(found, chosen, reference)
        places = {"checkpoint": checkpoint_path(output), "history": history_path(output), "reporter": reporter}
        trained = train_head(model, network, found, chosen, settings, training, used, resume, **places)
        scored = score(trained.network, found, held) if held.any() else None
    made = _model(model, settings, trained, found, chosen, held, training, opened, reference, share)
    identity = made.save(output, overwrite=True)
    checkpoint_path(output).unlink(missing_ok=True)
    _finish_history(output, trained, scored)
    return _result(made, identity, output, found, chosen, held, scored)


def _check_options(share: float, training: TrainingSettings) -> None:
    if not 0 < share <= 1:
        raise UsageError(f"a label share of {share:g} cannot be drawn; choose one above 0 and at most 1")
    if training.vote > 1:
        raise UsageError("heads trained on labels do not vote; leave out --vote")


def _check_model(model: Model, path: Path, method: str | None) -> PatchNetwork | DenseNetwork:
    """The model's network, if a head can be put on it."""
    own = model.inference.method
    if method not in (None, own):
        raise UsageError(f"{path} was trained by {own}; put its new head on with rsseg train {own}")
    if isinstance(model.network, VoteNetwork):
        members = len(model.network.members)
        raise UsageError(f"{path} is a vote of {members} networks; train one without --vote, and start from it")
    return model.network


def _settings(model: Model, reference: Reference, options: Mapping[str, Any]) -> SupervisedSettings:
    own = model.inference
    fixed = {"patch": own.patch, "classes": len(reference.classes), "normalise": own.normalisation.kind}
    fixed |= channel_settings(own.channels)
    for name in fixed.keys() & options.keys():
        raise UsageError(f"with --labels, --{name} follows from the model and the labels; leave it out")
    if len(reference.classes) < 2:
        raise UsageError(f"{reference.path} has one class, {reference.classes[0]!r}; labels of two or more are needed")
    # dense batches hold tiles, of which a few are many labels
    batch = {"batch": 8} if is_dense(model.network) else {}
    try:
        return SupervisedSettings(**{"stride": own.stride, **batch, **options, **fixed})
    except ValidationError as problem:
        raise UsageError(describe(problem, "training on labels")) from None


def _check_labels(found: LabelledScene, chosen: NDArray[np.bool_], path: Path) -> None:
    present = int((found.labels.counts(chosen, len(found.classes)) > 0).sum())
    if present < 2:
        what = "pixels" if found.dense else "patches"
        raise TrainingError(f"{path} gives labelled {what} of one class only; a head needs two or more classes")


def train_head(
    model: Model,
    network: PatchNetwork | DenseNetwork,
    found: LabelledScene,
    chosen: NDArray[np.bool_],
    settings: SupervisedSettings,
    training: TrainingSettings,
    device: torch.device,
    resume: bool = False,
    **places: Any,
) -> Trained:
    """Train a head on the trunk of ``network`` with the ``chosen`` labels; ``places``: what ``Trainer`` may write."""
    samples, classes = make_subset(found, chosen, device)
    digest = hashlib.sha256(found.labels.numbers.tobytes())
    digest.update(np.where(chosen, found.labels.codes, 0).tobytes())
    identity = {"init": model.identity, **settings.model_dump(mode="json"), "labels": digest.hexdigest()}
    make = partial(Supervised, settings, model.inference.inputs, network, classes)
    return Trainer(make, samples, training, device, identity=identity, **places).train(resume)


def _model(
    start: Model,
    settings: SupervisedSettings,
    trained: Trained,
    found: LabelledScene,
    chosen: NDArray[np.bool_],
    held: NDArray[np.bool_],
    training: TrainingSettings,
    scene: Scene,
    reference: Path,
    share: float,
) -> Model:
    """The model file's content; of held-out labels it has their number only."""
    changes = {"network": trained.network.spec, "stride": settings.stride, "classes": settings.classes}
    made = Model(start.inference.model_copy(update=changes), trained.network)
    made.provenance = {
        "software": {"rsseg": rsseg.__version__, "torch": torch.__version__},
        "settings": settings.model_dump(mode="json"),
        "training": asdict(training),
        "init": start.identity,
        "scenes": [scene.name],
        "labels": reference.name,
        "label_share": share,
        "classes": list(found.classes),
        "training_labels": found.labels.counts(chosen, len(found.classes)).tolist(),
        "held_out_labels": int(held.sum()),
        "score": trained.score,
        "run": trained.run,
        "shares": dict(trained.shares),
    }
    return made


def _result(
    made: Model,
    identity: str,
    output: Path,
    found: LabelledScene,
    chosen: NDArray[np.bool_],
    held: NDArray[np.bool_],
    scored: Confusion | None,
) -> FinetuneResult:
    counts = found.labels.counts(chosen, len(found.classes)).tolist()
    return FinetuneResult(
        str(output),
        identity,
        made.inference.method,
        "pixels" if found.dense else "patches",
        dict(zip(found.classes, counts, strict=True)),
        int(held.sum()),
        made.provenance["score"],
        made.provenance["run"],
        scored.as_dict() if scored else None,
    )


def _finish_history(output: Path, trained: Trained, scored: Confusion | None) -> None:
    """The history, with the accuracy on held-out labels as its last line."""
    rows = list(trained.history)
    if scored:
        rows.append({"phase": "held-out", "accuracy": scored.overall_accuracy, "mean_iou": scored.mean_iou})
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    write_text(history_path(output), text, overwrite=True)
