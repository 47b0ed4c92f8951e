"""The stage behind ``rsseg simulate``: a product, its truth and its reference polygons."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsseg.errors import UsageError
from rsseg.files import check_output, replacing, scratch_folder
from rsseg.pipeline.folders import result_folder
from rsseg.progress import SILENT, Reporter
from rsseg.publish.labels import LabelClass, LabelMapWriter
from rsseg.scene.raster import label_windows
from rsseg.scene.simulate.landcover import CLASSES, COLOURS
from rsseg.scene.simulate.product import Product, ProductWriter, pack
from rsseg.scene.simulate.reference import reference_polygons, write_reference

_ROWS = 128
"""Rows of a strip; memory grows with it and the width, not with the height."""


@dataclass(frozen=True)
class Simulated:
    """What was written, and the share of valid pixels of each class."""

    product: Path
    truth: Path
    reference: Path
    valid: float
    shares: dict[str, float]
    polygons: dict[str, int]


def truth_classes() -> tuple[LabelClass, ...]:
    """Values, names and colours of the truth raster."""
    pairs = zip(CLASSES, COLOURS, strict=True)
    return tuple(LabelClass(value, name, colour) for value, (name, colour) in enumerate(pairs, 1))


def simulate(
    target: Path, product: Product, *, zipped: bool = False, overwrite: bool = False, reporter: Reporter = SILENT
) -> Simulated:
    """Write ``product`` to ``target`` (a folder, or a .zip), with TARGET_truth.tif and TARGET_reference.gpkg beside it.

    Truth and polygons lie outside, since a real product has none. Memory: about 150 MB for 18000 columns.

    Raises: UsageError if an output exists and ``overwrite`` is not set.
    """
    zipped = zipped or target.suffix.lower() == ".zip"
    if zipped and target.suffix.lower() != ".zip":
        target = target.with_name(target.name + ".zip")
    stem = target.name[:-4] if zipped else target.name
    truth, reference = target.with_name(f"{stem}_truth.tif"), target.with_name(f"{stem}_reference.gpkg")
    if not stem:
        raise UsageError(f"{target} has no name; choose another output")
    check_output(reference, overwrite)
    counts = np.zeros(len(CLASSES) + 1, np.int64)
    tags = {"product": product.number, "seed": str(product.seed), "content": "simulated land cover"}
    with ExitStack() as stack:
        folder = stack.enter_context(_product_folder(target, product, zipped, overwrite))
        polygons = reference_polygons(product)
        write_reference(stack.enter_context(replacing(reference, overwrite)), polygons, product)
        writer = stack.enter_context(ProductWriter(folder, product))
        labels = stack.enter_context(
            LabelMapWriter(truth, product.grid, truth_classes(), tags=tags, overwrite=overwrite)
        )
        with reporter.task("simulating rows", product.grid.height) as task:
            for window in label_windows(product.grid, _ROWS):
                numbers, classes = product.render(window)
                writer.write(numbers, window)
                labels.write(classes, window)
                counts += np.bincount(classes.ravel(), minlength=len(counts))
                task.advance(window.height)
    return Simulated(target, truth, reference, *_summary(counts), polygons["class"].value_counts().to_dict())


@contextmanager
def _product_folder(target: Path, product: Product, zipped: bool, overwrite: bool) -> Iterator[Path]:
    """The folder to fill: it becomes ``target``, or is packed into it."""
    if not zipped:
        with result_folder(target, "BAND_META.txt", (), overwrite) as folder:
            yield folder
        return
    with replacing(target, overwrite) as part, scratch_folder(part.parent) as folder:
        yield folder
        pack(folder, part, product)


def _summary(counts: np.ndarray) -> tuple[float, dict[str, float]]:
    valid = int(counts[1:].sum())
    shares = {name: round(int(count) / max(valid, 1), 4) for name, count in zip(CLASSES, counts[1:], strict=True)}
    return round(valid / int(counts.sum()), 4), shares
