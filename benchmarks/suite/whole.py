"""A product to a published map in one command, against the sum of its bare limits, and against a script.

ours     ``rsseg run`` of a pipeline of one RECAL model (8 px patches, random start) on a simulated LISS-IV product:
         reflectance, training, labels and confidence as COGs with attribute table and style. A process of its own; its
         seconds include starting it, its peak is that of all processes together, sampled. ``stages`` are from run.json.
limit    one after another, in one process: GDAL copies the digital numbers to a GeoTIFF; the bare network takes as many
         training steps on one resident batch, and labels as many patches; constant maps are written as COGs.
instead  a script without rsseg's reading, gathering and stitching (``whole_script``): whole bands in memory, numpy,
         torch's DataLoader with two workers, the same network, loss and optimiser, as many patches and epochs,
         rasterio; its imports are in its seconds. It has no confidence, no attribute table, and could not go on after
         it was killed.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from suite import toa
from suite.lines import Aim, Line, Row
from suite.scenes import product, timed
from suite.tree import TreePeak

CLASSES, BATCH = 6, 256
LINES = (
    Line(
        "whole",
        "product to published map (ToA, RECAL, labels)",
        __name__,
        {
            "ours": "rsseg run, one command",
            "limit": "GDAL's copy, the bare network in training and labelling, and constant maps written, in sum",
            "instead": "a script: whole arrays, DataLoader of 2 workers, the same network and training, rasterio",
        },
        settings={"size": [1500, 1600], "stride": 8, "train_stride": 16, "epochs": 1, "memory": "2G"},
        full={"size": [16600, 18000], "train_stride": 32},
        aims=[Aim("peak_mib", 2048)],
    ),
)

PIPELINE = """
description: the whole way of one model
models:
  recal: {{method: recal, classes: {classes}, patch: 8, stride: {train_stride}, epochs: {epochs}, batch: {batch},
    weights: random}}
segment: {{confidence: true, stride: {stride}}}
consensus: false
pictures: false
"""


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The product, a VRT of its bands, and the pipeline."""
    toa.prepare(folder, settings)
    (folder / "whole.yaml").write_text(PIPELINE.format(**settings, classes=CLASSES, batch=BATCH))


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    out = folder / f"run-{time.time_ns()}"
    words = ["run", folder / "whole.yaml", product(folder, settings["size"]), "-o", out, "-q"]
    command = [sys.executable, "-m", "rsseg", *map(str, words), "--memory", settings["memory"], "--device", "cpu"]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process, TreePeak(process.pid) as memory:
        failed = process.wait()
    seconds = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"rsseg run ended with {failed}")
    stages = {row["stage"].split()[0]: row["seconds"] for row in json.loads((out / "run.json").read_text())["stages"]}
    _keep(folder, out)
    return {"seconds": seconds, "peak_mib": memory.peak_mib, "stages": stages}


def _keep(folder: Path, out: Path) -> None:
    """The last run's folder under one name; each run starts from nothing."""
    import shutil

    shutil.rmtree(folder / "run", ignore_errors=True)
    out.rename(folder / "run")


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    steps = {"copy": toa.limit(folder, {**settings, "cog": False})["seconds"], **_network(folder, settings)}
    steps["write"] = timed(_constant_maps, folder, settings)
    return {"seconds": sum(steps.values()), "steps": steps}


def _network(folder: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Seconds of as many updates, and of as many labelled patches, as the run had."""
    import torch

    from rsseg.learn.methods import build, settings_of
    from rsseg.learn.model import load_model
    from rsseg.learn.networks.fuse import fused

    patches = load_model(folder / "run" / "models" / "recal.safetensors").provenance["patches"]
    labelled = _labelled(next((folder / "run").glob("*/toa.tif")), settings["stride"])
    method = build("recal", settings_of("recal", classes=CLASSES, batch=BATCH), 3)
    batch = torch.randn(BATCH, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    resident: Any = Resident(batch)
    phase, indices = method.phases[0], torch.arange(BATCH)
    updates = settings["epochs"] * -(-patches // BATCH)
    training, labelling = 0.0, 0.0
    for number in range(updates + 1):  # the first one warms up
        began = time.perf_counter()
        phase.optimiser.zero_grad(set_to_none=True)
        phase.step(resident, indices)
        phase.optimiser.step()
        training += (time.perf_counter() - began) * (number > 0)
    network: Any = fused(method.network).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for number in range(-(-labelled // BATCH) + 1):
            began = time.perf_counter()
            network.predict(batch)
            labelling += (time.perf_counter() - began) * (number > 0)
    return {"training": training, "labelling": labelling}


class Resident:
    """Samples that are always the same batch."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def gather(self, indices: Any, *more: Any) -> Any:
        return self.batch


def _labelled(scene: Path, stride: int) -> int:
    """How many patches of a scene have a valid pixel."""
    from rsseg.learn.inputs import patch_rows
    from rsseg.pipeline.inputs import open_scenes, reading
    from rsseg.scene.grid import PatchGrid

    with reading(open_scenes([scene])) as (source,):
        grid = PatchGrid.of(source.source.shape[1:], 8, stride)
        return sum(int((row.count > 0).sum()) for row in patch_rows(source.source, grid))


def _constant_maps(folder: Path, settings: dict[str, Any]) -> None:
    """A label map and its confidence, as the run writes them, of noise in place of labels."""
    import numpy as np

    from rsseg.publish.labels import ConfidenceWriter, LabelMapWriter, default_classes
    from rsseg.scene.grid import Grid
    from rsseg.scene.raster import label_windows

    grid = Grid(*settings["size"])
    labels = LabelMapWriter(folder / "f.tif", grid, default_classes(CLASSES), tags={}, overwrite=True)
    confidence = ConfidenceWriter(folder / "fc.tif", grid, tags={}, overwrite=True)
    rng = np.random.default_rng(0)
    with labels, confidence:
        for window in label_windows(grid):
            coarse = rng.integers(1, CLASSES + 1, (-(-window.height // 8), -(-window.width // 8)), dtype=np.uint8)
            values = coarse.repeat(8, axis=0).repeat(8, axis=1)[: window.height, : window.width]
            labels.write(values, window)
            confidence.write(values * 40, window)


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    with TreePeak(shared=False) as memory:
        began = time.perf_counter()
        from suite.whole_script import script  # the command's imports are in its time, too

        script(product(folder, settings["size"]), folder / "script.tif", settings, CLASSES, BATCH)
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak_mib": memory.peak_mib}
