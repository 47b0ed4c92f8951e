"""A training rehearsed: each of its parts timed on samples of a small part of the scene, as the real one does them."""

import time
from dataclasses import dataclass
from pathlib import Path

import rasterio
import torch
from torch import Tensor

from rsseg.learn.channels.derived import derived
from rsseg.learn.channels.fit import fit_channels
from rsseg.learn.channels.stack import Channels
from rsseg.learn.checkpoint import Checkpoint, Progress
from rsseg.learn.devices import choose_device
from rsseg.learn.methods import MethodSettings, build, context, iic_dense, wce
from rsseg.learn.methods.base import Method, Phase
from rsseg.learn.methods.context_start import TILE_PIXELS
from rsseg.learn.model import Inference, Model
from rsseg.learn.samples import MAX_PATCHES, SceneSamples
from rsseg.learn.steps import Steps
from rsseg.learn.training import SETTLE_SAMPLES
from rsseg.pipeline.estimate.training_speed import PhaseSpeed, TrainingSpeed
from rsseg.pipeline.inputs import reading
from rsseg.pipeline.plan import Machine, RunScene, TrainedModel
from rsseg.pipeline.regions import region_maker
from rsseg.pipeline.stages.train import training_samples
from rsseg.scene.raster import CACHE_BYTES

STEP_SECONDS, LEAST_STEPS, MOST_STEPS = 0.8, 2, 12
"""A phase's steps are timed for about so long; of large networks there are at least a few."""

TILES = 3
"""Samples whose superpixels are timed."""

PASSED, LEAST_PASSED, MOST_PASSED = 1 << 18, 8, 1024
"""Pixels that scores and last statistics are timed on, and of how many samples at least and at most."""


def rehearse_training(model: TrainedModel, scene: RunScene, machine: Machine, target: Path) -> TrainingSpeed:
    """Time the parts of a model's training on a small scene, and write what comes out as a model to label with."""
    settings, seed = model.config.settings, model.config.seed
    clock = _Clock(choose_device(machine.device, machine.threads))
    with (
        rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20),
        region_maker(settings, [scene.source]) as regions,
        reading([scene.source]) as inputs,
    ):
        channels = fit_channels(settings, inputs, scene.source.band_names, seed)
        fit = clock.lap()
        seen = [derived(one, channels) for one in inputs]
        samples = training_samples(seen, settings, seed, clock.device, machine.memory, regions)
        read = clock.lap()
        bands = len(channels.names) if channels else len(scene.source.bands)
        method = build(model.config.method, settings, bands)
        rehearsal = _Rehearsal(model, samples, clock, method, target)
        times = rehearsal.beginning()
        tile = rehearsal.tile()
        phases = tuple(rehearsal.phase(phase) for phase in rehearsal.method.phases)
        times |= rehearsal.ending()
    _model(model, scene, rehearsal, channels).save(target, overwrite=True)
    return TrainingSpeed(
        pixels=scene.source.grid.height * scene.source.grid.width,
        samples=len(samples),
        passed=rehearsal.passed,
        scored=method.score_samples,
        settled=_settled(settings),
        started=TILE_PIXELS // settings.patch**2 if isinstance(settings, context.ContextSettings) else MAX_PATCHES,
        stored=bands * (4 if channels else samples.arena.dtype.itemsize) + settings.masks,
        bytes=target.stat().st_size,
        fit=fit,
        reading=read,
        tile=tile,
        phases=phases,
        **times,
    )


