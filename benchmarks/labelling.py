"""``rsseg segment`` against the bare network on the same patches, and against reading plus writing, for every method.

    python benchmarks/labelling.py [--size 4096x4096] [--cases recal:8 ddc:8:2 context ...] [--repeats 3] [--json OUT]

A case is METHOD[:PATCH[:STRIDE]]; its network has random weights (``label_models``), which cost what trained ones do.
Each part runs in a process of its own, alternating, so that peak memory is its own; the median of the repeats counts.
bare      the model's network as trained (evaluation mode, inference mode) on one resident batch, as often as the scene
          has batches with a valid pixel: what no labelling can be faster than without changing the network. ``fused``
          is the same with batch norm joined to the convolutions, which is what segment runs.
files     reading the scene in strips and writing a constant label map and confidence of its size as COGs.
loop      what a user would write: a window a patch, patches by a DataLoader, votes added in an array of (classes,
          height, width), argmax, written by rasterio. Only at sizes where that array fits.
``ratio`` is segment over the larger of bare and files; ``of_work`` is segment over bare and the processor time of files
on all cores: on a CPU both want the same cores, so that segment cannot take less than their work together.
bf16 and approximate are segment with the option of that name.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

PARTS = ("bare", "fused", "files", "segment", "bf16", "approximate", "loop")
CASES = ("recal:8", "recal:16", "recal:32", "iic:8", "iic:16", "iic:32", "ddc:8", "ddc:16", "ddc:32", "ddc:8:2")
CASES += ("gan-imsat:8", "gan-imsat:16", "gan-imsat:32", "kmeans:1", "kmeans:8", "iic-dense", "wce", "context")


def make_scene(folder: Path, size: str) -> None:
    """A simulated scene as reflectance; in a process of its own, since a child's peak memory starts at its parent's."""
    from rsseg.errors import RssegWarning
    from rsseg.pipeline.stages.simulate import simulate
    from rsseg.pipeline.stages.toa import toa
    from rsseg.scene.simulate.product import Product

    warnings.simplefilter("ignore", RssegWarning)
    height, width = (int(word) for word in size.split("x"))
    simulate(folder / "product", Product((height, width)))
    toa(folder / "product", folder / "scene.tif")


def make_model(folder: Path, case: str) -> None:
    """A model of a case with random weights."""
    from label_models import save_random

    method, *sizes = case.split(":")
    patch, stride = ([int(word) for word in sizes] + [None, None])[:2]
    save_random(method, folder / "scene.tif", folder / "model.safetensors", patch, stride or patch)


class Clock:
    """Seconds since it was made: by the wall, and of all threads together."""

    def __init__(self) -> None:
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def row(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self.wall, "processor": time.process_time() - self.processor}


def run_part(part: str, folder: Path) -> dict[str, float]:
    """Run one part here; returns seconds, seconds of all its threads together, and peak resident memory in MiB."""
    scene, model = folder / "scene.tif", folder / "model.safetensors"
    if part == "files":
        row = _files(scene, folder)
    elif part in ("bare", "fused"):
        row = _network(part, scene, model)
    elif part == "loop":
        row = _loop(scene, model, folder)
    else:
        options = {"bf16": {"precision": "bf16"}, "approximate": {"approximate": True}}.get(part, {})
        row = _segment(scene, model, folder, options)
    return {**row, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _network(part: str, scene: Path, model: Path) -> dict[str, float]:
    import torch

    from rsseg.learn.model import load_model
    from rsseg.learn.networks.fuse import fused

    loaded = load_model(model)
    size, inputs = loaded.inference.patch, loaded.inference.inputs
    count, at_a_time = _samples(loaded, scene)
    network = fused(loaded.network) if part == "fused" else loaded.network.eval()
    network = network.to(memory_format=torch.channels_last)
    batch = torch.randn(at_a_time, inputs, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network.predict(batch)
        clock = Clock()
        for _ in range(-(-count // at_a_time)):
            network.predict(batch)
    return clock.row()


def _samples(model: Any, scene: Path) -> tuple[int, int]:
    """How many patches or tiles of a scene have a valid pixel, and how many segment puts in a batch."""
    from rsseg.label.layout import Layout
    from rsseg.label.reading import BlockReader
    from rsseg.label.segment import Labeller
    from rsseg.label.tiles import TileLabeller
    from rsseg.learn.networks.build import is_dense
    from rsseg.pipeline.inputs import open_scenes, reading

    with reading(open_scenes([scene])) as (source,):
        if is_dense(model.network):
            tiles = TileLabeller(model, source)
            seen, layout = tiles.scene, Layout(tiles.grid, tiles.window, "pixel", 1)
        else:
            patches = Labeller(model, source)
            seen, layout = patches.scene, patches.layout
        blocks = BlockReader(layout, seen, model.inference.normalisation).blocks()
        return sum(len(block.numbers) for block in blocks), layout.batch


def _files(scene: Path, folder: Path) -> dict[str, float]:
    import numpy as np

    from rsseg.publish.labels import ConfidenceWriter, LabelMapWriter, default_classes
    from rsseg.scene.raster import label_windows
    from rsseg.scene.sensors import open_scene

    clock = Clock()
    opened = open_scene(scene)
    labels = LabelMapWriter(folder / "f.tif", opened.grid, default_classes(10), tags={}, overwrite=True)
    confidence = ConfidenceWriter(folder / "fc.tif", opened.grid, tags={}, overwrite=True)
    with opened.open() as reader, labels, confidence:
        for window in label_windows(opened.grid):
            values, _ = reader.read(window)
            coded = (values[0] >> 9).clip(0, 10).astype(np.uint8)
            labels.write(coded, window)
            confidence.write(coded, window)
    return clock.row()


def _segment(scene: Path, model: Path, folder: Path, options: dict[str, Any]) -> dict[str, float]:
    from rsseg.pipeline.stages.segment import segment

    clock = Clock()
    segment(scene, model, folder / "s.tif", confidence=folder / "sc.tif", overwrite=True, **options)
    return clock.row()


def _loop(scene: Path, model: Path, folder: Path) -> dict[str, float]:
    import numpy as np
    import rasterio
    import torch
    from rasterio.windows import Window
    from torch.utils.data import DataLoader, Dataset

    from rsseg.label.blending import default_stride
    from rsseg.learn.model import load_model
    from rsseg.learn.networks.build import is_dense

    loaded = load_model(model)
    network, size, dense = loaded.network.eval(), loaded.inference.patch, is_dense(loaded.network)
    stride, at_a_time = (default_stride(size), 1) if dense else (loaded.inference.stride, 512)
    centre, spread = np.array(loaded.inference.normalisation.centre), np.array(loaded.inference.normalisation.spread)
    with rasterio.open(scene) as source:
        height, width, profile = source.height, source.width, source.profile
    places = [(r, c) for r in range(0, height - size + 1, stride) for c in range(0, width - size + 1, stride)]

    class Windows(Dataset):
        source = None

        def __len__(self) -> int:
            return len(places)

        def __getitem__(self, index: int) -> tuple:
            self.source = self.source or rasterio.open(scene)
            row, col = places[index]
            values = self.source.read(window=Window(col, row, size, size)).astype("f4") * 1e-4 - 0.1
            return row, col, ((values - centre[:, None, None]) / spread[:, None, None]).astype("f4")

    clock = Clock()
    votes = np.zeros((loaded.inference.classes, height, width), "f4")
    with torch.inference_mode():
        for rows, cols, batch in DataLoader(Windows(), batch_size=at_a_time, num_workers=2):
            found = network.predict(batch) if dense else network.predict(batch)[0][:, :, None, None]
            for row, col, p in zip(rows, cols, found.numpy(), strict=True):
                votes[:, row : row + size, col : col + size] += p
    labels = votes.argmax(axis=0).astype("u1") + 1
    profile.update(count=1, dtype="uint8", nodata=0, predictor=1)
    with rasterio.open(folder / "l.tif", "w", **profile) as target:
        target.write(labels, 1)
    return clock.row()


def call(folder: Path, part: str, *words: str) -> str:
    """Run a part in a process of its own; its last line of output."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), *words]
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return (output.stdout.splitlines() or [""])[-1]


