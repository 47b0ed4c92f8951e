"""Time of ``rsseg toa`` against copying the same digital numbers with GDAL, compressed alike.

Both run in processes of their own, alternating, after a warm-up of each; the median counts. The copy reads a VRT of the
three band files and writes a GeoTIFF with the creation options of ``rsseg toa`` and a cache of 256 MB.
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

import numpy as np
import rasterio
from rasterio.shutil import copy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from products import LISS4_META_PLAIN, LISS4_TRANSFORM, UTM50  # noqa: E402

from rsseg.pipeline.stages.toa import toa  # noqa: E402
from rsseg.scene.raster import creation_options  # noqa: E402

VRT_BAND = """<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{path}</SourceFilename>
<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>
<DstRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/></SimpleSource></VRTRasterBand>"""


def make_product(folder: Path, height: int, width: int) -> None:
    """A product with texture at several scales, noise of about 1 DN, and a corner of fill."""
    (folder / "BAND_META.txt").write_text(LISS4_META_PLAIN)
    profile = {"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint16", "blockysize": 1}
    for number in (2, 3, 4):
        random = np.random.default_rng(number)
        coarse = random.normal(0, 60, (height // 64 + 2, width // 64 + 2))
        fine = random.normal(0, 15, (height // 8 + 8, width // 8 + 8))
        with rasterio.open(folder / f"BAND{number}.tif", "w", crs=UTM50, transform=LISS4_TRANSFORM, **profile) as file:
            for row in range(0, height, 256):
                rows, cols = np.arange(row, min(row + 256, height)), np.arange(width)
                level = 300 + coarse[rows // 64][:, cols // 64] + fine[rows // 8][:, cols // 8]
                numbers = np.clip(level + random.normal(0, 1, level.shape), 1, 1023).astype(np.uint16)
                # a rotated scene: about a fifth of the raster is fill
                numbers[cols[None, :] < 0.2 * width * (1 - rows[:, None] / height)] = 0
                numbers[cols[None, :] > width * (1 - 0.2 * rows[:, None] / height)] = 0
                file.write(numbers, 1, window=((row, row + len(rows)), (0, width)))
    bands = [
        VRT_BAND.format(band=i + 1, path=folder / f"BAND{i + 2}.tif", width=width, height=height) for i in range(3)
    ]
    text = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{"".join(bands)}</VRTDataset>'
    (folder / "bands.vrt").write_text(text)


def copy_numbers(folder: Path, target: Path) -> None:
    """What a user could run instead: the same numbers, without calibration, by the same creation options."""
    with rasterio.Env(GDAL_CACHEMAX=256):
        copy(folder / "bands.vrt", target, driver="GTiff", **creation_options("deflate", 2, None, 512))


def convert(folder: Path, target: Path) -> None:
    """What is measured."""
    toa(folder, target)


def child(what: str, folder: Path) -> None:
    """Run one of the two and print its time and peak memory."""
    target = folder / f"{what}.tif"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    {"copy": copy_numbers, "toa": convert}[what](folder, target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "file_bytes": target.stat().st_size}))


def measure(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, "--folder", str(folder)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", default="4000x4500", help="HEIGHTxWIDTH (default 4000x4500; a full scene: 16600x18000)"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the result here, too")
    parser.add_argument("--child", choices=("copy", "toa"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where the product goes (default: a temporary folder)")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.folder)
        return
    height, width = (int(number) for number in arguments.size.split("x"))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        make_product(folder, height, width)
        runs: dict[str, list[dict[str, float]]] = {"copy": [], "toa": []}
        for repeat in range(arguments.repeats + 1):
            for what in runs:
                result = measure(what, folder)
                if repeat > 0:
                    runs[what].append(result)
    report(runs, height, width, arguments.json)


def report(runs: dict[str, list[dict[str, float]]], height: int, width: int, target: Path | None) -> None:
    seconds = {what: statistics.median(run["seconds"] for run in items) for what, items in runs.items()}
    peak = {what: max(run["peak_bytes"] for run in items) for what, items in runs.items()}
    size = {what: items[0]["file_bytes"] for what, items in runs.items()}
    ratio = seconds["toa"] / seconds["copy"]
    print(f"{height} x {width} x 3: toa {seconds['toa']:.2f} s, copy {seconds['copy']:.2f} s, ratio {ratio:.3f}")
    print(f"peak resident: toa {peak['toa'] / 2**20:.0f} MiB, copy {peak['copy'] / 2**20:.0f} MiB")
    print(f"written: toa {size['toa'] / 2**20:.1f} MiB, copy {size['copy'] / 2**20:.1f} MiB")
    if target is not None:
        result = {"height": height, "width": width, "ratio": ratio, "seconds": seconds, "peak_bytes": peak}
        target.write_text(json.dumps(result | {"file_bytes": size}, indent=2) + "\n")


if __name__ == "__main__":
    main()
