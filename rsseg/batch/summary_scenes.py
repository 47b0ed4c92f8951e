"""Every scene of a batch on its page, with pictures and links to its maps."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rsseg.batch.outcome import Outcome
from rsseg.label.legend import in_a_line
from rsseg.publish.report.html import Html, Section, join, name, number, paragraphs, percent, table, tag

MOST = 500
"""Scenes that the page shows with their maps, and failures that it lists; the tables have them all."""


def scenes_section(done: Sequence[Outcome], output: Path) -> Section:
    """The first scenes with their maps, and the others by name; ``output`` is looked at for pictures and reports."""
    rows = [_scene(item, output) for item in done[:MOST]]
    shown = table(f"Scenes: {shown_of(len(done))}", ["Scene", "Maps"], rows, class_="scenes")
    rest = done[MOST:]
    if not rest:
        return Section("Scenes", shown)
    links = (tag("li", link(f"scenes/{item.name}/", in_a_line(item.name, 120))) for item in rest)
    told = tag("summary", f"The other {number(len(rest))} scene{'' if len(rest) == 1 else 's'}")
    note = paragraphs("summary.parquet has every scene and map with its figures.")
    return Section("Scenes", join([shown, tag("details", told, note, tag("ul", *links, class_="rest"))]))


def _scene(item: Outcome, output: Path) -> list[object]:
    """What the scene is, and its pictures and maps."""
    folder = f"scenes/{item.name}"
    picture, report = f"{folder}/{item.name}/pictures/scene.png", f"{folder}/report.html"
    lines = [name(in_a_line(item.place, 200)), *map(name, _described(item))]
    lines += [link(report, "report")] if (output / report).is_file() else []
    title = join([link(f"{folder}/", in_a_line(item.name, 120)), *(tag("span", one, class_="note") for one in lines)])
    shown = (
        [tag("span", _picture(picture, picture, "The scene"), "scene", class_="map")]
        if (output / picture).is_file()
        else []
    )
    return [title, tag("td", *shown, *(_map(item, model, output) for model in sorted(item.maps)))]


def _described(item: Outcome) -> list[str]:
    """Sensor and date, size and CRS, as far as they are known."""
    facts = item.facts
    sensor = " ".join(str(facts[key]) for key in ("satellite", "sensor") if facts.get(key))
    height, width = facts.get("height"), facts.get("width")
    size = f"{number(height)} \u00d7 {number(width)}" if height and width else ""
    lines = ((sensor, str(facts.get("time") or "")[:10]), (size, str(facts.get("crs") or "")))
    return [in_a_line(", ".join(part for part in line if part), 120) for line in lines if any(line)]


def _map(item: Outcome, model: str, output: Path) -> Html:
    """A map's picture where there is one, its name with a link to the map, and its figures.

    Of a scene with models of its own it is the map in the classes of the common legend, with a link to the other.
    """
    common = item.facts.get("common", {}).get(model)
    found = common or item.facts.get("maps", {}).get(model, {})
    path = common["path"] if common else item.maps[model]
    picture = f"scenes/{item.name}/{item.name}/pictures/{model}.png"
    if common and (output / path).with_suffix(".png").is_file():
        picture = str(Path(path).with_suffix(".png").as_posix())
    shown = _picture(picture, picture, f"Map by {model}") if (output / picture).is_file() else ""
    own = [", ", link(item.maps[model], "own clusters")] if common else []
    lines = [tag("span", line, class_="note") for line in _figures(found)]
    return tag("span", shown, link(path, in_a_line(model, 40)), *own, *lines, class_="map")


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    if not found:
        return
    yield f"{number(found['found'])} class{'' if found['found'] == 1 else 'es'}"
    yield f"{percent(found['labelled'], 0)} labelled"
    if found.get("largest") is not None:
        yield f"largest {percent(found['largest'], 0)}"
    if found.get("confidence") is not None:
        yield f"mean vote {percent(found['confidence'], 0)}"


def _picture(path: str, target: str, text: str) -> Html:
    return tag("a", tag("img", src=_address(path), alt=text, loading="lazy"), href=_address(target))


def link(path: str, text: str) -> Html:
    """A link to a file below the page."""
    return tag("a", name(text), href=_address(path))


def _address(path: str) -> str:
    """A path below the page as an address; what a name holds can never be read as a scheme or a query."""
    return "./" + quote(path.encode("utf-8", "surrogateescape"))


def shown_of(total: int, most: int = MOST) -> str:
    """How many of a list are shown."""
    return f"the first {most} of {number(total)}" if total > most else number(total)
