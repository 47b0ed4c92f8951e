"""The STAC catalogue of a batch: its children are the catalogues of the scenes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rsseg.batch.outcome import Outcome
from rsseg.files import write_text
from rsseg.label.legend import in_a_line, writable
from rsseg.publish.stac import CATALOG, VERSION, stac_json
from rsseg.publish.stac_assets import href


def scene_catalogue(output: Path, name: str) -> Path:
    """Where the catalogue of a scene lies."""
    return output / "scenes" / name / "stac" / CATALOG


def write(outcomes: Sequence[Outcome], output: Path) -> Path:
    """Write ``OUT/catalog.json`` (STAC 1.1.0) and return its path.

    Every scene that is done and has a catalogue is a child, in the order of the names. Those catalogues are written by
    ``stages.stac.stac(run, parent=OUT/catalog.json)``. Nothing of them is read.
    """
    done = sorted((item for item in outcomes if item.done), key=lambda item: item.name)
    children = list(_children(done, output))
    maps = sum(len(item.maps) for item in done)
    content: dict[str, Any] = {
        "type": "Catalog",
        "stac_version": VERSION,
        # not the folder's name: the same batch elsewhere has the same catalogue
        "id": "rsseg-batch",
        "title": f"Land-cover maps of {len(children)} scene(s)",
        "description": f"{maps} label map(s) of {len(done)} scene(s), made by rsseg batch.",
        "links": [{"rel": "root", "href": f"./{CATALOG}", "type": "application/json"}, *children],
    }
    write_text(output / CATALOG, stac_json(content), overwrite=True)
    return output / CATALOG


def _children(done: Sequence[Outcome], output: Path) -> Iterator[dict[str, str]]:
    for item in done:
        place = scene_catalogue(output, item.name)
        if place.is_file():
            title = in_a_line(writable(item.name), 120)
            yield {"rel": "child", "href": href(place, output), "type": "application/json", "title": title}
