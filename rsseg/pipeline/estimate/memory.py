"""Peak memory of a run: what the rehearsal took, and what grows beyond it with the scenes."""

from collections.abc import Iterable

import numpy as np

from rsseg.learn.channels.fit import PIXELS
from rsseg.pipeline.estimate.training_speed import TrainingSize, TrainingSpeed
from rsseg.pipeline.plan import RunScene
from rsseg.scene.raster import BLOCK, CACHE_BYTES


def training_bytes(speed: TrainingSpeed, size: TrainingSize) -> int:
    """What a training holds beyond its rehearsal: pixels, patches' numbers twice and their order, the fit's sample."""
    pixels = size.pixels * size.held(speed.stored)
    arena = max(0.0, pixels - speed.pixels) * speed.stored
    numbers = max(0, size.patches - speed.samples) * 3 * 8
    sample = max(0, min(PIXELS, size.pixels) - speed.pixels) * speed.stored * 2
    return int(arena + numbers + sample)


def streaming_bytes(scenes: Iterable[RunScene]) -> int:
    """GDAL's cache, and strips of a scene's full width: as stored, as computed in float32, and as written."""
    largest = 0
    for scene in scenes:
        bands, height, width = scene.source.shape
        stored = bands * np.dtype(scene.source.dtype).itemsize
        strip = width * min(BLOCK, height) * (3 * stored + 2 * 4 * bands)
        largest = max(largest, strip + min(CACHE_BYTES, height * width * (stored + 2)))
    return largest
