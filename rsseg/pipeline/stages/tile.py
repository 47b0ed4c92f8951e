"""``rsseg tile``: the patches of a scene as a catalogue with statistics, and as chips on request."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsseg.errors import UsageError
from rsseg.files import check_outputs, replacing, write_text
from rsseg.learn.inputs import VALID_SHARE, PatchRow, SceneInput, patch_rows
from rsseg.pipeline.aoi import aoi_files
from rsseg.pipeline.folders import result_folder
from rsseg.pipeline.inputs import reading
from rsseg.progress import SILENT, Reporter
from rsseg.publish.catalogue import CatalogueWriter
from rsseg.scene.grid import PatchGrid, Window
from rsseg.scene.raster import RasterWriter
from rsseg.scene.sensors import open_scene
from rsseg.scene.source import Scene

CHIPS = "chips.json"
"""What tells a folder of chips from any other, which is never replaced."""


@dataclass(frozen=True)
class TileResult:
    """What was tiled: ``training`` counts the patches that are at least 99 % valid."""

    catalogue: str
    patch: int
    stride: int
    patches: int
    training: int
    chips: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def tile(
    scene: Path,
    output: Path,
    *,
    patch: int = 8,
    stride: int = 8,
    export: Path | None = None,
    bands: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    aoi: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> TileResult:
    """Write the patch catalogue of a scene; ``export`` is a folder for the training patches as small GeoTIFFs.

    The scene is streamed once (twice with ``export``); memory grows with its width. Raises: any RssegError.
    """
    if output.suffix != ".parquet":
        raise UsageError(f"the catalogue is a GeoParquet file; write it to {output.with_suffix('.parquet')}")
    check_outputs([output], [scene, *aoi_files(aoi)], overwrite)
    opened = open_scene(scene, bands=bands, scale=scale, aoi=aoi)
    grid = PatchGrid.of(opened.grid.shape, patch, stride)
    with reading([opened]) as (source,), ExitStack() as stack:
        chips = stack.enter_context(result_folder(export, CHIPS, [scene], overwrite)) if export else None
        part = stack.enter_context(replacing(output, overwrite))
        chosen = _catalogue(opened, source, grid, part, reporter)
        if chips:
            _export(opened, source, grid, chosen, chips, reporter)
            write_text(chips / CHIPS, json.dumps({"scene": opened.name, "patch": patch, "stride": stride}) + "\n")
    count = sum(len(cols) for _, cols in chosen)
    return TileResult(str(output), patch, stride, len(grid), count, str(export) if export else None)


def _catalogue(
    scene: Scene, source: SceneInput, grid: PatchGrid, path: Path, reporter: Reporter
) -> list[tuple[int, np.ndarray]]:
    """Write the catalogue; returns the columns of the training patches of each row of patches."""
    chosen = []
    with (
        reporter.task("statistics, rows of patches", grid.rows.count) as task,
        CatalogueWriter(path, scene.grid, grid, scene.band_names) as writer,
    ):
        for row in patch_rows(source.source, grid):
            writer.write(row.row, row.count / grid.patch**2, *_moments(row, source))
            chosen.append((row.row, np.flatnonzero(row.count >= VALID_SHARE * grid.patch**2)))
            task.advance()
    return chosen


def _moments(row: PatchRow, source: SceneInput) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (across, bands) in physical units, NaN where no pixel is valid."""
    scale, offset = np.array(source.scale), np.array(source.offset)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = row.total / row.count[:, None]
        variance = np.maximum(row.square / row.count[:, None] - mean**2, 0)
    return mean * scale + offset, np.sqrt(variance) * np.abs(scale)


def _export(
    scene: Scene,
    source: SceneInput,
    grid: PatchGrid,
    chosen: list[tuple[int, np.ndarray]],
    folder: Path,
    reporter: Reporter,
) -> None:
    """Write each training patch as ``NUMBER.tif`` with its stored values, scale, names and place."""
    with reporter.task("chips", sum(len(cols) for _, cols in chosen)) as task:
        for window, number, values in _chips(source, grid, chosen):
            with RasterWriter(
                folder / f"{number:09d}.tif",
                scene.grid.crop(window),
                count=len(values),
                dtype=str(values.dtype),
                nodata=None,
                band_names=scene.band_names,
                tags={"scene": scene.name, "patch": str(number)},
                scales=source.scale,
                offsets=source.offset,
                blocksize=16 * -(-grid.patch // 16),
            ) as writer:
                writer.write(values, Window(0, 0, grid.patch, grid.patch))
            task.advance()


def _chips(
    source: SceneInput, grid: PatchGrid, chosen: list[tuple[int, np.ndarray]]
) -> Iterator[tuple[Window, int, np.ndarray]]:
    for row, cols in chosen:
        if not len(cols):
            continue
        top = grid.rows.start(row)
        values, _ = source.source.read(Window(top, 0, grid.patch, grid.cols.size))
        for col in cols:
            number = row * grid.cols.count + int(col)
            window = grid.window(number)
            yield window, number, np.ascontiguousarray(values[:, :, window.col : window.col + grid.patch])