class _Clock:
    """Seconds from one look to the next, when all that the device was given is done."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.last = device, time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last look."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        before, self.last = self.last, time.perf_counter()
        return self.last - before


@dataclass
class _Rehearsal:
    """A method on the samples of the small scene."""

    model: TrainedModel
    samples: SceneSamples
    clock: _Clock
    method: Method
    target: Path

    @property
    def passed(self) -> int:
        """Samples that scores and last statistics are timed on."""
        count = PASSED // self.samples.patch**2
        return min(len(self.samples), max(LEAST_PASSED, min(MOST_PASSED, count)))

    def beginning(self) -> dict[str, float]:
        """Seconds until the network is there, and what its score looks at."""
        self.method.module.to(self.clock.device).to(memory_format=torch.channels_last)
        building = self.clock.lap()
        self.fixed = self.method.fixed(self.samples, self._drawn(min(self.passed, self.method.score_samples)))
        return {"building": building, "fixed": self.clock.lap()}

    def tile(self) -> float:
        """Seconds to make the superpixels of a sample; the first one waits for the libraries behind it."""
        if not self._cut or len(self.samples) == 1:
            return 0.0
        chosen = self._drawn(TILES + 1)
        self.samples.regions(chosen[:1])
        self.clock.lap()
        self.samples.regions(chosen[1:])
        return self.clock.lap() / (len(chosen) - 1)

    def phase(self, phase: Phase) -> PhaseSpeed:
        """The start of a phase, some of its steps, and a checkpoint."""
        if not phase.epochs:
            return PhaseSpeed(0)
        self.method.module.train()
        self.clock.lap()
        phase.start_of_epoch(self.samples, 0)
        first, index = self.clock.lap(), self._index(phase)
        phase.end_of_epoch()
        self.clock.lap()
        phase.start_of_epoch(self.samples, 1)
        start, place = self.clock.lap(), self.target.with_suffix(".checkpoint.safetensors")
        Checkpoint(place, {}).save(Progress(), self.method, phase, [])
        save = self.clock.lap()
        place.unlink()
        return PhaseSpeed(phase.epochs, first, start, index, save, lambda count: _indices(phase, count))

    def ending(self) -> dict[str, float]:
        """Seconds of what follows the phases."""
        self.clock.lap()
        if self.method.phases:
            self.method.settle(self.samples, self._drawn(self.passed))
        settle = self.clock.lap()
        self.method.finish(self.samples, self.model.config.seed)
        finish = self.clock.lap()
        self.method.score(self.fixed)
        return {"settle": settle, "finish": finish, "score": self.clock.lap()}

    @property
    def _cut(self) -> bool:
        return self.model.config.settings.superpixel_options() is not None

    def _drawn(self, count: int) -> Tensor:
        order = torch.randperm(len(self.samples), generator=_generator())
        return order[:count].to(self.clock.device)

    def _index(self, phase: Phase) -> float:
        """Seconds of a step for each index of its batch, from all over an epoch: heads may take turns within it."""
        batches = sum(1 for _ in phase.batches(len(self.samples), _generator()))
        first = next(iter(phase.batches(len(self.samples), _generator())), None)
        if first is None:
            return 0.0
        self._step(phase, first)  # slower than others: buffers are made, ways of computing chosen
        count = int(STEP_SECONDS / max(self._step(phase, first), 1e-6))
        count = min(batches, MOST_STEPS, max(LEAST_STEPS, count))
        chosen = {(2 * part + 1) * batches // (2 * count) for part in range(count)}
        spent, done = 0.0, 0
        for number, indices in enumerate(phase.batches(len(self.samples), _generator())):
            if number in chosen:
                spent, done = spent + self._step(phase, indices), done + len(indices)
        return spent / max(1, done)

    def _step(self, phase: Phase, indices: Tensor) -> float:
        """Seconds of one step of the training loop, the superpixels of its samples made before."""
        if self._cut:
            self.samples.regions(indices)
        steps = Steps(self.samples, self.clock.device, self.model.config.precision, {})
        self.clock.lap()
        list(steps.take(phase, indices))
        return self.clock.lap()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _indices(phase: Phase, samples: int) -> int:
    """How many indices all batches of an epoch hold."""
    return sum(len(indices) for indices in phase.batches(samples, _generator()))


def _settled(settings: MethodSettings) -> int:
    """Samples from which a method takes batch-norm statistics at the end, at most."""
    if isinstance(settings, context.ContextSettings):
        return context.SETTLE_TILES
    if isinstance(settings, iic_dense.IicDenseSettings):
        return iic_dense.SETTLE_TILES
    if isinstance(settings, wce.WceSettings):
        return max(1, wce.SETTLE_PIXELS // settings.patch**2)
    return SETTLE_SAMPLES


def _model(model: TrainedModel, scene: RunScene, rehearsal: _Rehearsal, channels: Channels | None) -> Model:
    network, settings = rehearsal.method.network, model.config.settings
    inference = Inference(
        method=model.config.method,
        network=network.spec,
        bands=scene.source.band_names,
        units=scene.source.units,
        normalisation=rehearsal.samples.normalisation,
        patch=settings.patch,
        stride=settings.stride,
        classes=network.classes,
        channels=channels,
    )
    return Model(inference, network)
