"""The part of the stage ``evaluate`` that compares regions and boundaries, tile by tile or as a whole."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rsseg.errors import UsageError
from rsseg.label.mapping import Assignment
from rsseg.label.metrics.confusion import Confusion
from rsseg.label.numbered import NumberedMap
from rsseg.label.reference import Reference
from rsseg.label.segmentation_scores import (
    MappedClusters,
    Regions,
    SegmentationScores,
    mean_scores,
    score_arrays,
    score_table,
)
from rsseg.progress import Reporter
from rsseg.scene.grid import Grid
from rsseg.scene.raster import label_windows

LARGEST = 64_000_000
"""Pixels of the arrays that are taken whole: boundaries need 1.3 GB for them, components 3 GB."""


@dataclass(frozen=True)
class Segmentation:
    """The mapped map as a segmentation, for each assignment.

    The scores are those of the whole raster, or the means over ``tiles`` tiles of ``tile`` x ``tile`` pixels.
    ``skipped`` says what was not computed, and how to get it.
    """

    regions: Regions
    tile: int | None
    tiles: int
    skipped: str | None
    scores: dict[Assignment, SegmentationScores]

    def as_dict(self) -> dict[str, Any]:
        """How the scores were made, ready for JSON."""
        made = {"regions": self.regions, "tile": self.tile, "tiles": self.tiles, "skipped": self.skipped}
        units = {"variation_of_information": "bits", "boundary_displacement_error": "pixels"}
        covered = {
            "segmentation_covering": "the map's regions by the reference's",
            "reference_covering": "the reference's regions by the map's",
        }
        return {**made, "units": units, "covered": covered}

    def records(self) -> list[dict[str, Any]]:
        """One line an assignment."""
        made = {"regions": self.regions, "tile": self.tile, "tiles": self.tiles}
        return [{"assignment": name, **made, **asdict(score)} for name, score in self.scores.items()]


@dataclass(frozen=True)
class Comparison:
    """How maps are compared as segmentations.

    Args:
        regions: what a region is: all pixels of a class, or each of its connected components.
        tile: the height and width of the tiles that are averaged; None for the whole raster.
    """

    regions: Regions = "classes"
    tile: int | None = None

    def shape(self, grid: Grid) -> tuple[int, int]:
        """Height and width of what is scored at once."""
        return grid.shape if self.tile is None else (min(self.tile, grid.height), min(self.tile, grid.width))

    def fits(self, grid: Grid) -> bool:
        """Whether that is small enough for boundaries and components."""
        height, width = self.shape(grid)
        return height * width <= LARGEST

    def check(self, grid: Grid) -> None:
        """Refuse what cannot be scored on a grid.

        Raises: UsageError.
        """
        if self.tile is not None and self.tile < 2:
            raise UsageError(f"a tile of {self.tile} pixel has no regions to compare; choose --tile 2 or more")
        if self.regions == "components" and not self.fits(grid):
            raise UsageError(f"connected components cannot be scored: {self.too_large(grid)}")

    def too_large(self, grid: Grid) -> str:
        """Why whole arrays are not taken, and the way out."""
        height, width = self.shape(grid)
        limit = f"they need whole arrays, which are made up to {LARGEST // 10**6} million pixels"
        return f"{limit}, not for {height} x {width}; score smaller tiles, such as --tile 1000"


def compare_segmentations(
    source: NumberedMap,
    truth: Reference,
    clusters: tuple[int, ...],
    confusions: Mapping[Assignment, Confusion],
    comparison: Comparison,
    reporter: Reporter,
) -> Segmentation:
    """Score the mapped map as a segmentation, for each assignment.

    This takes a pass over the map of its own; a large raster as a whole is scored from its tables, without boundaries.

    Args:
        clusters: the map's codes that meet the reference.
        confusions: the classes of these clusters, by assignment.
    """
    regions, tile, fits = comparison.regions, comparison.tile, comparison.fits(source.grid)
    skipped = None if fits else f"boundary displacement error left out: {comparison.too_large(source.grid)}"
    if skipped:
        reporter.say(skipped)
    if tile is None and not fits:
        return Segmentation(regions, tile, 1, skipped, {name: score_table(found) for name, found in confusions.items()})
    mapped = {name: MappedClusters(clusters, found.assigned, found.classes) for name, found in confusions.items()}
    # where both assignments agree, the costly part is done once
    scores: dict[MappedClusters, list[SegmentationScores]] = {owners: [] for owners in mapped.values()}
    for labels, codes in _tiles(source, truth, comparison, reporter):
        for owners, found in scores.items():
            score = score_arrays(labels, codes, owners, regions, boundaries=fits)
            found += [score] if score else []
    means = {name: mean_scores(scores[owners]) for name, owners in mapped.items()}
    return Segmentation(regions, tile, max(map(len, scores.values())), skipped, means)


def _tiles(
    source: NumberedMap, truth: Reference, comparison: Comparison, reporter: Reporter
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Labels and class codes of each tile, row by row of tiles; the whole raster is one."""
    height, width = comparison.shape(source.grid)
    with reporter.task("segmentation scores", source.grid.height) as task:
        for window in label_windows(source.grid, height):
            labels, codes = source.read(window), truth.read(window)
            for col in range(0, source.grid.width, width):
                yield labels[:, col : col + width], codes[:, col : col + width]
            task.advance(window.height)
