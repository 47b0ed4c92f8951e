"""``rsseg train``: from scenes to a model file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import rsseg
from rsseg.errors import UsageError
from rsseg.files import check_output, digest
from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.stack import Channels, channel_settings
from rsseg.learn.devices import choose_device, room
from rsseg.learn.distributed import by_first, expected, is_first, together
from rsseg.learn.initial import starting
from rsseg.learn.inputs import TILE_VALID_SHARE, VALID_SHARE, SceneInput
from rsseg.learn.methods import METHODS, MethodSettings, build
from rsseg.learn.methods.base import Method
from rsseg.learn.model import Inference, Model, load_model
from rsseg.learn.regions import RegionMaker
from rsseg.learn.samples import SceneSamples, find_patches
from rsseg.learn.training import Trained, Trainer, TrainingSettings
from rsseg.pipeline.inputs import bands_of, open_scenes, reading
from rsseg.pipeline.regions import region_maker
from rsseg.progress import SILENT, Reporter
from rsseg.scene.grid import PatchGrid
from rsseg.scene.source import Scene


@dataclass(frozen=True)
class TrainResult:
    """What a training gave."""

    model: str
    identity: str
    method: str
    patches: int
    score: float
    run: int
    shares: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def history_path(output: Path) -> Path:
    """Where the training's metrics go: beside the model."""
    return output.with_suffix(".history.jsonl")


def checkpoint_path(output: Path) -> Path:
    """Where an unfinished training's state lies: beside the model to be."""
    return output.with_suffix(".checkpoint.safetensors")


