"""Label maps side by side as one virtual raster (GDAL's VRT): no pixel is copied, and maps may overlap."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from rsseg.publish.gis import clean, xml_text
from rsseg.publish.palette import LabelClass
from rsseg.scene.grid import Grid
from rsseg.scene.raster import BLOCK

_NEAR = 1e-6
"""Parts of a pixel that are rounding of large coordinates."""

_SMALLEST = 256
"""Overviews end where the longer side has as many pixels."""


@dataclass(frozen=True)
class Tile:
    """A label map of a mosaic: its path as the mosaic names it (relative, with /), its grid, names and colours."""

    path: str
    grid: Grid
    names: Mapping[int, str]
    colours: Mapping[int, str]


def is_upright(grid: Grid) -> bool:
    """Whether rows run from north to south and columns from west to east, as a mosaic needs it."""
    a, b, _, d, e, _ = grid.transform
    return b == 0 and d == 0 and a > 0 and e < 0


def mosaic_grid(grids: Sequence[Grid]) -> Grid:
    """The grid that covers upright grids of one CRS, in the finest pixel size and in step with the finest of them."""
    across = min(grid.transform[0] for grid in grids)
    down = min(-grid.transform[4] for grid in grids)
    finest = next(grid for grid in grids if (grid.transform[0], -grid.transform[4]) == min(map(_size, grids)))
    lefts, bottoms, rights, tops = zip(*(grid.bounds for grid in grids), strict=True)
    left = finest.transform[2] - _steps(finest.transform[2] - min(lefts), across) * across
    top = finest.transform[5] + _steps(max(tops) - finest.transform[5], down) * down
    height, width = _steps(top - min(bottoms), down), _steps(max(rights) - left, across)
    return Grid(height, width, (across, 0.0, left, 0.0, -down, top), grids[0].crs)


def vrt(tiles: Sequence[Tile], classes: Sequence[LabelClass], tags: Mapping[str, str]) -> str:
    """The mosaic as XML; where maps overlap the last one with data is seen, and 0 is no data between them.

    A map of coarser pixels is shown by its nearest ones; one that is not in step is moved by half a pixel at most. The
    overviews that are listed are read from those of the maps.
    """
    grid = mosaic_grid([tile.grid for tile in tiles])
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS").text = grid.crs
    a, b, c, d, e, f = grid.transform
    ET.SubElement(root, "GeoTransform").text = ", ".join(map(repr, (c, a, b, f, d, e)))
    metadata = ET.SubElement(root, "Metadata")
    for key, text in {"AREA_OR_POINT": "Area", **tags}.items():
        ET.SubElement(metadata, "MDI", key=clean(key)).text = clean(text)
    factors = " ".join(map(str, _factors(grid)))
    if factors:
        ET.SubElement(root, "OverviewList", resampling="nearest").text = factors
    band = ET.SubElement(root, "VRTRasterBand", dataType="Byte", band="1")
    ET.SubElement(band, "Description").text = "labels"
    ET.SubElement(band, "NoDataValue").text = "0"
    ET.SubElement(band, "ColorInterp").text = "Palette"
    _look(band, classes)
    for tile in tiles:
        _source(band, tile, grid)
    return xml_text(root)


def _look(band: ET.Element, classes: Sequence[LabelClass]) -> None:
    """Palette and names, both by value."""
    by_value = {item.value: item for item in classes}
    table, names = ET.SubElement(band, "ColorTable"), ET.SubElement(band, "CategoryNames")
    for value in range(max(by_value, default=0) + 1):
        item = by_value.get(value)
        rgba = (*item.rgb, 255) if item else (0, 0, 0, 0 if value == 0 else 255)
        ET.SubElement(table, "Entry", {f"c{place}": str(level) for place, level in enumerate(rgba, 1)})
        ET.SubElement(names, "Category").text = clean(item.name if item else "no data" if value == 0 else "")


def _source(band: ET.Element, tile: Tile, grid: Grid) -> None:
    own = tile.grid
    source = ET.SubElement(band, "ComplexSource", resampling="nearest")
    ET.SubElement(source, "SourceFilename", relativeToVRT="1").text = tile.path
    ET.SubElement(source, "SourceBand").text = "1"
    # said here, no map is opened before its pixels are wanted
    size = {"RasterXSize": str(own.width), "RasterYSize": str(own.height)}
    blocks = {"BlockXSize": str(BLOCK), "BlockYSize": str(BLOCK)}
    ET.SubElement(source, "SourceProperties", {**size, "DataType": "Byte", **blocks})
    # whole pixels: GDAL rounds the parts of one map that it reads at a time each for itself
    top, left = (round(place) for place in grid.rowcol(*own.xy(0, 0)))
    bottom, right = (round(place) for place in grid.rowcol(*own.xy(own.height, own.width)))
    ET.SubElement(source, "SrcRect", _rectangle(0, 0, own.width, own.height))
    ET.SubElement(source, "DstRect", _rectangle(left, top, right - left, bottom - top))
    ET.SubElement(source, "NODATA").text = "0"


def _rectangle(left: int, top: int, width: int, height: int) -> dict[str, str]:
    return {"xOff": str(left), "yOff": str(top), "xSize": str(width), "ySize": str(height)}


def _steps(length: float, step: float) -> int:
    """How many steps cover a length."""
    return -int(-(length / step - _NEAR) // 1)


def _factors(grid: Grid) -> Iterator[int]:
    factor = 2
    while max(grid.shape) > _SMALLEST * factor // 2:
        yield factor
        factor *= 2


def _size(grid: Grid) -> tuple[float, float]:
    return grid.transform[0], -grid.transform[4]
