"""``rsseg segment`` against the bare network on the same patches, and against reading plus writing; memory by height.

    python benchmarks/labelling.py [--size 4096x4096] [--stride 8] [--repeats 3] [--json OUT]

Each part runs in a process of its own, alternating, so that peak memory is its own; the median of the repeats counts.
bare      the model's network as trained (evaluation mode, inference mode) on one resident batch, as often as the scene
          has batches: what no labelling can be faster than without changing the network. ``fused`` is the same with
          batch norm joined to the convolutions, which is what segment runs.
files     reading the scene in strips and writing a constant label map and confidence of its size as COGs.
loop      what a user would write: a window a patch row, patches by a DataLoader, votes added in an array of
          (classes, height, width), argmax, written by rasterio. Only at sizes where that array fits.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

PARTS = ("bare", "fused", "files", "segment", "loop")


def make_inputs(folder: Path, height: int, width: int) -> None:
    """A simulated scene as reflectance, and a RECAL model of a small one.

    In a process of its own: a child's peak memory starts at its parent's size, so the parent stays small.
    """
    from rsseg.errors import RssegWarning
    from rsseg.learn.methods import settings_of
    from rsseg.pipeline.stages.simulate import simulate
    from rsseg.pipeline.stages.toa import toa
    from rsseg.pipeline.stages.train import train
    from rsseg.scene.simulate.product import Product

    warnings.simplefilter("ignore", RssegWarning)
    scene, small, model = folder / "scene.tif", folder / "small.tif", folder / "model.safetensors"
    for target, size in ((scene, (height, width)), (small, (440, 480))):
        product = folder / f"product_{target.stem}"
        simulate(product, Product(size))
        toa(product, target)
    train([small], model, settings_of("recal", classes=10, epochs=1, learning_rate=1e-2))


def run_part(part: str, scene: Path, model: Path, stride: int, folder: Path) -> dict[str, float]:
    """Run one part here; returns seconds and peak resident memory in MiB."""
    seconds = {"bare": _network, "fused": _network, "files": _files, "segment": _segment, "loop": _loop}[part](
        part, scene, model, stride, folder
    )
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _network(part: str, scene: Path, model: Path, stride: int, folder: Path) -> float:
    import torch

    from rsseg.label.reading import BlockReader
    from rsseg.label.segment import Labeller
    from rsseg.learn.model import load_model
    from rsseg.learn.networks.fuse import fused
    from rsseg.pipeline.inputs import open_scenes, reading

    loaded = load_model(model)
    with reading(open_scenes([scene])) as (source,):
        labeller = Labeller(loaded, source, stride=stride)
        reader = BlockReader(labeller.layout, source, loaded.inference.normalisation, labeller.device)
        patches = sum(len(block.numbers) for block in reader.blocks())
    network = fused(loaded.network) if part == "fused" else loaded.network.eval()
    network = network.to(memory_format=torch.channels_last)
    size = loaded.inference.patch
    batch = torch.randn(labeller.layout.batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        network.predict(batch)
        began = time.perf_counter()
        for _ in range(-(-patches // labeller.layout.batch)):
            network.predict(batch)
    return time.perf_counter() - began


def _files(part: str, scene: Path, model: Path, stride: int, folder: Path) -> float:
    import numpy as np

    from rsseg.publish.labels import ConfidenceWriter, LabelMapWriter, default_classes
    from rsseg.scene.raster import label_windows
    from rsseg.scene.sensors import open_scene

    began = time.perf_counter()
    opened = open_scene(scene)
    labels = LabelMapWriter(folder / "f.tif", opened.grid, default_classes(10), tags={}, overwrite=True)
    confidence = ConfidenceWriter(folder / "fc.tif", opened.grid, tags={}, overwrite=True)
    with opened.open() as reader, labels, confidence:
        for window in label_windows(opened.grid):
            values, _ = reader.read(window)
            coded = (values[0] >> 9).clip(0, 10).astype(np.uint8)
            labels.write(coded, window)
            confidence.write(coded, window)
    return time.perf_counter() - began


def _segment(part: str, scene: Path, model: Path, stride: int, folder: Path) -> float:
    from rsseg.pipeline.stages.segment import segment

    began = time.perf_counter()
    segment(scene, model, folder / "s.tif", confidence=folder / "sc.tif", stride=stride, overwrite=True)
    return time.perf_counter() - began


def _loop(part: str, scene: Path, model: Path, stride: int, folder: Path) -> float:
    import numpy as np
    import rasterio
    import torch
    from rasterio.windows import Window
    from torch.utils.data import DataLoader, Dataset

    from rsseg.learn.model import load_model

    loaded = load_model(model)
    network, size = loaded.network.eval(), loaded.inference.patch
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

    began = time.perf_counter()
    votes = np.zeros((loaded.inference.classes, height, width), "f4")
    with torch.inference_mode():
        for rows, cols, batch in DataLoader(Windows(), batch_size=512, num_workers=2):
            for row, col, p in zip(rows, cols, network.predict(batch)[0].numpy(), strict=True):
                votes[:, row : row + size, col : col + size] += p[:, None, None]
    labels = votes.argmax(axis=0).astype("u1") + 1
    profile.update(count=1, dtype="uint8", nodata=0, predictor=1)
    with rasterio.open(folder / "l.tif", "w", **profile) as target:
        target.write(labels, 1)
    return time.perf_counter() - began


def measure(parts: list[str], scene: Path, model: Path, stride: int, folder: Path, repeats: int) -> dict:
    found: dict[str, list[dict[str, float]]] = {part: [] for part in parts}
    for _ in range(repeats):
        for part in parts:
            command = [sys.executable, __file__, "--part", part, "--scene", scene, "--model", model]
            command += ["--stride", str(stride), "--folder", folder]
            output = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
            found[part].append(json.loads(output.stdout.splitlines()[-1]))
    return {
        part: {key: statistics.median(row[key] for row in rows) for key in ("seconds", "peak_mib")}
        for part, rows in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4096x4096")
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="*", default=["bare", "fused", "files", "segment"], choices=PARTS)
    parser.add_argument("--json", type=Path)
    for name in ("--part", "--scene", "--model", "--folder"):
        parser.add_argument(name, type=str if name == "--part" else Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "make":
        make_inputs(arguments.folder, *(int(word) for word in arguments.size.split("x")))
        return
    if arguments.part:
        row = run_part(arguments.part, arguments.scene, arguments.model, arguments.stride, arguments.folder)
        print(json.dumps(row))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene, model = folder / "scene.tif", folder / "model.safetensors"
        making = [sys.executable, __file__, "--part", "make", "--folder", name, "--size", arguments.size]
        subprocess.run(making, check=True)
        result = measure(arguments.parts, scene, model, arguments.stride, folder, arguments.repeats)
    bound = max(result["bare"]["seconds"], result["files"]["seconds"])
    result["ratio"] = result["segment"]["seconds"] / bound
    for part, row in result.items():
        print(f"{part:>8}", row if isinstance(row, float) else {k: round(v, 2) for k, v in row.items()})
    if arguments.json:
        arguments.json.write_text(json.dumps({"size": arguments.size, "stride": arguments.stride, **result}, indent=1))


if __name__ == "__main__":
    main()
