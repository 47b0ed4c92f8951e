"""Layers of a scene, from the top to the bottom, and where each lies on it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from rsseg.publish.view.legends import NamedValues
from rsseg.publish.view.sources import Source
from rsseg.scene.grid import Grid
from rsseg.scene.raster import same_crs

Kind = Literal["map", "confidence", "comparison", "reference", "scene"]


@dataclass(frozen=True)
class Place:
    """Where a layer's pixels lie on the scene's: the first one's corner, and its height and width, in scene pixels."""

    row: float
    col: float
    down: float
    across: float


@dataclass(frozen=True)
class Layer:
    """One raster of a scene; ``names`` can be changed where there are some, ``about`` is the map that it tells of."""

    kind: Kind
    title: str
    source: Source
    place: Place
    names: NamedValues | None = None
    about: str = ""


@dataclass
class ViewedScene:
    """A scene with its layers, from the top to the bottom, and sentences about what could not be shown."""

    title: str
    grid: Grid
    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: Kind, title: str, source: Source, **more: Any) -> None:
        """Add a layer on top of the others; one that lies elsewhere is left out with a note."""
        place = place_of(self.grid, source.grid)
        if place is None:
            source.close()
            self.notes.append(f"{title} lies on another grid, turned or in another coordinate system; it is not shown")
            return
        self.layers.insert(0, Layer(kind, title, source, place, **more))

    def close(self) -> None:
        """Close all files."""
        for layer in self.layers:
            layer.source.close()


def place_of(base: Grid, other: Grid) -> Place | None:
    """Where a grid's pixels lie on the base grid, or None if they are turned against it, or lie in another CRS."""
    if not same_crs(base.crs, other.crs):
        return None
    row, col = base.rowcol(*other.xy(0, 0))
    row_right, col_right = base.rowcol(*other.xy(0, other.width))
    row_down, col_down = base.rowcol(*other.xy(other.height, 0))
    turned = max(abs(row_right - row), abs(col_down - col)) > 0.01
    down, across = (row_down - row) / other.height, (col_right - col) / other.width
    if turned or down <= 0 or across <= 0:
        return None
    # a millionth of a pixel is rounding: whole numbers stay whole
    return Place(*(float(np.round(number, 6) + 0.0) for number in (row, col, down, across)))


def close_all(scenes: Iterable[ViewedScene]) -> None:
    """Close the files of all scenes."""
    for viewed in scenes:
        viewed.close()