def train(
    scenes: Sequence[Path],
    output: Path,
    method: MethodSettings,
    *,
    training: TrainingSettings | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    memory: int = 4 << 30,
    resume: bool = False,
    strict: bool = True,
    init: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Train ``method`` on scenes and write the model file, with its history beside it.

    ``aoi``: polygons; only the part of each scene inside them is learned from. ``init``: a model of the same network,
    whose tensors and normalisation training starts from. ``memory``: bytes, of which the scenes take at most half. An
    unfinished training leaves a checkpoint beside the output, from which ``resume`` goes on; one of other settings is
    an error, or is ignored when not ``strict``.

    Started by torchrun, as many processes train as one would, each with its part of every batch; the first one writes
    and reports, and all return the same. ``memory`` is of each.

    Raises: any RssegError.
    """
    with together(device) as own_device:
        if not is_first():
            reporter = SILENT
        training = training or TrainingSettings()
        if training.compile and expected() > 1:
            raise UsageError("--compile takes one process; leave it out, or run without torchrun")
        check_model_output(output, overwrite)
        method.check()
        method.check_channels()
        used = choose_device(own_device, threads)
        initial = load_model(init) if init else None
        if initial:
            bands = bands or bands_of(initial, scenes[0], scale)
            method = _like(method, initial)
        opened = open_scenes(scenes, bands, scale, aoi)
        _say_units(opened, reporter)
        if initial:
            _check_start(initial, opened)
        with region_maker(method, opened) as regions, reading(opened) as inputs:
            names = opened[0].band_names
            channels = initial.inference.channels if initial else fit_channels(method, inputs, names, training.seed)
            make = _maker(initial, method, len(channels.names) if channels else len(names))
            seen = [derived(scene, channels) for scene in inputs]
            samples = training_samples(seen, method, training.seed, used, memory, regions, initial, reporter)
            _say_memory(samples, reporter)
            trainer = Trainer(
                make,
                samples,
                training,
                used,
                identity={**_identity(method, opened, samples, channels), **_start(initial)},
                checkpoint=checkpoint_path(output),
                history=history_path(output),
                reporter=reporter,
            )
            trained = trainer.train(resume, strict)
        inference = _inference(method, opened[0], samples, trained, channels)
        provenance = {**_provenance(method, training, opened, samples, trained), **_start(initial)}
        return by_first(lambda: _saved(output, Model(inference, trained.network), provenance, len(samples), trained))


def _saved(output: Path, model: Model, provenance: dict[str, Any], samples: int, trained: Trained) -> TrainResult:
    """Write the model, after which its checkpoint is of no use."""
    model.provenance = provenance
    identity = model.save(output, overwrite=True)
    checkpoint_path(output).unlink(missing_ok=True)
    return TrainResult(
        str(output), identity, model.inference.method, samples, trained.score, trained.run, trained.shares
    )


def _say_memory(samples: SceneSamples, reporter: Reporter) -> None:
    if not samples.whole:
        reporter.say(
            f"{len(samples)} training patches lie in memory at a time ({samples.memory >> 20} MiB, by --memory); "
            "each epoch draws others"
        )


def method_name(settings: MethodSettings) -> str:
    """The name of the method that the settings belong to."""
    return next(name for name, (kind, _) in METHODS.items() if type(settings) is kind)


def _like(method: MethodSettings, initial: Model) -> MethodSettings:
    """The settings with the model's normalisation and channels.

    Raises: UsageError if other channels are asked for.
    """
    own = {**channel_settings(initial.inference.channels), "normalise": initial.inference.normalisation.kind}
    found = method.model_copy(update=own)
    if not method.plain and (found.channels, found.denoise) != (method.channels, method.denoise):
        smoothed = " of smoothed bands" if found.denoise else ""
        raise UsageError(
            f"the model to start from sees {', '.join(found.channels)}{smoothed}; leave out --channels and --denoise"
        )
    return found


def _check_start(initial: Model, scenes: Sequence[Scene]) -> None:
    """Refuse scenes that the model to start from does not fit."""
    for scene in scenes:
        initial.check_scene(scene.name, scene.band_names, scene.units)


def _maker(initial: Model | None, method: MethodSettings, channels: int) -> Callable[[], Method]:
    """What makes the method anew for each run, from the model to start from if there is one."""
    name = method_name(method)
    return starting(initial, name, method) if initial else lambda: build(name, method, channels)


def _start(initial: Model | None) -> dict[str, str]:
    """What tells a training that started from a model; nothing for others."""
    return {"init": initial.identity} if initial else {}


def _say_units(scenes: Sequence[Scene], reporter: Reporter) -> None:
    names = [scene.name for scene in scenes if scene.units == "uncalibrated"]
    if names:
        reporter.say(
            f"{', '.join(names)}: bare numbers without calibration, used as they are; the model will fit scenes of the "
            "same kind only (state --scale if they are scaled reflectance)"
        )


def check_model_output(output: Path, overwrite: bool) -> None:
    """Refuse a name that is no model's, or that is taken."""
    if output.suffix != ".safetensors":
        raise UsageError(f"a model is a .safetensors file; write it to {output.with_suffix('.safetensors')}")
    check_output(output, overwrite)


def training_samples(
    inputs: Sequence[SceneInput],
    method: MethodSettings,
    seed: int,
    device: torch.device,
    memory: int,
    regions: RegionMaker | None = None,
    initial: Model | None = None,
    reporter: Reporter = SILENT,
) -> SceneSamples:
    """What a method trains on: the patches of scenes (as their channels) that are valid enough, normalised.

    ``memory``: bytes, of which they take at most half, as of a GPU's. Raises: TrainingError if there is none.
    """
    shapes = [PatchGrid.of(scene.source.shape[1:], method.patch, method.stride) for scene in inputs]
    with reporter.task("reading statistics, rows of patches", sum(grid.rows.count for grid in shapes)) as task:
        share = TILE_VALID_SHARE if method.dense else VALID_SHARE
        patches, moments = find_patches(inputs, method.patch, method.stride, task.advance, share)
    return SceneSamples(
        patches,
        moments,
        device=device,
        memory=room(memory, device),
        seed=seed,
        kind=method.normalise,
        masks=method.masks,
        regions=regions,
        normalisation=initial.inference.normalisation if initial else None,
    )


def _identity(
    method: MethodSettings, scenes: Sequence[Scene], samples: SceneSamples, channels: Channels | None
) -> dict[str, Any]:
    """What a checkpoint must agree on to be resumed, beside the training's settings."""
    return {
        "method": method_name(method),
        **method.model_dump(mode="json"),
        "files": [digest(path) for path in method.named_files()],
        "scenes": [[scene.name, *scene.shape] for scene in scenes],
        "bands": list(scenes[0].band_names),
        "normalisation": samples.normalisation.model_dump(mode="json"),
        "memory": None if samples.whole else samples.memory,
        **({"fitted": channels.model_dump(mode="json")} if channels else {}),
    }


def _inference(
    method: MethodSettings, scene: Scene, samples: SceneSamples, trained: Trained, channels: Channels | None
) -> Inference:
    return Inference(
        method=method_name(method),
        network=trained.network.spec,
        bands=scene.band_names,
        units=scene.units,
        normalisation=samples.normalisation,
        patch=method.patch,
        stride=method.stride,
        classes=trained.network.classes,
        channels=channels,
    )


def _provenance(
    method: MethodSettings,
    training: TrainingSettings,
    scenes: Sequence[Scene],
    samples: SceneSamples,
    trained: Trained,
) -> dict[str, Any]:
    """Where the model came from; no times and no paths, so that equal trainings give equal files."""
    return {
        "software": {"rsseg": rsseg.__version__, "torch": torch.__version__},
        "settings": method.described(),
        "training": training.described(),
        "scenes": [scene.name for scene in scenes],
        "patches": len(samples),
        "score": trained.score,
        "run": trained.run,
        "shares": dict(trained.shares),
        **({"batches_cut_into": trained.parts} if trained.parts else {}),
    }
