"""How time and memory grow with the scene: each stage at 1, 4, 16 and 64 times the pixels of a small one.

STAGE@N   the stage on a scene of N times the pixels: patch statistics and normalisation; ``rsseg segment`` by a RECAL
          model of 8 px patches (stride 8, with confidence); the whole ``rsseg consensus`` of two maps.
exponent  the slope of log seconds against log pixels, by least squares over the four: 1 is linear, the limit of what
          reads every pixel. Its last step, from 16 to 64 times, is given beside it, since what a stage costs once
          flattens the small ones.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite.consensus import make_maps
from suite.lines import Aim, Line, Row
from suite.scenes import recal_model, reflectance, scene_of, timed

TIMES = (1, 4, 16, 64)


def exponents(parts: dict[str, Row]) -> Row:
    """Slopes of the seconds, seconds a megapixel by size, and the peak of the largest over that of the smallest."""
    rows = list(parts.values())
    x, y = ([math.log(row[key]) for row in rows] for key in ("megapixels", "seconds"))
    mean = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - mean[0]) * (b - mean[1]) for a, b in zip(x, y, strict=True))
    return {
        "exponent": rise / sum((a - mean[0]) ** 2 for a in x),
        "exponent of the last step": (y[-1] - y[-2]) / (x[-1] - x[-2]),
        "seconds a megapixel": {f"{row['megapixels']:.3g} Mpx": row["seconds"] / row["megapixels"] for row in rows},
        "peak of the largest over the smallest": rows[-1]["peak_mib"] / rows[0]["peak_mib"],
    }


def line(stage: str, title: str, base: list[int], full: list[int]) -> Line:
    """The line of one stage, whose function it names."""
    parts = {f"{stage}@{times}": f"{times} times the pixels" for times in TIMES}
    return Line(
        f"growth-{stage}",
        f"growth of {title}",
        __name__,
        parts,
        settings={"base": base},
        full={"base": full},
        aims=[Aim("exponent of the last step", 1.1)],
        derive=exponents,
        prepare=f"prepare_{stage}",
    )


LINES = (
    line("statistics", "patch statistics", [512, 512], [2048, 2048]),
    line("segment", "rsseg segment", [256, 256], [1024, 1024]),
    line("consensus", "rsseg consensus", [512, 512], [2048, 2048]),
)


def _size(settings: dict[str, Any], times: str | int) -> list[int]:
    return [side * math.isqrt(int(times)) for side in settings["base"]]


def _row(settings: dict[str, Any], times: str, work: Callable[[], object]) -> Row:
    seconds = timed(work)
    height, width = _size(settings, times)
    return {"seconds": seconds, "megapixels": height * width / 1e6}


def prepare_statistics(folder: Path, settings: dict[str, Any]) -> None:
    for times in TIMES:
        reflectance(folder, _size(settings, times))


def prepare_segment(folder: Path, settings: dict[str, Any]) -> None:
    prepare_statistics(folder, settings)
    recal_model(folder)


def prepare_consensus(folder: Path, settings: dict[str, Any]) -> None:
    for times in TIMES:
        (folder / str(times)).mkdir(exist_ok=True)
        make_maps(folder / str(times), _size(settings, times), 10)


def statistics(folder: Path, settings: dict[str, Any], times: str) -> Row:
    from rsseg.learn.normalise import standardise
    from rsseg.learn.samples import find_patches
    from rsseg.pipeline.inputs import open_scenes, reading

    def work() -> None:
        with reading(open_scenes([scene_of(folder, _size(settings, times))])) as inputs:
            standardise(find_patches(inputs, 8, 8)[1])

    return _row(settings, times, work)


def segment(folder: Path, settings: dict[str, Any], times: str) -> Row:
    from rsseg.pipeline.stages.segment import segment as labelled

    scene, targets = scene_of(folder, _size(settings, times)), (folder / "labels.tif", folder / "confidence.tif")
    model = recal_model(folder)
    return _row(
        settings,
        times,
        lambda: labelled(scene, model, targets[0], confidence=targets[1], stride=8, overwrite=True),
    )


def consensus(folder: Path, settings: dict[str, Any], times: str) -> Row:
    from rsseg.pipeline.stages.consensus import consensus as compared

    maps = [folder / times / f"{number}.tif" for number in (0, 1)]
    return _row(settings, times, lambda: compared(maps, folder / "out", overwrite=True))
