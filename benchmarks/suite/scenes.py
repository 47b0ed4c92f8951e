"""Simulated inputs that several lines share: a LISS-IV product, and its reflectance. Made once a size."""

import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any


def product(folder: Path, size: tuple[int, int] | list[int]) -> Path:
    """A simulated LISS-IV product of (height, width) beside the line's folder."""
    from rsseg.pipeline.stages.simulate import simulate
    from rsseg.scene.simulate.product import Product

    target = folder.parent / f"product-{size[0]}x{size[1]}"
    if not target.exists():
        _quietly(simulate, target, Product((size[0], size[1])))
    return target


def reflectance(folder: Path, size: tuple[int, int] | list[int]) -> Path:
    """Its reflectance, as ``rsseg toa`` writes it."""
    from rsseg.pipeline.stages.toa import toa

    target = folder.parent / f"scene-{size[0]}x{size[1]}.tif"
    if not target.exists():
        _quietly(toa, product(folder, size), target)
    return target


def scene_of(folder: Path, size: tuple[int, int] | list[int]) -> Path:
    """Where ``reflectance`` has put it; imports nothing."""
    return folder.parent / f"scene-{size[0]}x{size[1]}.tif"


def recal_model(folder: Path) -> Path:
    """A RECAL model of 8 px patches and ten clusters, trained for an epoch on a small scene."""
    from rsseg.learn.methods import settings_of
    from rsseg.pipeline.stages.train import train

    target = folder.parent / "recal.safetensors"
    if not target.exists():
        settings = settings_of("recal", classes=10, epochs=1, learning_rate=1e-2)
        _quietly(train, [reflectance(folder, (440, 480))], target, settings)
    return target


def timed(work: Any, *arguments: Any, **named: Any) -> float:
    """Seconds that a call took; the package's warnings on simulated scenes are not shown."""
    began = time.perf_counter()
    _quietly(work, *arguments, **named)
    return time.perf_counter() - began


def _quietly(work: Any, *arguments: Any, **named: Any) -> Any:
    from rsseg.errors import RssegWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RssegWarning)
        return work(*arguments, **named)


def steady(work: Any, least: float = 0.5) -> float:
    """Median seconds of a call after one that is not counted: as many as take ``least`` seconds, from 1 to 50."""
    work()
    seconds: list[float] = []
    while not seconds or (sum(seconds) < least and len(seconds) < 50):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)
