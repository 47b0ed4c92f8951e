"""The stage ``sample``: points to check a label map at, drawn at random."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from rsseg.errors import UsageError
from rsseg.files import check_outputs
from rsseg.label.numbered import NumberedMap
from rsseg.label.sample_design import SampleDesign, Stratum
from rsseg.label.sampling import Allocation, Census, allocate, cochran_size, draw, take_census
from rsseg.progress import SILENT, Reporter
from rsseg.publish.sample import SUFFIXES, sample_files, write_sample
from rsseg.scene.raster import CACHE_BYTES

EXPECTED = 0.85
"""The user's accuracy that sample sizes expect of a class, unless told otherwise."""

ERROR = 0.01
"""The standard error of the overall accuracy that sample sizes aim at, unless told otherwise."""

MINIMUM = 50
"""Points that every class has at least, unless told otherwise: fewer say little of a rare class."""


@dataclass(frozen=True)
class Sample:
    """What was drawn."""

    output: Path
    design: SampleDesign

    @property
    def points(self) -> int:
        """All points."""
        return sum(stratum.points for stratum in self.design.strata)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {"output": str(self.output), "points": self.points, "strata": self.design.records()}


def sample(
    labels: Path,
    output: Path,
    *,
    size: int | None = None,
    allocation: Allocation = "proportional",
    minimum: int = MINIMUM,
    usual: float | None = None,
    expected: Mapping[str, float] | None = None,
    error: float = ERROR,
    seed: int = 0,
    overwrite: bool = False,
    reporter: Reporter = SILENT,
) -> Sample:
    """Draw a stratified random sample of a label map's pixels; the strata are the map's values.

    Writes a point at each pixel's centre with an empty field ``reference``, for the class that is seen there. Equal
    maps and seeds give equal files. The map is read twice, in strips of 512 rows (three times with 16 bits).

    Args:
        output: a GeoPackage (.gpkg), or a table (.csv) of rows and columns, which needs no CRS.
        size: all points; None for as many as give the standard error ``error``, and the minimum of each class.
        allocation: how they are shared between the strata; "equal" estimates rare classes best, "proportional" the
            overall accuracy.
        minimum: points that each stratum has at least.
        usual: the user's accuracy expected of a class; None for ``EXPECTED``.
        expected: the same by class name, where it differs.

    Raises: UsageError, InputError, GridError.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{output} is not named like a file of points; end it in .gpkg or .csv")
    if not 0 < error < 1:
        raise UsageError(f"a standard error of {error:g} cannot be aimed at; use one like 0.01")
    check_outputs(sample_files(output), [labels], overwrite)
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES >> 20))
        source = stack.enter_context(NumberedMap(labels))
        if source.grid.crs is None and output.suffix.lower() != ".csv":
            raise UsageError(f"{labels} has no CRS, so that points have no place on the ground; end {output} in .csv")
        census = take_census(source, reporter)
        accuracies = _expected(census, EXPECTED if usual is None else usual, expected or {})
        floors = np.minimum(minimum, census.pixels)
        wanted = size if size is not None else max(cochran_size(census.shares, accuracies, error), int(floors.sum()))
        sizes = allocate(wanted, census.pixels, census.shares, accuracies, allocation, minimum)
        drawn = draw(source, census, sizes.tolist(), seed, reporter)
        grid = source.grid
    design = SampleDesign(labels.name, census.sha256, seed, allocation, _strata(census, sizes))
    write_sample(output, drawn, design, grid, overwrite)
    return Sample(output, design)


def _expected(census: Census, usual: float, named: Mapping[str, float]) -> np.ndarray:
    unknown = sorted(set(named) - set(census.titles))
    if unknown:
        raise UsageError(f"the map has no class {', '.join(unknown)}; its classes are {', '.join(census.titles)}")
    found = np.array([named.get(title, usual) for title in census.titles], float)
    if not ((found > 0) & (found <= 1)).all():
        raise UsageError("an expected accuracy is a share above 0, up to 1")
    return found


def _strata(census: Census, sizes: np.ndarray) -> tuple[Stratum, ...]:
    areas = [None] * len(sizes) if census.areas is None else census.areas.tolist()
    lines = zip(census.values, census.titles, census.pixels.tolist(), areas, sizes.tolist(), strict=True)
    return tuple(Stratum(*line) for line in lines)
