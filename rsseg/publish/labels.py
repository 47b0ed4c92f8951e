"""Label maps and confidence rasters as Cloud Optimized GeoTIFFs that a GIS shows with names and colours.

Rows arrive as strips from top to bottom; memory is one strip of 512 rows whatever the raster's height. The raster is
published last, after its sidecars, and nothing is left behind when something fails.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import numpy as np

from rsseg.errors import UsageError
from rsseg.files import check_output, scratch_folder
from rsseg.label.shares import NO_SHARE, SHARE_STEPS
from rsseg.publish.gis import aux_xml, qml
from rsseg.publish.palette import LabelClass, default_classes
from rsseg.scene.grid import Grid, Window
from rsseg.scene.raster import BLOCK, OverviewResampling, RasterWriter, write_cog

__all__ = ["ConfidenceWriter", "LabelClass", "LabelMapWriter", "default_classes", "sidecars"]


def sidecars(target: Path) -> tuple[Path, Path]:
    """The attribute table (``.aux.xml``) and style (``.qml``) that belong to a label raster."""
    return target.with_name(target.name + ".aux.xml"), target.with_suffix(".qml")


class _StripWriter:
    """Strips of rows in, a COG out; what the two kinds of raster share.

    GDAL would recompress a tile for every strip that touches it, so rows are gathered to whole tiles first.
    """

    overviews: ClassVar[OverviewResampling] = "NEAREST"
    description = ""
    nodata = 0

    def __init__(self, target: Path, grid: Grid, *, tags: Mapping[str, str], overwrite: bool = False) -> None:
        if target.suffix.lower() not in (".tif", ".tiff"):
            raise UsageError(f"{target} is not named like a GeoTIFF; end it in .tif")
        for path in self._targets(target):
            check_output(path, overwrite)
        self.target, self.grid, self.tags, self.overwrite = target, grid, dict(tags), overwrite
        self._rows = np.empty((min(BLOCK, grid.height), grid.width), np.uint8)
        self._next = self._flushed = 0

    def __enter__(self) -> Self:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder(self.target.parent))
            self._raster = self._open(self._folder / "rows.tif")
            self._writing = stack.enter_context(ExitStack())
            self._writing.enter_context(self._raster)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if kind is not None:
                return
            if self._next < self.grid.height:
                raise ValueError(f"{self.target} was closed after {self._next} of {self.grid.height} rows")
            self._writing.close()
            part = self._folder / self.target.name
            write_cog(self._folder / "rows.tif", part, overview_resampling=self.overviews)
            _place([*self._write_sidecars(), (part, self.target)])
            if self.overwrite:
                self._forget_replaced()

    def write(self, values: np.ndarray, window: Window) -> None:
        """Write uint8 values (h, w) at ``window``, the full-width strip of rows that follows the one before."""
        if window.row != self._next or window.col != 0 or values.shape != (window.height, self.grid.width):
            raise ValueError(f"strips come in order and in full width; {window} does not follow row {self._next}")
        if values.dtype != np.uint8:
            raise ValueError(f"strips are uint8, not {values.dtype}")
        self._take(values)
        done = 0
        while done < window.height:
            first = self._next - self._flushed
            count = min(window.height - done, len(self._rows) - first)
            self._rows[first : first + count] = values[done : done + count]
            done, self._next = done + count, self._next + count
            if first + count == len(self._rows) or self._next == self.grid.height:
                self._flush()

    def _flush(self) -> None:
        height = self._next - self._flushed
        self._raster.write(self._rows[:height], Window(self._flushed, 0, height, self.grid.width))
        self._flushed = self._next

    def _forget_replaced(self) -> None:
        """Remove what GDAL keeps beside a raster (statistics, overviews, a mask) that told of the replaced one."""
        for suffix in (".aux.xml", ".ovr", ".msk"):
            path = self.target.with_name(self.target.name + suffix)
            if path not in self._targets(self.target):
                path.unlink(missing_ok=True)

    def _targets(self, target: Path) -> tuple[Path, ...]:
        return (target,)

    def _open(self, path: Path) -> RasterWriter:
        raise NotImplementedError

    def _take(self, values: np.ndarray) -> None:
        """See each strip before it is written."""

    def _write_sidecars(self) -> list[tuple[Path, Path]]:
        """Write the sidecars to the scratch folder: pairs of (part, target)."""
        return []


class LabelMapWriter(_StripWriter):
    """Writes a label map: uint8, 0 = no data, palette, names, attribute table, style.

    Example:
        with LabelMapWriter(path, grid, default_classes(10), tags={"model": "..."}) as writer:
            writer.write(labels, window)

    Args:
        target: the ``.tif`` to publish; ``TARGET.aux.xml`` and ``STEM.qml`` come with it.
        grid: the raster's grid.
        classes: a class for every value that can occur.
        tags: texts to store in the file.
        overwrite: replace an existing map and its sidecars.

    Raises: UsageError if an output exists, the name is not a GeoTIFF's, classes repeat a value, or a value that is
    written has no class.
    """

    overviews: ClassVar[OverviewResampling] = "MODE"
    description = "labels"

    def __init__(
        self,
        target: Path,
        grid: Grid,
        classes: Sequence[LabelClass],
        *,
        tags: Mapping[str, str],
        overwrite: bool = False,
    ) -> None:
        super().__init__(target, grid, tags=tags, overwrite=overwrite)
        self.classes = tuple(sorted(classes, key=lambda item: item.value))
        self._known = np.zeros(256, bool)
        self._known[[0, *(item.value for item in self.classes)]] = True
        if self._known.sum() != len(self.classes) + 1:
            raise UsageError("two classes share one value; give every class its own")
        self.counts = np.zeros(256, np.int64)

    def _targets(self, target: Path) -> tuple[Path, ...]:
        return (*sidecars(target), target)

    def _open(self, path: Path) -> RasterWriter:
        # entry 0 too: GDAL fills entries left out with opaque black
        colours = {0: (0, 0, 0, 0)} | {item.value: (*item.rgb, 255) for item in self.classes}
        return RasterWriter(
            path,
            self.grid,
            count=1,
            dtype="uint8",
            nodata=0,
            band_names=[self.description],
            tags=self.tags,
            colormap=colours,
            level=1,
        )

    def _take(self, values: np.ndarray) -> None:
        counts = np.bincount(values.ravel(), minlength=256)
        unknown = np.flatnonzero((counts > 0) & ~self._known)
        if unknown.size:
            raise UsageError(f"value {unknown[0]} of {self.target.name} has no class; give every value a class")
        self.counts += counts

    def _write_sidecars(self) -> list[tuple[Path, Path]]:
        counts = {value: int(count) for value, count in enumerate(self.counts)}
        present = [item for item in self.classes if counts[item.value]]
        pairs = []
        for target, text in zip(sidecars(self.target), (aux_xml(self.classes, counts), qml(present)), strict=True):
            # not under the raster's own names: the COG driver looks for a sidecar of what it copies
            part = self._folder / f"sidecar{target.suffix}"
            part.write_text(text, encoding="utf-8", newline="\n")
            pairs.append((part, target))
        return pairs


class ConfidenceWriter(_StripWriter):
    """Writes the mean vote of the winner: uint8, 0 to 254 for shares of 0 to 1 (scale 1/254), 255 = no data.

    Args: as ``LabelMapWriter``, without classes. Raises: UsageError if the output exists or is not named ``.tif``.
    """

    overviews: ClassVar[OverviewResampling] = "AVERAGE"
    description = "mean vote of the winner"
    nodata = NO_SHARE

    def _open(self, path: Path) -> RasterWriter:
        return RasterWriter(
            path,
            self.grid,
            count=1,
            dtype="uint8",
            nodata=self.nodata,
            band_names=[self.description],
            tags=self.tags,
            scales=[1 / SHARE_STEPS],
            offsets=[0.0],
            level=1,
        )


def _place(parts: Sequence[tuple[Path, Path]]) -> None:
    """Move each part to its target, the last one last; if a move fails, the earlier targets are as they were."""
    before = [(target, target.read_bytes() if target.exists() else None) for _, target in parts[:-1]]
    try:
        for part, target in parts:
            part.replace(target)
    except OSError:
        for target, content in before:
            if content is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(content)
        raise
