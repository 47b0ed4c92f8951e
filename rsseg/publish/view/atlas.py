"""What the page asks for, answered as plain values and PNG files; nothing here knows of HTTP.

Everything is asked for by number, never by path, so that nothing but what was opened can be read.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rasterio.crs import CRS

from rsseg.errors import RssegError, UsageError
from rsseg.label.maps import describe
from rsseg.publish.view.layers import Layer, Place, ViewedScene, close_all
from rsseg.publish.view.opened import TileCache
from rsseg.publish.view.pictures import TILE, levels, tile_at
from rsseg.publish.view.sources import LabelSource, ReferenceSource, ramp_colours
from rsseg.scene.area import pixel_metres
from rsseg.scene.grid import Grid

CACHE_BYTES = 64 << 20

Opener = Callable[[], Sequence[ViewedScene]]


class NotThereError(RssegError):
    """A scene, layer or tile that does not exist was asked for."""


class Atlas:
    """Scenes and layers under numbers. ``opener`` finds them, again whenever the page is loaded."""

    def __init__(self, title: str, opener: Opener) -> None:
        self.title = title
        self._opener = opener
        self._numbers: dict[tuple[str, ...], int] = {}
        self._scenes: dict[int, ViewedScene] = {}
        self._layers: dict[int, Layer] = {}
        self._lock = threading.Lock()
        self._tiles = TileCache(CACHE_BYTES)
        self._open()
        self._fresh = True

    def _open(self) -> None:
        """Find what there is; what was there before keeps its number, so that an older page goes on."""
        before = self._scenes
        found = list(self._opener())
        self._scenes = {self._number(viewed.title): viewed for viewed in found}
        self._layers = {self._id(viewed, layer): layer for viewed in found for layer in viewed.layers}
        close_all(before.values())

    def _id(self, viewed: ViewedScene, layer: Layer) -> int:
        return self._number(viewed.title, layer.kind, str(layer.source.path))

    def _number(self, *name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    def contents(self) -> dict[str, Any]:
        """All scenes with their layers; what a run has written since is found."""
        with self._lock:
            if not self._fresh:
                self._open()
            self._fresh = False
            scenes = [self._scene(number, viewed) for number, viewed in self._scenes.items()]
        return {"title": self.title, "tile": TILE, "ramp": ramp_colours(), "scenes": scenes}

    def _scene(self, number: int, viewed: ViewedScene) -> dict[str, Any]:
        grid = viewed.grid
        return {
            "id": number,
            "title": viewed.title,
            "height": grid.height,
            "width": grid.width,
            "transform": list(grid.transform),
            "grid": describe(grid),
            "metres": pixel_metres(grid),
            "units": _coordinates(grid),
            "notes": viewed.notes,
            "layers": [self._layer(viewed, layer) for layer in viewed.layers],
        }

    def _layer(self, viewed: ViewedScene, layer: Layer) -> dict[str, Any]:
        grid = layer.source.grid
        return {
            "id": self._id(viewed, layer),
            "kind": layer.kind,
            "title": layer.title,
            "height": grid.height,
            "width": grid.width,
            "levels": levels(grid.shape),
            "place": vars(layer.place),
            "valued": isinstance(layer.source, LabelSource | ReferenceSource),
            "named": layer.names is not None,
            "version": _version(layer),
        }

    def tile(self, layer: int, level: int, row: int, col: int) -> bytes:
        """A tile as a PNG file.

        Raises: NotThereError, InputError.
        """
        found = self._find(layer)
        tile = tile_at(found.source.grid.shape, level, row, col)
        if tile is None:
            raise NotThereError("there is no such tile")
        source = found.source
        if isinstance(source, LabelSource):
            colours = {value: colour for value, (_, colour) in _given_looks(found).items()}
            key = (id(source), source.stamp, level, row, col, tuple(colours.items()))
            return self._tiles.get(key, lambda: source.tile(tile, colours))
        return self._tiles.get((id(source), source.stamp, level, row, col), lambda: source.tile(tile))

    def legend(self, layer: int) -> dict[str, Any]:
        """The values of a map that occur: names, colours, pixels and shares; and what its legend's file is.

        Raises: NotThereError, InputError.
        """
        found = self._find(layer)
        if not isinstance(found.source, LabelSource | ReferenceSource):
            raise NotThereError("this layer has no values with names")
        counts = found.source.counts()
        problem, given = "", {}
        try:
            given = found.names.looks() if found.names else {}
        except RssegError as sentence:
            problem = str(sentence)
        looks, shares = {**found.source.looks(), **given}, counts / max(1, int(counts[1:].sum()))
        entries = [
            {"value": v, "name": looks[v][0], "colour": looks[v][1], "pixels": int(counts[v]), "share": shares[v]}
            for v in map(int, np.flatnonzero(counts[1:]) + 1)
        ]
        return {"entries": entries, "problem": problem, "version": _version(found), **_legend_file(found)}

    def rename(self, layer: int, value: int, name: str, colour: str | None) -> dict[str, Any]:
        """Name a value of a map, write its legend, and answer as ``legend`` does.

        Raises: NotThereError, UsageError, InputError.
        """
        found = self._find(layer)
        if found.names is None or not isinstance(found.source, LabelSource):
            raise UsageError("this layer's names cannot be changed")
        own, counts = found.source.looks(), found.source.counts()
        found.names.rename(value, name, colour, {v: own[v] for v in range(1, 256) if counts[v]})
        return self.legend(layer)

    def at(self, scene: int, row: int, col: int) -> dict[str, Any]:
        """What every layer of a scene says of a pixel (row and column of the scene).

        Raises: NotThereError, InputError.
        """
        viewed = self._viewed(scene)
        if not (0 <= row < viewed.grid.height and 0 <= col < viewed.grid.width):
            raise NotThereError(f"row {row}, column {col} lies outside the scene")
        x, y = viewed.grid.xy(row + 0.5, col + 0.5)
        layers = {self._id(viewed, layer): _told(layer, row, col) for layer in viewed.layers}
        return {"row": row, "col": col, "x": x, "y": y, "layers": layers}

    def _viewed(self, scene: int) -> ViewedScene:
        if scene not in self._scenes:
            raise NotThereError("there is no such scene; reload the page")
        return self._scenes[scene]

    def _find(self, layer: int) -> Layer:
        if layer not in self._layers:
            raise NotThereError("there is no such layer; reload the page")
        return self._layers[layer]

    def close(self) -> None:
        """Close all files."""
        close_all(self._scenes.values())


def _told(layer: Layer, row: int, col: int) -> dict[str, Any] | None:
    """What a layer says of a pixel of the scene, or None where it does not reach."""
    place, grid = layer.place, layer.source.grid
    own_row, own_col = _pixel(place, row, col)
    if not (0 <= own_row < grid.height and 0 <= own_col < grid.width):
        return None
    told = layer.source.at(own_row, own_col)
    if isinstance(layer.source, LabelSource | ReferenceSource) and told["value"]:
        looks = {**layer.source.looks(), **_given_looks(layer)}
        told["name"], told["colour"] = looks[told["value"]]
    return {**told, "about": layer.about}


def _pixel(place: Place, row: int, col: int) -> tuple[int, int]:
    """The layer's pixel that holds the centre of a pixel of the scene."""
    return int((row + 0.5 - place.row) // place.down), int((col + 0.5 - place.col) // place.across)


def _given_looks(layer: Layer) -> dict[int, tuple[str, str]]:
    """Names and colours by the user's legend; a legend that cannot be used is told of beside the legend."""
    try:
        return layer.names.looks() if layer.names else {}
    except RssegError:
        return {}


def _legend_file(layer: Layer) -> dict[str, Any]:
    if layer.names is None:
        return {"file": None, "command": None}
    renaming = layer.names.renaming
    return {"file": str(renaming.target) if renaming.target.is_file() else None, "command": renaming.command}


def _version(layer: Layer) -> str:
    """Changes whenever the layer's tiles do."""
    colours = tuple(colour for _, colour in _given_looks(layer).values())
    return f"{hash((layer.source.stamp, colours)) & 0xFFFFFFFFFFFF:x}"


def _coordinates(grid: Grid) -> str:
    """What a position in the raster's coordinates is called: degrees, projected, or none."""
    crs = CRS.from_wkt(grid.crs) if grid.crs else None
    return "none" if crs is None else "degrees" if crs.is_geographic else "projected"
