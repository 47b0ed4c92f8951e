"""``rsseg consensus`` of two maps against reading them, and against whole arrays; time and memory by size.

    python benchmarks/consensus.py [--size 16600x18000] [--clusters 10] [--repeats 3] [--maps A.tif B.tif] [--json OUT]

Each part runs in a process of its own, alternating, so that peak memory is its own; the median of the repeats counts,
without imports.
read      both maps in strips, as every command reads them: what no table of the two can be faster than.
table     the counting pass: the contingency of the two, their matching, the Jaccard table.
plain     what a user would write: both maps whole, ``numpy.bincount`` of ``a * 256 + b``.
consensus the whole command: tables, pictures, and the rasters of agreement, as COGs.

The maps are noisy fields, or ``--maps`` tiled to the size.
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

PARTS = ("read", "table", "plain", "consensus")
NOISE = 0.05
FIELD = 24
"""Side of a field of the made maps, in pixels."""


def make_maps(folder: Path, height: int, width: int, clusters: int, given: list[Path]) -> None:
    """Two maps ``0.tif`` and ``1.tif``, strip by strip, so that the benchmark itself stays small."""
    import numpy as np

    from rsseg.publish.labels import LabelMapWriter, default_classes
    from rsseg.scene.grid import Grid
    from rsseg.scene.raster import label_windows, read_labels

    grid = Grid(height, width)
    for number in (0, 1):
        base = read_labels(given[number])[0].astype(np.uint8) if given else _fields(number, clusters)
        classes = default_classes(max(clusters, int(base.max())))
        with LabelMapWriter(folder / f"{number}.tif", grid, classes, tags={}) as writer:
            for window in label_windows(grid):
                rows = (np.arange(window.height) + window.row) % base.shape[0]
                writer.write(base[np.ix_(rows, np.arange(width) % base.shape[1])], window)


def _fields(number: int, clusters: int):  # type: ignore[no-untyped-def]
    import numpy as np

    rng = np.random.default_rng(7)
    truth = np.kron(rng.integers(0, clusters, (80, 80)), np.ones((FIELD, FIELD), int))
    own = np.random.default_rng(number)
    values = own.permutation(clusters)[truth] + 1
    noisy = np.where(own.random(values.shape) < NOISE, own.integers(0, clusters + 1, values.shape), values)
    return noisy.astype(np.uint8)


def run_part(part: str, folder: Path) -> dict[str, float]:
    """Run one part here; returns seconds and peak resident memory in MiB."""
    work = {"read": _read, "table": _table, "plain": _plain, "consensus": _consensus}[part]
    paths = [folder / "0.tif", folder / "1.tif"]
    return {"seconds": work(paths, folder), "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _read(paths: list[Path], folder: Path) -> float:
    from rsseg.label.maps import LabelMap, strips

    began = time.perf_counter()
    with LabelMap(paths[0]) as first, LabelMap(paths[1]) as second:
        for _ in strips((first, second), first.grid):
            pass
    return time.perf_counter() - began


def _table(paths: list[Path], folder: Path) -> float:
    from rsseg.label.comparison import count
    from rsseg.label.consensus import compare
    from rsseg.label.maps import LabelMap

    began = time.perf_counter()
    with LabelMap(paths[0]) as first, LabelMap(paths[1]) as second:
        compare(count((first, second)).tables[0, 1], "0", "1")
    return time.perf_counter() - began


def _plain(paths: list[Path], folder: Path) -> float:
    import numpy as np
    import rasterio

    began = time.perf_counter()
    with rasterio.open(paths[0]) as first, rasterio.open(paths[1]) as second:
        a, b = first.read(1), second.read(1)
    np.bincount((a.astype(np.int64) * 256 + b).ravel(), minlength=65536)
    return time.perf_counter() - began


def _consensus(paths: list[Path], folder: Path) -> float:
    from rsseg.pipeline.stages.consensus import consensus

    began = time.perf_counter()
    consensus(paths, folder / "out", overwrite=True)
    return time.perf_counter() - began


def measure(parts: list[str], folder: Path, repeats: int) -> dict[str, dict[str, float]]:
    """The median seconds and the largest peak of each part."""
    found: dict[str, list[dict[str, float]]] = {part: [] for part in parts}
    for _ in range(repeats):
        for part in parts:
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            found[part].append(json.loads(output.stdout.splitlines()[-1]))
    return {
        part: {
            "seconds": statistics.median(row["seconds"] for row in rows),
            "peak_mib": max(row["peak_mib"] for row in rows),
        }
        for part, rows in found.items()
    }


def main() -> None:
    """Make the maps, measure every part, print a line for each and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="4096x4096", help="height x width")
    parser.add_argument("--clusters", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--maps", nargs=2, type=Path, default=[], help="two label maps of one size, tiled to the size")
    parser.add_argument("--json", type=Path)
    for name in ("--part", "--folder"):
        parser.add_argument(name, type=str if name == "--part" else Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    height, width = (int(word) for word in arguments.size.split("x"))
    if arguments.part == "make":
        make_maps(arguments.folder, height, width, arguments.clusters, arguments.maps)
        return
    if arguments.part:
        print(json.dumps(run_part(arguments.part, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        # in a process of its own: a child's peak memory starts at its parent's size, so the parent stays small
        making = [sys.executable, __file__, "--part", "make", "--folder", name, "--size", arguments.size]
        making += ["--clusters", str(arguments.clusters)]
        subprocess.run(making + (["--maps", *map(str, arguments.maps)] if arguments.maps else []), check=True)
        result = measure(arguments.parts, Path(name), arguments.repeats)
    for part, row in result.items():
        print(f"{part:>9}  {row['seconds']:8.2f} s  {row['peak_mib']:8.0f} MiB")
    seconds = {part: row["seconds"] for part, row in result.items()}
    ratios = {f"table / {part}": seconds["table"] / seconds[part] for part in ("read", "plain") if part in seconds}
    print("  ".join(f"{what}: {ratio:.2f}" for what, ratio in ratios.items()))
    if arguments.json:
        report = {"size": arguments.size, "clusters": arguments.clusters, "parts": result, "ratios": ratios}
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
