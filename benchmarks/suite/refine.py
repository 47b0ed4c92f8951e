"""What every training step of the superpixel method does again: a batch's labels made equal in superpixels.

ours     ``refine``: one table of superpixels x labels.
limit    numpy's ``bincount`` of superpixel and label together: the counting alone.
instead  a loop over superpixels that takes the most frequent label of each by numpy, as the papers' code does; its
         lists of pixels are made outside the clock.

Superpixels of 12 px are the method's default; of 4 px, 2500 a tile of 200 px, they are as many as the papers have.
"""

from pathlib import Path
from typing import Any

from suite.lines import Aim, Line, Row
from suite.scenes import steady
from suite.superpixels import SETTINGS, majority, prepare, regions_of, tiles_of

__all__ = ["LINES", "instead", "limit", "ours", "prepare"]
PARTS = {
    "ours": "refine",
    "limit": "numpy's bincount of superpixel and label",
    "instead": "a loop over lists of superpixels' pixels",
}
LINES = (
    Line("refine", "labels made equal in superpixels of 12 px", __name__, PARTS, settings=SETTINGS, unit="tiles"),
    Line(
        "refine-small",
        "labels made equal in superpixels of 4 px",
        __name__,
        PARTS,
        settings={**SETTINGS, "side": 4},
        unit="tiles",
        aims=[Aim("instead / ours", 20.0)],
    ),
)


def ours(folder: Path, settings: dict[str, Any]) -> Row:
    import torch

    from rsseg.learn.losses.superpixels import refine

    tiles, labels = tiles_of(folder, settings)
    given = torch.from_numpy(labels), torch.from_numpy(regions_of(tiles, settings))
    return {"seconds": steady(lambda: refine(*given, settings["labels"])), "work": len(tiles)}


def limit(folder: Path, settings: dict[str, Any]) -> Row:
    import numpy as np

    tiles, labels = tiles_of(folder, settings)
    regions = regions_of(tiles, settings)
    first = np.arange(len(regions))[:, None, None] * (int(regions.max()) + 1)
    return {
        "seconds": steady(lambda: np.bincount(((regions + first) * settings["labels"] + labels).ravel())),
        "work": len(tiles),
    }


def instead(folder: Path, settings: dict[str, Any]) -> Row:
    import numpy as np

    tiles, labels = tiles_of(folder, settings)
    images = [one.ravel() for one in regions_of(tiles, settings)]
    lists = [[np.flatnonzero(image == number) for number in range(image.max() + 1)] for image in images]

    def loop() -> None:
        for own, pixels in zip(labels.copy(), lists, strict=True):
            majority(own.reshape(-1), pixels)

    return {"seconds": steady(loop), "work": len(tiles)}
