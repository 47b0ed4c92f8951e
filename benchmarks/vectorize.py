"""Time and memory of ``rsseg vectorize`` against what a user would write: sieve, shapes, a GeoPackage by geopandas.

Both run in processes of their own, alternating, after a warm-up of each; the median counts. The map is a label raster
laid side by side, mirrored, until it has the wanted size; without ``--map`` it is smooth noise of six classes.
The plain way reads the whole map, drops small regions into their largest neighbour, and has neither areas nor style.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.features import shapes, sieve
from scipy.ndimage import gaussian_filter

from rsseg.label.maps import LabelMap
from rsseg.pipeline.stages.vectorize import VectorizeSettings, vectorize
from rsseg.publish.labels import LabelMapWriter, default_classes
from rsseg.scene.grid import Grid
from rsseg.scene.raster import label_windows

MINIMUM = 9
PIECE = 2048


def pattern(source: Path | None) -> np.ndarray:
    """The labels (h, w) uint8 that the map is made of."""
    if source is not None:
        with LabelMap(source) as opened:
            return opened.read(opened.grid.window)
    noise = np.random.default_rng(0).normal(size=(6, PIECE, PIECE)).astype(np.float32)
    return np.argmax([gaussian_filter(layer, 4) for layer in noise], axis=0).astype(np.uint8) + 1


def make_map(path: Path, height: int, width: int, labels: np.ndarray) -> None:
    """Lay the pattern side by side, every other one mirrored, so that nothing ends where it is repeated."""
    grid = Grid(height, width, (5.0, 0.0, 600000.0, 0.0, -5.0, 2500000.0), CRS.from_epsg(32645).to_wkt())
    mirrored = np.concatenate([labels, labels[:, ::-1]], axis=1)
    columns = np.arange(width) % mirrored.shape[1]
    with LabelMapWriter(path, grid, default_classes(int(labels.max())), tags={}) as writer:
        for window in label_windows(grid):
            rows = np.arange(window.row, window.row + window.height) % (2 * len(labels))
            rows = np.where(rows < len(labels), rows, 2 * len(labels) - 1 - rows)
            writer.write(mirrored[rows][:, columns], window)


def ours(source: Path, target: Path) -> int:
    return vectorize(source, target, VectorizeSettings(mmu_pixels=MINIMUM)).count


def simplified(source: Path, target: Path) -> int:
    return vectorize(source, target, VectorizeSettings(mmu_pixels=MINIMUM, simplify_pixels=1.0)).count


def plain(source: Path, target: Path) -> int:
    with rasterio.open(source) as dataset:
        labels, crs, transform = dataset.read(1), dataset.crs, dataset.transform
    labels = sieve(labels, MINIMUM)
    found = shapes(labels, mask=labels > 0, transform=transform)
    features = ({"geometry": geometry, "properties": {"value": int(value)}} for geometry, value in found)
    frame = geopandas.GeoDataFrame.from_features(features, crs=crs)
    frame.to_file(target, driver="GPKG")
    return len(frame)


WAYS = {"plain": plain, "ours": ours, "simplified": simplified}


def child(way: str, source: Path, folder: Path) -> None:
    """Run one way and print its time and peak memory, which begins at the parent's size: that one stays small."""
    target = folder / f"{way}.gpkg"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    count = WAYS[way](source, target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "polygons": count, "bytes": target.stat().st_size}))


def measure(way: str, source: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", way, "--map", str(source), "--folder", str(folder)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(answer)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="4096x4096", help="HEIGHTxWIDTH (default 4096x4096)")
    parser.add_argument("--map", type=Path, help="a label raster to lay side by side")
    parser.add_argument("--ways", default="plain,ours,simplified")
    parser.add_argument("--repeats", type=int, default=3, help="0: one run of each, without a warm-up")
    parser.add_argument("--folder", type=Path, help="where files go for the while (default: a temporary folder)")
    parser.add_argument("--child", choices=(*WAYS, "make"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    height, width = (int(word) for word in arguments.size.split("x"))
    if arguments.child == "make":
        make_map(arguments.folder / "map.tif", height, width, pattern(arguments.map))
        return
    if arguments.child:
        child(arguments.child, arguments.map, arguments.folder)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        given = ["--map", str(arguments.map)] if arguments.map else []
        making = [sys.executable, __file__, "--child", "make", "--folder", name, "--size", arguments.size, *given]
        subprocess.run(making, check=True)
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in arguments.ways.split(",")}
        for repeat in range(arguments.repeats + 1):
            for way in runs:
                result = measure(way, folder / "map.tif", folder)
                if repeat > 0 or arguments.repeats == 0:
                    runs[way].append(result)
    report(runs, height, width)


def report(runs: dict[str, list[dict[str, float]]], height: int, width: int) -> None:
    seconds = {way: statistics.median(run["seconds"] for run in items) for way, items in runs.items()}
    for way, items in runs.items():
        peak = max(run["peak"] for run in items) / 2**20
        ratio = f", {seconds[way] / seconds['plain']:.2f} of plain" if "plain" in runs else ""
        last = items[-1]
        print(
            f"{height} x {width}, {way}: {seconds[way]:.1f} s{ratio}, {peak:.0f} MiB, "
            f"{last['polygons']} polygons, {last['bytes'] / 2**20:.0f} MiB written"
        )


if __name__ == "__main__":
    main()