def measure(case: str, parts: list[str], folder: Path, repeats: int) -> dict[str, Any]:
    """Medians of seconds and peak memory of each part of a case, and segment over its bound."""
    call(folder, "model", "--cases", case)
    usable = [part for part in parts if _usable(part, case)]
    rows = [{part: json.loads(call(folder, part)) for part in usable} for _ in range(repeats)]
    found: dict[str, Any] = {
        part: {key: statistics.median(row[part][key] for row in rows) for key in ("seconds", "processor", "peak_mib")}
        for part in usable
    }
    if {"bare", "files", "segment"} <= set(usable):
        bound = max(found["bare"]["seconds"], found["files"]["seconds"])
        found["ratio"] = found["segment"]["seconds"] / bound
        beside = found["files"]["processor"] / len(os.sched_getaffinity(0))
        found["of_work"] = found["segment"]["seconds"] / (found["bare"]["seconds"] + beside)
    return found


def _usable(part: str, case: str) -> bool:
    """The loop knows bands, not channels; leaving patches out needs patches that overlap by half."""
    method, *sizes = case.split(":")
    overlap = len(sizes) == 2 and 2 * int(sizes[1]) <= int(sizes[0])
    return {"loop": method != "context", "approximate": overlap}.get(part, True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4096x4096")
    parser.add_argument("--cases", nargs="*", default=["recal:8"], help=f"or all of: {' '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="*", default=["bare", "fused", "files", "segment"], choices=PARTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "scene":
        make_scene(arguments.folder, arguments.size)
    elif arguments.part == "model":
        make_model(arguments.folder, arguments.cases[0])
    elif arguments.part:
        print(json.dumps(run_part(arguments.part, arguments.folder)))
    else:
        _all_cases(arguments)


def _all_cases(arguments: argparse.Namespace) -> None:
    cases = CASES if arguments.cases == ["all"] else arguments.cases
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        call(Path(name), "scene", "--size", arguments.size)
        for case in cases:
            result[case] = measure(case, arguments.parts, Path(name), arguments.repeats)
            words = [
                f"{part} {row:.2f}" if isinstance(row, float) else f"{part} {row['seconds']:.1f} s"
                for part, row in result[case].items()
            ]
            print(f"{case:>14}  " + ", ".join(words), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"size": arguments.size, "cases": result}, indent=1))


if __name__ == "__main__":
    main()
