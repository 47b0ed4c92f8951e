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

import rasterio
from rasterio.shutil import copy

from rsseg.pipeline.stages.toa import toa
from rsseg.scene.raster import creation_options

VRT_BAND = """<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{path}</SourceFilename>
<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/>
<DstRect xOff="0" yOff="0" xSize="{width}" ySize="{height}"/></SimpleSource></VRTRasterBand>"""


def make_product(folder: Path, size: str) -> Path:
    """A simulated product, made in a process of its own: a child's peak memory starts at its parent's size."""
    product = folder / "product"
    making = [sys.executable, "-m", "rsseg", "simulate", "-q", "-o", str(product), "--size", size, "--seed", "2"]
    subprocess.run(making, check=True, stdout=subprocess.DEVNULL)
    return product


def make_vrt(product: Path, folder: Path) -> tuple[int, int]:
    """A VRT of the three band files; returns (height, width)."""
    with rasterio.open(product / "BAND2.tif") as band:
        height, width = band.shape
    bands = [
        VRT_BAND.format(band=i + 1, path=product / f"BAND{i + 2}.tif", width=width, height=height) for i in range(3)
    ]
    text = f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{"".join(bands)}</VRTDataset>'
    (folder / "bands.vrt").write_text(text)
    return height, width


def copy_numbers(product: Path, folder: Path, target: Path) -> None:
    """What a user could run instead: the same numbers, without calibration, by the same creation options."""
    with rasterio.Env(GDAL_CACHEMAX=256):
        copy(folder / "bands.vrt", target, driver="GTiff", **creation_options("deflate", 2, None, 512))


def convert(product: Path, folder: Path, target: Path) -> None:
    """What is measured."""
    toa(product, target)


def child(what: str, product: Path, folder: Path) -> None:
    """Run one of the two and print its time and peak memory."""
    target = folder / f"{what}.tif"
    target.unlink(missing_ok=True)
    start = time.perf_counter()
    {"copy": copy_numbers, "toa": convert}[what](product, folder, target)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak, "file_bytes": target.stat().st_size}))


def measure(what: str, product: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, "--product", str(product), "--folder", str(folder)]
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
    parser.add_argument("--product", type=Path, help="an existing LISS-IV product folder (default: a simulated one)")
    parser.add_argument("--folder", type=Path, help="where files go for the while (default: a temporary folder)")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.product, arguments.folder)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        product = (arguments.product or make_product(folder, arguments.size)).resolve()
        height, width = make_vrt(product, folder)
        runs: dict[str, list[dict[str, float]]] = {"copy": [], "toa": []}
        for repeat in range(arguments.repeats + 1):
            for what in runs:
                result = measure(what, product, folder)
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
