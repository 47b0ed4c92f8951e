"""Superpixels of training tiles, and labels made equal in them.

ours     ``superpixels`` of tiles of a scene, then ``refine`` of their labels.
limit    skimage's SLIC alone, with the same settings, of tiles that are stretched already.
instead  the same SLIC, then a loop over superpixels that takes the most frequent label of each by numpy, as the papers'
         code does.

Labels are random: every superpixel has many, which costs the loop the most and the table nothing.
"""

import time
from pathlib import Path
from typing import Any

from suite.lines import Line, Row
from suite.scenes import reflectance, scene_of

SETTINGS = {"size": [440, 480], "tile": 200, "tiles": 8, "side": 12, "labels": 100}
LINES = (
    Line(
        "superpixels",
        "superpixels of a tile, labels made equal",
        __name__,
        {
            "ours": "superpixels and refine",
            "limit": "skimage's SLIC alone, of the stretched tile",
            "instead": "skimage's SLIC and a loop over superpixels",
        },
        settings=SETTINGS,
        unit="tiles",
    ),
)


def prepare(folder: Path, settings: dict[str, Any]) -> None:
    """The scene that tiles are cut from."""
    reflectance(folder, settings["size"])


def tiles_of(folder: Path, settings: dict[str, Any]) -> tuple[list[Any], Any]:
    """Tiles (bands, h, w) of the scene, spread over it, and random labels (n, h, w) int64 for them."""
    import numpy as np
    import rasterio

    side = settings["tile"]
    with rasterio.open(scene_of(folder, settings["size"])) as dataset:
        pixels = dataset.read()
    height, width = pixels.shape[1:]
    corners = [
        (int(share * (height - side)), int(share * (width - side)))
        for share in np.linspace(0.2, 0.8, settings["tiles"])
    ]
    tiles = [pixels[:, row : row + side, col : col + side] for row, col in corners]
    shape = (len(tiles), side, side)
    return tiles, np.random.default_rng(0).integers(0, settings["labels"], shape)


def regions_of(tiles: list[Any], settings: dict[str, Any]) -> Any:
    import numpy as np

    from rsseg.scene.superpixels import superpixels

    found = [superpixels(tile, tile[0] != 65535, size=settings["side"]) for tile in tiles]
    return np.stack(found).astype(np.int64)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    import skimage.segmentation  # noqa: F401  imported lazily by what is measured
    import torch

    from rsseg.learn.losses.superpixels import refine

    tiles, labels = tiles_of(folder, settings)
    regions_of(tiles[:1], settings)
    began = time.perf_counter()
    regions = regions_of(tiles, settings)
    refine(torch.from_numpy(labels), torch.from_numpy(regions), settings["labels"])
    return {"seconds": time.perf_counter() - began, "work": len(tiles), "regions": int(regions.max()) + 1}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    images = [_stretched(tile) for tile in tiles_of(folder, settings)[0]]
    _slic(images[0], settings)
    began = time.perf_counter()
    for image in images:
        _slic(image, settings)
    return {"seconds": time.perf_counter() - began, "work": len(images)}


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    tiles, labels = tiles_of(folder, settings)
    _slic(_stretched(tiles[0]), settings)
    began = time.perf_counter()
    for tile, own in zip(tiles, labels, strict=True):
        regions = _slic(_stretched(tile), settings)
        majority(own.ravel(), [(regions == number).ravel() for number in range(regions.max() + 1)])
    return {"seconds": time.perf_counter() - began, "work": len(tiles)}


def _stretched(tile: Any) -> Any:
    import numpy as np

    low, high = np.percentile(tile, (2, 98), axis=(1, 2), keepdims=True)
    return np.clip((tile - low) / np.maximum(high - low, 1), 0, 1).transpose(1, 2, 0)


def _slic(image: Any, settings: dict[str, Any]) -> Any:
    from skimage.segmentation import slic

    from rsseg.scene.superpixels import COMPACTNESS

    count = round(image.shape[0] * image.shape[1] / settings["side"] ** 2)
    between = COMPACTNESS * image.shape[2] ** 0.5
    return slic(image, n_segments=count, compactness=between, convert2lab=False, start_label=0, channel_axis=-1)


def majority(labels: Any, pixels: list[Any]) -> None:
    """The most frequent label of each list (or mask) of pixels, written to them."""
    import numpy as np

    for chosen in pixels:
        found, counts = np.unique(labels[chosen], return_counts=True)
        labels[chosen] = found[counts.argmax()]
