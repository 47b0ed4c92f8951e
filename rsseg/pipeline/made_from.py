"""What tables and vectors say of where they came from: the software, the maps and the reference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rsseg
from rsseg.files import digest
from rsseg.label.legend import writable
from rsseg.scene.raster import open_raster

KEYS = (
    *("software", "scene", "method", "model", "patch", "stride", "resolution", "precision", "approximate"),
    *("refined_from", "clusters_from", "legend", "legend_by"),
)
"""What label maps of rsseg say of themselves."""

LONGEST = 500
"""Characters of a tag that are kept."""


def made_from(maps: Sequence[Path], reference: Path | None = None) -> dict[str, Any]:
    """The software, and each file by its name (not its place, so that equal files give equal tables) and SHA-256.

    A map's ``tags`` are those of ``KEYS`` that it has: the model's identity, its scene, how it was named or refined.
    """
    told: dict[str, Any] = {"software": f"rsseg {rsseg.__version__}", "maps": [_map(path) for path in maps]}
    return told if reference is None else {**told, "reference": _file(reference)}


def _map(path: Path) -> dict[str, Any]:
    with open_raster(path) as dataset:
        tags = dataset.tags()
    return {**_file(path), "tags": {key: writable(tags[key])[:LONGEST] for key in KEYS if key in tags}}


def _file(path: Path) -> dict[str, str]:
    # a file's name may hold bytes that are no text
    return {"file": writable(path.name.encode(errors="replace").decode()), "sha256": digest(path)}
