"""Names of an archive's scenes in the output, which they keep when the archive grows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rsseg.batch.products import Product
from rsseg.files import file_word, write_text
from rsseg.publish.run_files import read_json
from rsseg.scene.sensors import is_metadata
from rsseg.scene.sensors.landsat import META as MTL

NAMES = "names.json"
"""Where the names are kept, in the output's hidden folder."""


@dataclass(frozen=True)
class Job:
    """A scene to work on: its folder's name in the output, what ``open_scene`` takes, its place in the archive."""

    name: str
    path: Path
    place: str


def named(products: Sequence[Product], known: dict[str, str]) -> list[Job]:
    """A job for each product under a name of its own: that of its file or folder, with a number where it is taken.

    ``known``: place -> name of earlier times, to which new ones are added.
    """
    taken = {name.casefold() for name in known.values()}
    last: dict[str, int] = {}
    for product in products:
        if product.place in known:
            continue
        title = _title(product)
        number = last.get(title.casefold(), 1)
        name = title if number == 1 else f"{title}-{number}"
        while name.casefold() in taken:  # some file systems fold case
            number += 1
            name = f"{title}-{number}"
        last[title.casefold()] = number
        taken.add(name.casefold())
        known[product.place] = name
    return [Job(known[product.place], product.path, product.place) for product in products]


def read_names(path: Path) -> dict[str, str]:
    """Place -> name as an earlier batch wrote them; empty without one."""
    return {str(place): str(name) for place, name in read_json(path).items()}


def write_names(path: Path, names: dict[str, str]) -> None:
    """Keep the names for later."""
    if read_names(path) != names:
        write_text(path, json.dumps(names, indent=1, sort_keys=True) + "\n", overwrite=True)


def _title(product: Product) -> str:
    """What people call a product, as a folder's name: no ending, no marks that a file system minds."""
    path = product.path
    if is_metadata(path.name):
        text = MTL.sub("", path.name) if MTL.search(path.name) else path.parent.name
    else:
        text = path.name if path.is_dir() else path.stem
    return file_word(text).strip(".-") or "scene"
