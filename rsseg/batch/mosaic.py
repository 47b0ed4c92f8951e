"""The maps of an archive as one raster a model, without copying a pixel."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from rsseg.batch.outcome import Outcome
from rsseg.errors import RssegError
from rsseg.files import write_text
from rsseg.label.legend import in_a_line
from rsseg.label.maps import LabelMap
from rsseg.publish.gis import qml
from rsseg.publish.mosaic import Tile, is_upright, vrt
from rsseg.publish.palette import LabelClass, class_of
from rsseg.scene.raster import same_crs

Maps = Literal["labels", "common"]
"""Which maps of the scenes: those of the models, or those in the classes of the common legend."""

_MADE = {"made_by": "rsseg batch"}

_READERS = 8
"""Maps whose headers are read at once."""

_NAMED = 10
"""Scenes that a sentence names."""


@dataclass(frozen=True)
class Mosaics:
    """The mosaics that were written, and what there is to say: what was refused and which maps were left out."""

    files: tuple[Path, ...]
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Map:
    """A map of a scene; ``model`` is the identity of what made it, if the map tells it."""

    scene: str
    tile: Tile
    model: str | None


def write(outcomes: Sequence[Outcome], output: Path, maps: Maps = "labels") -> Mosaics:
    """Write ``OUT/MODEL.vrt`` and ``OUT/MODEL.qml`` (QGIS's style) for each model; only headers of maps are read.

    Maps of another CRS than most get a mosaic of their own, such as ``MODEL_EPSG32644.vrt``. Where scenes overlap the
    one that was taken last is seen, of scenes without a time the last in the alphabet. Mosaics of an earlier batch that
    are not written again are removed. With "labels", maps of different models are refused: their clusters of one
    number mean different things.
    """
    files: list[Path] = []
    said: list[str] = []
    for model in sorted({model for item in outcomes if item.done for model in item.maps}):
        found, out = _opened(outcomes, output, model, maps)
        said += [f"{model}.vrt leaves out {_named(names)}: {why}" for why, names in sorted(out.items())]
        problem = _different(found, model, maps)
        if problem:
            said.append(problem)
            continue
        files += [_written(group, output / name) for name, group in _by_crs(found, model)]
    for path in sorted(output.glob("*.vrt")):
        if path not in files and _is_ours(path):
            path.unlink()
            path.with_suffix(".qml").unlink(missing_ok=True)
    return Mosaics(tuple(files), tuple(said))


def _opened(
    outcomes: Sequence[Outcome], output: Path, model: str, maps: Maps
) -> tuple[list[_Map], dict[str, list[str]]]:
    """The maps of a model from the bottom to the top, and the scenes that are left out, by the reason."""
    done = [item for item in outcomes if item.done and model in item.maps]
    ordered = sorted(done, key=lambda item: (str(item.facts.get("time") or ""), item.name))
    found, out = list[_Map](), dict[str, list[str]]()
    with ThreadPoolExecutor(_READERS) as readers:
        # most of it is waiting for files
        for item, one in zip(ordered, readers.map(lambda item: _map(item, output, model, maps), ordered), strict=True):
            problem = "its map is missing or damaged" if one is None else _unfit(one.tile)
            if problem or one is None:
                out.setdefault(problem, []).append(item.name)
            else:
                found.append(one)
    return found, out


def _map(item: Outcome, output: Path, model: str, maps: Maps) -> _Map | None:
    """The header of a scene's map; None if it cannot be read."""
    path = item.maps[model] if maps == "labels" else f"scenes/{item.name}/{item.name}/common/{model}.tif"
    try:
        with LabelMap(output / path) as source:
            tile = Tile(path, source.own_grid, source.names, source.colours)
            return _Map(item.name, tile, source.tags.get("model"))
    except RssegError:
        return None


def _unfit(tile: Tile) -> str:
    if tile.grid.crs is None:
        return "its map has no CRS, so that nothing says where it lies"
    return "" if is_upright(tile.grid) else "its map is turned or south-up; gdalwarp makes it north-up"


def _different(found: Sequence[_Map], model: str, maps: Maps) -> str:
    """Why maps cannot be one raster: a value is not the same class on all; nothing where they can."""
    seen: dict[int, tuple[str, str, str]] = {}
    for item in found:
        if maps == "labels" and item.model != found[0].model:
            return (
                f"there is no {model}.vrt: {_one(found[0].scene)} and {_one(item.scene)} were mapped by different "
                "models, whose clusters of one number are different classes; the maps of a common legend can be joined"
            )
        for value, name in item.tile.names.items():
            colour = item.tile.colours.get(value, "")
            first = seen.setdefault(value, (name, colour, item.scene))
            if first[:2] != (name, colour):
                return (
                    f"there is no {model}.vrt: the value {value} is {_look(*first[:2])} on {_one(first[2])}, but "
                    f"{_look(name, colour)} on {_one(item.scene)}; relabel the maps with one legend"
                )
    return ""


def _look(name: str, colour: str) -> str:
    return f"'{in_a_line(name)}'{f' in {colour}' if colour else ''}"


def _one(scene: str) -> str:
    return in_a_line(scene, 80)


def _named(scenes: Sequence[str]) -> str:
    shown = ", ".join(_one(name) for name in sorted(scenes)[:_NAMED])
    return f"{shown} and {len(scenes) - _NAMED} more" if len(scenes) > _NAMED else shown


def _by_crs(found: Sequence[_Map], model: str) -> Iterator[tuple[str, list[_Map]]]:
    """The name of each mosaic and its maps: the most frequent CRS first, of equally frequent ones that first met."""
    groups: list[list[_Map]] = []
    places: dict[str, int] = {}
    for item in found:
        crs = item.tile.grid.crs or ""
        if crs not in places:
            # comparing coordinate systems is slow, and scenes have few different texts
            places[crs] = next(
                (n for n, group in enumerate(groups) if same_crs(group[0].tile.grid.crs, crs)), len(groups)
            )
        if places[crs] == len(groups):
            groups.append([])
        groups[places[crs]].append(item)
    taken = {f"{model}.vrt"}
    for number, group in enumerate(sorted(groups, key=lambda group: -len(group))):
        name = f"{model}.vrt"
        if number:
            name = f"{model}_{_crs_word(group[0].tile.grid.crs or '', number)}.vrt"
            name = f"{model}_CRS{number + 1}.vrt" if name in taken else name
        taken.add(name)
        yield name, group


def _crs_word(crs: str, number: int) -> str:
    """A CRS in a file's name: its EPSG code where it is exactly that one."""
    from pyproj import CRS

    code = CRS.from_wkt(crs).to_epsg(min_confidence=100)
    return f"EPSG{code}" if code else f"CRS{number + 1}"


def _written(group: Sequence[_Map], target: Path) -> Path:
    classes = _classes([item.tile for item in group])
    write_text(target.with_suffix(".qml"), qml(classes), overwrite=True)
    write_text(target, vrt([item.tile for item in group], classes, _MADE), overwrite=True)
    return target


def _classes(tiles: Sequence[Tile]) -> list[LabelClass]:
    """All classes of the maps, by value."""
    names: dict[int, str] = {}
    colours: dict[int, str] = {}
    for tile in tiles:
        names |= dict(tile.names)
        colours |= {value: colour for value, colour in tile.colours.items() if value in tile.names}
    return [class_of(value, names, colours) for value in sorted(names)]


def _is_ours(path: Path) -> bool:
    try:
        made: Mapping[str, str] = {
            item.get("key", ""): item.text or "" for item in ET.parse(path).getroot().findall("Metadata/MDI")
        }
    except (OSError, ET.ParseError):
        return False
    return made.get("made_by") == _MADE["made_by"]
